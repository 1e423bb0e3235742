"""What write_file and edit_file have in common: the plan of one write, and doing it."""

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from mcp_backend.actions import WriteFile
from mcp_backend.app import App
from mcp_backend.errors import BackendError, Json
from mcp_backend.tools.base import Plan, Result
from mcp_backend.tools.wholly import wholly

if TYPE_CHECKING:
    from mcp_backend.workspace.writer import Target

DIFF_LINES = 60
DIFF_CHARACTERS = 6_000
OTHERS = ("frontend", "spec", "policy", "git")


def planned(target: "Target", data: bytes, app: App) -> Plan:
    """The plan of writing these bytes there."""
    from mcp_backend.workspace import writes
    from mcp_backend.workspace.code import judging

    facts = writes.facts(target.path, target.before, data, app.workspace, app.policy)
    code, _ = judging.looked([judging.Version(target.path, target.before, data)])
    facts = replace(facts, code=code)
    action = WriteFile(target.path, target.sha256, hashlib.sha256(data).hexdigest())
    change = "create" if target.before is None else "replace"
    diff, _ = _diff(target, data)
    return Plan((action,), facts, f"{change} {target.path} ({len(data)} bytes)\n{diff}", prepared=(target, data))


def refused(error: BackendError, path: str, data: bytes, app: App) -> Plan:
    """A write that cannot be done. Where the path is somebody else's, the guards speak first; elsewhere the error does.

    Raises `error`, or returns a plan that ends in it.
    """
    from mcp_backend.workspace import writes

    facts = writes.facts(path, None, data, app.workspace, app.policy)
    if facts.owners[path].owner not in OTHERS:
        raise error
    return Plan((WriteFile(path, None, hashlib.sha256(data).hexdigest()),), facts, prepared=error)


async def done(plan: Plan) -> Result:
    """Writes what was planned."""
    if isinstance(plan.prepared, BackendError):
        raise plan.prepared
    return await wholly(_written, *plan.prepared)


def _written(target: "Target", data: bytes) -> Result:
    from mcp_backend.workspace import differences, writer

    result: Result = {
        "path": target.path,
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "created": target.before is None,
        "lines_changed": differences.count(target.before, data),
    }
    if data == target.before:
        return {**result, "unchanged": True}
    writer.write(target, data)
    if target.before is not None:
        result["diff"], cut = _diff(target, data)
        if cut:
            result["diff_truncated"] = True
    if note := _form(target, data):
        result["notes"] = [note]
    return result


def _diff(target: "Target", data: bytes) -> tuple[str, bool]:
    """The change as people read it, credentials hidden; "" for a new file and for what is no text."""
    from mcp_backend.workspace import differences, masking, textfile

    if target.before is None:
        return "", False
    versions = [textfile.decode(version) for version in (target.before, data)]
    shown = [_lines(masking.masked(target.path, version.text)[0]) for version in versions if version]
    if len(shown) < 2:
        return "", True
    return differences.unified(*shown, lines=DIFF_LINES, characters=DIFF_CHARACTERS)


def _lines(text: str) -> list[str]:
    lines = text.replace("\r\n", "\n").split("\n")
    return [*lines[:-1], *([f"{lines[-1]}\n\\ No newline at end of file"] if lines[-1] else [])]


def _form(target: "Target", data: bytes) -> Json:
    """What changes besides the text, where somebody may not have meant it to."""
    from mcp_backend.workspace import textfile

    before, after = textfile.decode(target.before or b""), textfile.decode(data)
    if not target.before or not data or before is None or after is None or "\n" not in before.text.replace("\r", "\n"):
        return None
    if before.described() == after.described():
        return None
    return f"the file was {before.described()} and is {after.described()} now; edit_file keeps encoding and line ends"
