"""What streams, consumers, topics and groups should be, in files of the repository: `messaging/*.toml`.

A file names its `engine` (left out where there is only one) and has a table for each thing: `[streams.ORDERS]`,
`[topics.payments]`, `[consumers."ORDERS/billing"]`, `[groups."orders/mail"]`, with the settings that
configure_messaging takes. What a file leaves out may be anything.
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.engines.configuring import Configurer, Planned, Wanted, configurer
from mcp_backend.engines.topology import Finding, Severity
from mcp_backend.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from mcp_backend.engines import Engines

FOLDER = "messaging"
KINDS: Mapping[str, str] = {"streams": "stream", "topics": "topic", "consumers": "consumer", "groups": "group"}
MOST_BYTES, MOST_ENTRIES = 200_000, 50
MEANING: dict[str, tuple[Severity, str]] = {
    "drift": ("warn", "is not what the repository says (before -> wanted): make it so with configure_messaging and "
              "`file`, or change the file"),
    "desired_unreadable": ("error", "the repository says something about it that cannot be read or never be so"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Desired:
    """What one file wants of one engine; `engine` is empty where the file does not say which."""

    path: str
    engine: str
    wanted: tuple[Wanted, ...]


def files(root: Path) -> list[str]:
    """The files, relative to the root, that are really in it."""
    base = root.resolve()
    found = sorted((root / FOLDER).glob("*.toml"))
    return [f"{FOLDER}/{path.name}" for path in found if path.is_file() and path.resolve().is_relative_to(base)]


def read(root: Path, path: str) -> Desired:
    """One of the files. Raises `NotFound` naming those that exist, `InvalidArgument` for what is wrong with it."""
    known = files(root)
    if path not in known:
        raise NotFound(f"file: expected one of {', '.join(known) or f'{FOLDER}/NAME.toml, and there is none'}")
    try:
        data = (root / path).read_bytes()[:MOST_BYTES]
        document: dict[str, Any] = tomllib.loads(data.decode())
    except (OSError, ValueError) as error:
        raise InvalidArgument(f"file: {path}: {error}") from error
    if unknown := sorted(document.keys() - KINDS.keys() - {"engine"}):
        raise InvalidArgument(f"file: {path}: {unknown[0]}: expected engine or tables {', '.join(KINDS)}")
    wanted: list[Wanted] = []
    for table, kind in KINDS.items():
        things = document.get(table, {})
        if not isinstance(things, dict):
            raise InvalidArgument(f"file: {path}: {table}: expected a table for each {kind}")
        for full, config in cast("dict[str, Any]", things).items():
            of, _, name = full.rpartition("/") if kind in ("consumer", "group") else ("", "", full)
            if not isinstance(config, dict) or not name or (kind in ("consumer", "group") and not of):
                shape = "STREAM/NAME" if kind in ("consumer", "group") else "NAME"
                raise InvalidArgument(f'file: {path}: expected [{table}."{shape}"] with settings, got {full!r}')
            wanted.append(Wanted(kind, name, of, "set", cast("dict[str, Any]", config)))
    if len(wanted) > MOST_ENTRIES:
        raise InvalidArgument(f"file: {path}: more than {MOST_ENTRIES} entries; use several files")
    return Desired(path, str(document.get("engine", "")), tuple(wanted))


async def drift(engines: "Engines", name: str, root: Path) -> list[Finding]:
    """How the engine differs from what the files say. Raises `Unavailable`."""
    found: list[Finding] = []
    for path in files(root):
        try:
            desired = read(root, path)
            if desired.engine not in ("", name) or (not desired.engine and not _only(engines, name)):
                continue
            target = configurer(engines, name)
            planned, later = await plan(target, desired)
            found += [Finding("drift", f"{path}: {_words(one)}") for one in planned if not one.nothing]
            found += [Finding("drift", f"{path}: {_name(one)} does not exist") for one in later]
        except (InvalidArgument, NotFound) as error:
            found.append(Finding("desired_unreadable", f"{path}: {error.reason}"[:300]))
    return found


async def plan(target: Configurer, desired: Desired) -> tuple[list[Planned], list[Wanted]]:
    """What would make the engine so, and what can only be planned when the stream that it belongs to is there. Raises
    as `Configurer.plan` does."""
    planned: list[Planned] = []
    later: list[Wanted] = []
    for wanted in desired.wanted:
        missing = any(not one.exists and one.wanted.name == wanted.of for one in planned)
        if missing:
            later.append(wanted)
        else:
            planned.append(await target.plan(wanted))
    return planned, later


def _name(wanted: Wanted) -> str:
    return str(wanted).removeprefix("set ")


def _only(engines: "Engines", name: str) -> bool:
    """Whether a file that names no engine means this one."""
    from mcp_backend.engines.publishing import KINDS as SYSTEMS

    try:
        return engines.choose(None, SYSTEMS).name == name
    except (InvalidArgument, NotFound):
        return False


def _words(planned: Planned) -> str:
    what = _name(planned.wanted)
    if not planned.exists:
        return f"{what} does not exist"
    parts: Sequence[str] = [f"{key} {before} -> {after}" for key, (before, after) in planned.diff.items()]
    return f"{what}: {'; '.join(parts)}"[:200]
