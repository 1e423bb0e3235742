"""Real hosts against this server: tools listed, a guarded call, refusals, an approval that a person gives.

`python -m benchmarks.hosts FOLDER [HOST…]`, where FOLDER holds one prefix of npm for each host (`npm install --prefix
FOLDER/HOST PACKAGE`, names in host_list.py); who is not there is left out. `--transcript` prints what the model read.
The model is a script on the loopback, so nothing is logged in and nothing leaves the machine. The repository, its
engines and the person at a terminal are those of `mcp-backend demo`; the host's files are those of `render`.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.host_list import HOSTS, Host
from benchmarks.scripted_model import Play, Use, serving
from mcp_backend import persona, policy
from mcp_backend.cli import ready
from mcp_backend.demo import acts, person, setting
from mcp_backend.hosts import host, placing
from mcp_backend.hosts.site import site
from mcp_backend.people.seat import MARKERS

SECONDS = 240
ESCALATION = re.compile(r"ESC-[0-9a-f]{8}")
STAGING = {"engine": "staging"}


@dataclass(frozen=True, slots=True)
class Step:
    """One call, what the model must read after it, and what a person does then."""

    what: str
    use: Use
    reads: str
    person: Callable[[str], str] | None = None


def steps(one: Host, root: Path) -> list[Step]:
    """The session, in the order it is played in."""
    everything = [*acts.BACKEND, "web/src/App.tsx"]

    def approve(text: str) -> str:
        code, shown = person.answer(root, _escalation(text), "--approve", retype=True)
        return shown if code == 0 else f"refused: {shown}"

    def answer(text: str) -> str:
        code, shown = person.answer(root, _escalation(text), "--text", "A whole percentage, 0 to 100.")
        return shown if code == 0 else f"refused: {shown}"

    return [
        *(Step("looks for deferred tools", use, "") for use in one.first),
        Step("reads the schema", Use("db_schema", {"engine": "postgresql"}, ours=True), r"dialect\W+postgresql"),
        Step(
            "its own edit tool, a frontend file",
            one.write("web/src/New.tsx", "export {}"),
            "no-frontend|denied by your permission settings",
        ),
        Step("its own shell, a specification", one.line("echo x > api/openapi.yaml"), "follow-api-spec"),
        Step("its own shell, a backend file", one.line("echo '# note' > orders/note.py && echo fine"), "fine"),
        Step(
            "commits a frontend file", Use("git_commit", {**acts.COMMIT, "paths": everything}, ours=True), "no-frontend"
        ),
        Step("runs the tests", Use("run_tests", {}, ours=True), r"receipt\W+r_"),
        Step("commits what was tested", Use("git_commit", {**acts.COMMIT}, ours=True), r"commit\W+[0-9a-f]{40}"),
        Step("asks the architect", Use("escalate", acts.QUESTION, ours=True), "ESC-", answer),
        Step("migrates staging", Use("run_migration", STAGING, ours=True), "ESC-.*unchanged|unchanged.*ESC-", approve),
        Step("migrates staging again", Use("run_migration", STAGING, ours=True), r"applied\W+version"),
        Step("reads the answer", Use("check_escalation", {}, ours=True), "whole percentage|answered|open"),
    ]


def _escalation(text: str) -> str:
    found = ESCALATION.findall(text)
    return found[-1] if found else ""


@dataclass
class Session:
    """The script of one session: hands out the steps, and lets the person act between two of them."""

    steps: list[Step]
    at: int = -1

    def following(self, result: str) -> Use | None:
        """The next call."""
        if self.at >= 0 and (act := self.steps[self.at].person):
            act(result)
        self.at += 1
        return self.steps[self.at].use if self.at < len(self.steps) else None


async def played(name: str, folder: Path, *, transcript: bool) -> list[str]:
    """One host's session as lines of a table, and with `transcript` what the model read."""
    one = HOSTS[name]
    program = folder / name / "node_modules/.bin" / one.program
    if not program.exists():
        return [f"{name}: not installed in {folder / name}"]
    with tempfile.TemporaryDirectory(prefix="host-") as held:
        home = Path(held) / "home"
        home.mkdir()
        os.environ["HOME"] = str(home)
        async with setting.built(Path(held)) as place:
            os.chdir(place.root)
            lines = await asyncio.to_thread(_session, name, one, program, place, home, transcript)
            os.chdir(folder)
        return lines


def _session(name: str, one: Host, program: Path, place: setting.Setting, home: Path, transcript: bool) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if k not in MARKERS}
    # Some hosts believe PWD before the folder that they are started in.
    environment |= {"ORDERS_STAGING_URL": place.staging_url, "NO_COLOR": "1", "HOME": str(home), "PWD": str(place.root)}
    here = site(place.workspace, policy.load(policy.find(place.root), persona.load().constraints))
    for file in placing.placed(host(one.render).files(here), place.root):
        placing.write(file, place.root)
    # As `render --write` does at a terminal: nobody's first session begins with the first start of an installation.
    if failed := ready.prepare(place.root, ("--toolsets", ",".join(here.toolsets))):
        return [f"{name}: the server does not start: {failed}"]
    setting.git(place.root, "add", ".")
    setting.git(place.root, "commit", "--quiet", "-m", f"render {one.render}")
    setting.change(place.root)
    before = (place.root / "api/openapi.yaml").read_bytes()
    session = Session(steps(one, place.root))
    play = Play(session.following, prefix=one.prefix)
    with serving(play) as port:
        one.prepared(here, home, port)
        start = one.start(port)
        said = _run([str(program), *start.argv], {**environment, **start.environment}, place.root)
    version = _run([str(program), "--version"], environment, place.root)
    ours = [n for n in play.offered if re.search(r"(^|[_\-./:])(db_schema|run_tests|escalate)$", n)]
    out = [f"{name} {re.search(r'[0-9]+[.][0-9.]+', version)[0]}: {len(play.offered)} tools offered, ours as {ours}"]  # type: ignore[index]
    if transcript:
        out += [f"  at first: {sorted(play.first)}", f"  offered: {sorted(play.offered)}"]
    for step, (called, arguments), read in zip(session.steps, play.asked, play.read, strict=False):
        ok = re.search(step.reads, read, re.DOTALL) is not None
        out.append(f"  {'ok  ' if ok else 'MISS'} {step.what}: {called}")
        if transcript or not ok:
            out.append(f"       > {json.dumps(arguments)[:300]}\n       < {read[:1500]}")
    out += [f"  MISS {step.what}: never came to it" for step in session.steps[len(play.read) :]]
    kept = (place.root / "api/openapi.yaml").read_bytes() == before and not (place.root / "web/src/New.tsx").exists()
    out.append(f"  {'ok  ' if kept else 'MISS'} the frontend file and the specification are untouched")
    if len(play.read) < len(session.steps) or transcript:
        out.append(f"  the host said: {said[-1500:]}")
    return out


def _run(argv: list[str], environment: dict[str, str], root: Path) -> str:
    try:
        done = subprocess.run(
            argv, cwd=root, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return f"still running after {SECONDS} s: {error.stdout} {error.stderr}"
    return f"{done.stdout}{done.stderr}"


async def main() -> None:
    """Every host that is there, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("folder", type=Path)
    parser.add_argument("hosts", nargs="*", default=list(HOSTS), metavar="HOST")
    parser.add_argument("--transcript", action="store_true")
    options = parser.parse_args()
    for name in options.hosts:
        print("\n".join(await played(name, options.folder.resolve(), transcript=options.transcript)), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
