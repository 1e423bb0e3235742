"""What a host's own tool is about to do, in one shape for all hosts."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from mcp_backend.expressions import Expression
from mcp_backend.records import dataclass

PATHS = ("file_path", "filePath", "notebook_path", "target_file", "path", "file", "dirPath")
TEXTS = ("content", "contents", "new_string", "newString", "new_source", "newCode", "code", "file_text", "new_str")
_PATCH = Expression(r"(?m)^\*\*\* (Add File|Update File|Delete File|Move to): (.+?)\s*$")


class Unclear(ValueError):
    """An event that is not of the form its host documents."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file that would be written, or removed. `text` is what the file would hold, or only its new part; `edit`
    is that of an edit: what is replaced, and by what."""

    path: str
    text: str | None = None
    edit: tuple[str, str] | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Intent:
    """A tool call: files it changes, or a shell line it runs. `cwd` is the folder of relative paths, `root` the
    project the host says it works in, "" where it does not say."""

    tool: str
    cwd: str
    root: str = ""
    changes: tuple[Change, ...] = ()
    command: str | None = None


def arguments(event: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The arguments of the tool call, which some hosts send as text. Raises `Unclear`."""
    value: object = next((event[name] for name in names if name in event), None) or dict[str, object]()
    if isinstance(value, str):
        import json

        try:
            value = json.loads(value)
        except ValueError:
            raise Unclear("the arguments of the tool call are not JSON") from None
    if not isinstance(value, dict):
        raise Unclear("the arguments of the tool call are not an object")
    return cast("Mapping[str, Any]", value)


def shell(given: Mapping[str, Any]) -> str:
    """The line a shell tool runs; a list of words is quoted. Raises `Unclear`."""
    line: object = given.get("command", given.get("cmd", given.get("script")))
    if isinstance(line, list) and all(isinstance(word, str) for word in cast("list[object]", line)):
        import shlex

        return shlex.join(cast("list[str]", line))
    if not isinstance(line, str):
        raise Unclear("a shell tool without a command")
    return line


def written(given: Mapping[str, Any]) -> tuple[Change, ...]:
    """The files a write or edit tool names. Raises `Unclear` where it names none."""
    found = tuple(_changes(given))
    if not found:
        raise Unclear("a write tool without a path")
    return found


def _changes(given: Mapping[str, Any]) -> Iterator[Change]:
    for name in ("edits", "replacements", "files"):
        for item in _list(given.get(name)):
            if isinstance(item, str):
                yield Change(item)
            elif isinstance(item, dict) and (path := _first(cast("Mapping[str, Any]", item), PATHS)):
                yield _change(path, cast("Mapping[str, Any]", item))
    if path := _first(given, PATHS):
        edits = [cast("Mapping[str, Any]", e) for e in _list(given.get("edits")) if isinstance(e, dict)]
        if edits and not _first(given, TEXTS):
            yield Change(path, "\n".join(_first(edit, TEXTS) for edit in edits))
        else:
            yield _change(path, given)


def _change(path: str, given: Mapping[str, Any]) -> Change:
    old = _first(given, ("old_string", "oldString", "old_str"))
    text = _first(given, TEXTS)
    return Change(path, text, (old, text) if old else None)


def _first(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((value for name in names if isinstance(value := given.get(name), str) and value), "")


def _list(value: object) -> list[object]:
    return cast("list[object]", value) if isinstance(value, list) else []


def patched(patch: str) -> tuple[Change, ...]:
    """The files of a patch in the form of `apply_patch`. Raises `Unclear` where it names none.

    https://github.com/openai/codex/blob/main/codex-rs/apply-patch/apply_patch_tool_instructions.md
    """
    found: list[Change] = []
    marks = list(_PATCH.finditer(patch))
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        body = patch[mark.end() : following.start() if following else len(patch)]
        added = "\n".join(line[1:] for line in body.splitlines() if line.startswith("+"))
        deleted = mark[1] == "Delete File"
        found.append(Change(mark[2], None if deleted else added, deleted=deleted))
    if not found:
        raise Unclear("a patch that names no file")
    return tuple(found)


def text(event: Mapping[str, Any], name: str) -> str:
    """A field of text, "" where there is none."""
    value = event.get(name)
    return value if isinstance(value, str) else ""
