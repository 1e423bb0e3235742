"""A real browser for the pages a person reads: Chromium over its own pipe, without any driver.

https://chromedevtools.github.io/devtools-protocol/: one JSON message after another, each ended by a NUL byte, on the
descriptors 3 and 4 of the process (`--remote-debugging-pipe`).
"""

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--remote-debugging-pipe",
)  # fmt: skip
SECONDS = 60.0
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}
TEXT = {"Enter": "\r", " ": " "}


class Page:
    """One tab."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._kept, self._number, self._session = b"", 0, ""
        target = self.say("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.say("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.say(f"{domain}.enable")
        self.asked: list[str] = []
        """The addresses that the pages asked for."""

    def say(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command, and its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + SECONDS
        while True:
            found = self._next(until)
            if found.get("method") == "Network.requestWillBeSent":
                self.asked.append(found["params"]["request"]["url"])
            if found.get("id") == self._number:
                assert "error" not in found, (method, found["error"])
                return found["result"]

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._kept:
            ready, _, _ = select.select([self._reading], [], [], max(until - time.monotonic(), 0))
            assert ready, "the browser does not answer"
            part = os.read(self._reading, 1 << 20)
            assert part, "the browser ended"
            self._kept += part
        line, _, self._kept = self._kept.partition(b"\0")
        return json.loads(line)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.say("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        """Goes to an address, until its page is there."""
        self.say("Page.navigate", url=url)
        self.until("document.readyState == 'complete' && location.href != 'about:blank'")

    def until(self, condition: str) -> None:
        """Until an expression is true in the page, which may be replaced meanwhile."""
        until = time.monotonic() + SECONDS
        while True:
            found = self.say("Runtime.evaluate", expression=f"Boolean({condition})", returnByValue=True)
            if found["result"].get("value"):
                return
            assert time.monotonic() < until, f"not so after {SECONDS:g} s: {condition}"
            time.sleep(0.01)

    def press(self, key: str) -> None:
        """A key, down and up."""
        about = {"key": key, "windowsVirtualKeyCode": KEYS[key], **({"text": TEXT[key]} if key in TEXT else {})}
        self.say("Input.dispatchKeyEvent", type="keyDown", **about)
        self.say("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=KEYS[key])

    def type(self, text: str) -> None:
        """Text into what has the focus."""
        self.say("Input.insertText", text=text)

    def look(self, width: int, height: int, *, dark: bool = False, scripts: bool = True, touch: bool = False) -> None:
        """How large the window is, and what its user prefers."""
        self.say("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch)
        self.say("Emulation.setEmulatedMedia",
                 features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])  # fmt: skip
        self.say("Emulation.setScriptExecutionDisabled", value=not scripts)

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """The page as it looks."""
        found = self.say("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole))
        path.write_bytes(base64.b64decode(found["data"]))

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self.say("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 4000), "scale": 1}}


@contextmanager
def opened(profile: Path) -> Generator[Page]:
    """A browser with a profile of its own, which ends with the block."""
    assert PROGRAM is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    line = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    command = ["bash", "-c", line, "chromium", PROGRAM, *QUIET, f"--user-data-dir={profile}"]
    process = subprocess.Popen(
        command, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_in, ours_out)
    finally:
        os.close(ours_out)
        os.close(ours_in)
        process.terminate()
        process.wait(20)
