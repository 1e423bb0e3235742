"""Puts rendered files beside what people wrote, and never over it."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, AnyStr, cast

from mcp_backend.hosts.site import MARK, Rendered

BEGIN, END = f"<!-- {MARK}: begin -->", f"<!-- {MARK}: end -->"
_OURS = re.compile(r"mcp-backend|mcp_backend")


@dataclass(frozen=True, slots=True)
class Placed:
    """One file as it would be. `text` is `None` when it cannot be written; `conflicts` say what is somebody else's."""

    path: str
    text: str | bytes | None
    stale: bool
    conflicts: tuple[str, ...] = ()


def placed(files: Iterable[Rendered], root: Path) -> list[Placed]:
    """Each file merged with what is in the repository. Reads only; files of the person's own are left out."""
    return [_placed(file, root) for file in files if file.kind != "shown"]


def write(file: Placed, root: Path) -> None:
    """Writes one file whole, with its folders."""
    target = root / file.path
    assert file.text is not None, "only what can be written is"
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_bytes(file.text if isinstance(file.text, bytes) else file.text.encode())
    if target.exists():
        os.chmod(beside, target.stat().st_mode & 0o777)
    os.replace(beside, target)


def _placed(file: Rendered, root: Path) -> Placed:
    target = root / file.path
    if target.is_symlink():
        return Placed(file.path, None, True, ("is a symbolic link; what it leads to is not written",))
    try:
        if isinstance(file.content, bytes):
            return _whole(file.path, file.content, target.read_bytes() if target.exists() else None, MARK.encode())
        there = target.read_text("utf-8") if target.exists() else None
    except (OSError, UnicodeDecodeError) as error:
        return Placed(file.path, None, True, (f"cannot be read: {type(error).__name__}",))
    if isinstance(file.content, dict):
        return _json(file.path, file.content, there)
    if file.kind == "block":
        text = _block(file.content, there)
        return Placed(file.path, text, text != there)
    return _whole(file.path, file.content, there, MARK)


def _whole(path: str, content: AnyStr, there: AnyStr | None, mark: AnyStr) -> Placed:
    if there is not None and mark not in there:
        return Placed(path, None, True, ("is there and not from mcp-backend: rename it, then render again",))
    return Placed(path, content, content != there)


def _block(content: str, there: str | None) -> str:
    block = f"{BEGIN}\n{content.strip()}\n{END}\n"
    if there is None:
        return block
    if BEGIN in there and END in there:
        before, _, rest = there.partition(BEGIN)
        return before + block + rest.partition(END)[2].removeprefix("\n")
    return there.rstrip("\n") + "\n\n" + block


def _json(path: str, ours: dict[str, Any], there: str | None) -> Placed:
    try:
        theirs: object = json.loads(there) if there and there.strip() else dict[str, Any]()
    except ValueError as error:
        return Placed(path, None, True, (f"is not plain JSON ({error}); add by hand what `mcp-backend render` prints",))
    if not isinstance(theirs, dict):
        return Placed(path, None, True, ("is not a JSON object",))
    conflicts: list[str] = []
    merged = _merged(cast("dict[str, Any]", theirs), ours, "", conflicts)
    text = there if merged == theirs and there is not None else json.dumps(merged, indent=2, ensure_ascii=False) + "\n"
    return Placed(path, text, text != there, tuple(conflicts))


def _merged(theirs: dict[str, Any], ours: dict[str, Any], where: str, conflicts: list[str]) -> dict[str, Any]:
    merged = {**theirs}
    for key, value in ours.items():
        place = f"{where}.{key}" if where else key
        if key not in theirs or (isinstance(theirs[key], dict) and _entry(theirs[key]) and _entry(value)):
            merged[key] = value
        elif isinstance(value, dict) and isinstance(theirs[key], dict):
            merged[key] = _merged(theirs[key], cast("dict[str, Any]", value), place, conflicts)
        elif isinstance(value, list) and isinstance(theirs[key], list):
            merged[key] = _joined(cast("list[object]", theirs[key]), cast("list[object]", value))
        elif theirs[key] != value:
            conflicts.append(
                f"{place} is {json.dumps(theirs[key])[:80]} there and stays; rendered: {json.dumps(value)[:80]}"
            )
    return merged


def _entry(value: object) -> bool:
    """Whether this is the entry of our server: it has a command, and it names us."""
    return isinstance(value, dict) and "command" in value and _OURS.search(json.dumps(value)) is not None


def _joined(theirs: list[object], ours: list[object]) -> list[object]:
    """Theirs, then ours; what is ours from an earlier time goes. Untouched when nothing would change but the order."""
    kept = [item for item in theirs if isinstance(item, str) or not _OURS.search(json.dumps(item))]
    kept += [item for item in ours if item not in kept]
    return theirs if sorted(map(json.dumps, kept)) == sorted(map(json.dumps, theirs)) else kept
