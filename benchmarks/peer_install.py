"""Installs the peers, each in an environment of its own below `build/peers`, with the package clients that are here.

What is installed as asked is left alone, so that a second run begins at once; what was interrupted begins anew. Scripts
of packages of npm are not run.
"""

import asyncio
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.host import surroundings
from benchmarks.peer_list import PEERS, Package, Peer
from benchmarks.results import HOME

PEER_HOME = HOME / "peers"
SECONDS = 300
AT_ONCE = 3
MARK = ".installed"


async def install() -> tuple[dict[str, str], dict[str, str]]:
    """Of each peer that is there its version, and of each that is not, why; both by the peer's name."""
    there: dict[str, str] = {}
    missing: dict[str, str] = {}
    room = asyncio.Semaphore(AT_ONCE)

    async def one(peer: Peer) -> None:
        if not peer.packages:
            there[peer.name] = importlib.metadata.version("mcp-backend" if "mcp-backend" in peer.name else "mcp")
            return
        chosen, why = _chosen(peer)
        async with room:
            why = why or await asyncio.to_thread(_installed, chosen)
        if why:
            missing[peer.name] = why
        else:
            there[peer.name] = chosen.version

    await asyncio.gather(*(one(peer) for peer in PEERS))
    return there, missing


def folder(package: Package) -> Path:
    """Where it is installed."""
    return PEER_HOME / ("py" if package.index == "pypi" else "npm") / re.sub(r"[@/]", "_", package.name)


def _chosen(peer: Peer) -> tuple[Package, str]:
    """The first package that this machine can run, or why it can run none."""
    why = ""
    for package in peer.packages:
        least = ".".join(map(str, package.least))
        if package.index == "pypi":
            if _python(package.least):
                return package, ""
            why = f"needs Python {least}, which is not here"
        else:
            found = _node()
            if shutil.which("npm") and found >= package.least:
                return package, ""
            why = f"needs Node {least}" if found and shutil.which("npm") else "npm is not here"
    return peer.packages[-1], why


def _installed(package: Package) -> str:
    """Installs it where it is not; why it could not."""
    target, wanted = folder(package), f"{package}\n"
    if _said(target / MARK) == wanted:
        return ""
    print(f"installing {package.name} {package.version}", file=sys.stderr, flush=True)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        for command in _pypi(package, target) if package.index == "pypi" else _npm(package, target):
            with (target / "install.log").open("ab") as log:
                subprocess.run(
                    command, cwd=target, check=True, timeout=SECONDS, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    env=surroundings({}),
                )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "could not be installed from its index here (install.log in its folder says why)"
    (target / MARK).write_text(wanted)
    return ""


def _pypi(package: Package, target: Path) -> Iterable[Sequence[str]]:
    python, own, uv = _python(package.least), str(target / "bin" / "python"), shutil.which("uv")
    one = f"{package.name}=={package.version}"
    lists = ([one, "--no-deps"], [*package.more]) if package.bare else ([one, *package.more],)
    yield [uv, "venv", "--quiet", "--allow-existing", "--python", python, "."] if uv else [python, "-m", "venv", "."]
    for wanted in lists:
        if uv:
            yield [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", own, *wanted]
        else:
            yield [own, "-m", "pip", "install", "--quiet", *wanted]


def _npm(package: Package, target: Path) -> Iterable[Sequence[str]]:
    (target / "package.json").write_text(json.dumps({"private": True}))
    yield ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error",
           f"{package.name}@{package.version}", *package.more]  # fmt: skip


def _python(least: tuple[int, int]) -> str:
    """An interpreter of at least this version: this one where it will do; nothing when none is here."""
    if sys.version_info[:2] >= least:
        return sys.executable
    found = [f"python3.{minor}" for minor in range(least[1], least[1] + 4)]
    known = sorted(Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")).glob("versions/3.*/bin/python3"))
    for candidate in (*found, *map(str, known)):
        asked = _run([candidate, "-c", "import sys; print(*sys.version_info[:2])"])
        if asked and tuple(map(int, asked.split())) >= least:
            return candidate
    return ""


def _node() -> tuple[int, int]:
    """The version of Node, nothing when there is none."""
    found = re.match(r"v(\d+)\.(\d+)", _run(["node", "--version"]))
    return (int(found[1]), int(found[2])) if found else (-1, 0)


def _run(command: Sequence[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _said(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    for title, found in zip(("there", "not there"), asyncio.run(install()), strict=True):
        print(title, *(f"  {name}: {what}" for name, what in found.items()), sep="\n")
