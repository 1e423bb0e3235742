"""Compares the specifications of two states of the files."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from mcp_backend.contracts import specs
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.unchanged import unchanged
from mcp_backend.contracts.words import LEVELS, Change


@dataclass(frozen=True, slots=True)
class Compared:
    """What changed in the specification at `path`. `problem` says why it could not be compared."""

    path: str
    kind: str
    changes: tuple[Change, ...] = ()
    problem: str = ""


def compared(old: Source, new: Source, path: str, today: date) -> list[Compared]:
    """The specifications below `path` in either state, with their changes. Raises `Unavailable`."""
    before = {(s.path, s.kind): s for s in specs.find(old, path)}
    after = aligned(before.values(), specs.find(new, path))
    found: list[Compared] = []
    for key, spec in before.items():
        if key not in after:
            word, gone = "specification-removed", (spec.path,)
            if spec.kind == "protobuf":  # a folder of files, of which each has a rule
                word, gone = "FILE_NO_DELETE", spec.files
            changes = tuple(Change(word, "breaking", where, "there", "removed") for where in gone)
            found.append(Compared(spec.path, spec.kind, changes))
            continue
        if unchanged(old, spec, new, after[key]):
            found.append(Compared(spec.path, spec.kind))
            continue
        try:
            found.append(Compared(spec.path, spec.kind, tuple(between(old, spec, new, after[key], today))))
        except Broken as error:
            found.append(Compared(spec.path, spec.kind, (), str(error)))
    for key, spec in after.items():
        if key not in before:
            found.append(
                Compared(spec.path, spec.kind, (Change("specification-added", "safe", spec.path, "", "added"),))
            )
    return found


def aligned(before: Iterable[Spec], after: Iterable[Spec]) -> dict[tuple[str, str], Spec]:
    """The specifications of the new state by path and kind. Protobuf files keep the folder that their imports were
    written from: a changed package must not make them look like other files."""
    found = {(s.path, s.kind): s for s in after}
    for old in before:
        if old.kind != "protobuf":
            continue
        root = old.roots[0] if old.roots else ""
        theirs = [
            s for s in found.values() if s.kind == "protobuf" and (set(s.files) & set(old.files) or s.path == old.path)
        ]
        files = {f for s in theirs for f in s.files if f in old.files or not root or f.startswith(f"{root}/")}
        for spec in theirs:
            found.pop((spec.path, spec.kind), None)
        if files:
            roots = dict.fromkeys((root, *(r for s in theirs for r in s.roots)))
            found[old.path, old.kind] = Spec(old.path, "protobuf", tuple(sorted(files)), tuple(roots))
    return found


def between(old: Source, one: Spec, new: Source, two: Spec, today: date) -> list[Change]:
    """The changes of one specification. Raises `Broken`, `Unavailable`."""
    if one.kind == "openapi":
        from mcp_backend.contracts.openapi import changes
        from mcp_backend.contracts.openapi.model import Api

        return changes.changes(Api(old.documents(), one.path), Api(new.documents(), two.path), today)
    if one.kind == "asyncapi":
        from mcp_backend.contracts.events import changes as events
        from mcp_backend.contracts.events.model import Events

        return events.changes(Events(old.documents(), one.path), Events(new.documents(), two.path))
    if one.kind == "graphql":
        from mcp_backend.contracts.graphql import changes as graphql
        from mcp_backend.contracts.graphql.loading import schema_of

        return graphql.changes(schema_of(old, one), schema_of(new, two))
    from mcp_backend.contracts.protobuf import changes as protobuf
    from mcp_backend.contracts.protobuf.compiling import compiled

    return protobuf.changes(compiled(old, one), compiled(new, two))


def counted(found: list[Compared]) -> dict[str, int]:
    """How many changes there are of each level."""
    return {level: sum(c.level == level for one in found for c in one.changes) for level in LEVELS}
