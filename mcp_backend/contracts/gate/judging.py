"""Whether a change makes an implementation deviate from its specification.

Both trees are compared with the specifications of the new one, from the source alone: what deviates in the new tree
and did not in the old one is the change's doing. What cannot be read is not verified, and refuses nothing.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcp_backend.contracts import specs
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.gate import SOURCES, apps, python_file, resolvers, rpcs
from mcp_backend.contracts.gate.apps import App, Looked
from mcp_backend.contracts.gate.found import Placed
from mcp_backend.contracts.gate.tree_files import Kept, TreeFiles
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.facts import ContractDeviation
from mcp_backend.settings import Workspace
from mcp_backend.workspace import generated, kinds
from mcp_backend.workspace.canonical import canonical
from mcp_backend.workspace.trees import Difference, Trees

_KIND = "kind:1"
_ANNOTATION = re.compile(rb"(?m)^\s*(//\s*@Router\s+/|(//\s*)?swagger:(meta|operation|route)\b)")


@dataclass(frozen=True, slots=True)
class _Spec:
    path: str
    api: Api
    by_code: bool
    """A program writes it from the code: it says what is, not what was agreed."""


def judged(
    trees: Trees, workspace: Workspace, old: str | None, new: str, differences: Sequence[Difference]
) -> tuple[ContractDeviation, ...]:
    """What deviates in tree-ish `new`: `held` are those that `old` (`None`: the empty tree) did not have.

    Nothing is looked at unless sources changed and there is a specification. Raises `Unavailable`.
    """
    touched = {d.path for d in differences if d.path.endswith(SOURCES)}
    touched |= {d.source for d in differences if d.source and d.source.endswith(SOURCES)}
    if not any(apps.part_of_program(path) for path in touched):
        return ()
    kept = Kept(workspace.state)
    before, after = (TreeFiles(trees, tree, workspace.root, kept) for tree in (old, new))
    told = [
        *_openapi(before, after, touched), *rpcs.judged(before, after, touched),
        *resolvers.judged(before, after, touched),
    ]  # fmt: skip
    kept.write()
    return tuple(sorted(told, key=lambda d: (not d.held, not d.fresh, d.path, d.line)))


def _openapi(before: TreeFiles, after: TreeFiles, touched: set[str]) -> list[ContractDeviation]:
    found = _specs(after)
    if not found:
        return []
    one, two = apps.read(before), apps.read(after)
    # An application that a document was about stays its, even when this change moves every route.
    names = {spec.path: apps.about(spec.api, one) | apps.about(spec.api, two) for spec in found}
    looked = [
        (spec, _looked(after, spec, one, found, names), _looked(after, spec, two, found, names))
        for spec in found if names[spec.path]
    ]  # fmt: skip
    return _told(looked, touched)


def _specs(tree: TreeFiles) -> list[_Spec]:
    """The OpenAPI documents of a tree that can be read."""
    source = tree.source()
    candidates = [p for p in tree.oids if p.endswith(specs.DOCUMENTS) and kinds.evidence(p)]
    if len(candidates) > specs.MANY:
        candidates = [p for p in candidates if specs.likely(p)][: specs.MANY]
    kind_of = tree.about(candidates, _KIND, _kind_of)
    made = generated.specifications(source.files, lambda path: source.texts([path]).get(path))
    found: list[_Spec] = []
    for path, kind in kind_of.items():
        if kind != "openapi":
            continue
        try:
            api = Api(source.documents(), path)
        except Broken:
            continue  # what it says is not known, so nothing deviates from it
        if api.operations:
            by_code = canonical(path) in made or "HTTPValidationError" in api.schemas
            found.append(_Spec(path, api, by_code or (api.swagger and _in_comments(tree))))
    return found


def _in_comments(tree: TreeFiles) -> bool:
    """Whether comments of Go are where a document is written: swag, go-swagger. Both write version 2."""
    return any(tree.about([p for p in tree.oids if p.endswith(".go")], "annotated:1", _annotated).values())


def _annotated(data: bytes) -> bool:
    return _ANNOTATION.search(data) is not None


def _kind_of(data: bytes) -> str:
    text = data.decode("utf-8", "replace")
    return specs.kind_of("x.json" if text.lstrip()[:1] == "{" else "x.yaml", text) or ""


def _looked(
    tree: TreeFiles, spec: _Spec, program: list[App], found: list[_Spec], names: Mapping[str, frozenset[str]]
) -> Looked:
    """As `apps.looked`, from what was kept of the same program and the same documents."""
    documents = [f"{p} {oid}" for p, oid in sorted(tree.oids.items()) if p.endswith(specs.DOCUMENTS)]
    # Where none of them is left, they were renamed.
    chosen = [app for app in program if app.name in names[spec.path]] or program
    parts = [apps.FORM, python_file.FORM, spec.path, *sorted(app.digest for app in chosen), *documents]
    key = f"looked:{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()}"
    if (known := tree.kept.get([key]).get(key)) is not None:
        return Looked.from_json(known)
    others = [(other.api, names[other.path]) for other in found if other is not spec]
    looked = apps.looked(spec.api, chosen, others)
    tree.kept.put({key: looked.as_json()})
    return looked


def _told(looked: "list[tuple[_Spec, Looked, Looked]]", touched: set[str]) -> list[ContractDeviation]:
    told: dict[tuple[str, str], ContractDeviation] = {}
    for spec, one, two in looked:
        earlier = {p.key for p in one.placed}
        twins = [
            {p.key for p in theirs.placed} for other, _, theirs in looked if other is not spec and _twin(spec, other)
        ]
        for placed in two.placed:
            fresh = placed.key not in earlier
            if not fresh and placed.path not in touched:
                continue
            held = fresh and placed.sure and not spec.by_code and _attributable(placed, one, two)
            held = held and all(placed.key in theirs for theirs in twins)
            told.setdefault(placed.key, ContractDeviation(
                placed.path or spec.path, max(placed.line, 1), spec.path, placed.operation, placed.deviation.id,
                placed.deviation.where, placed.deviation.expected, placed.deviation.actual, held=held, fresh=fresh,
            ))  # fmt: skip
    return list(told.values())


def _twin(one: _Spec, two: _Spec) -> bool:
    """Whether two documents describe the same operations for the greater part: where they differ, one of them is the
    older copy, and which one counts is not known."""
    mine, theirs = ({operation.name for operation in spec.api.operations} for spec in (one, two))
    return len(mine & theirs) * 2 > min(len(mine), len(theirs))


def _attributable(placed: Placed, one: Looked, two: Looked) -> bool:
    """Whether the change certainly made it so. A route that is gone was one before; a route nobody described is a
    deviation only of a program that had none such before."""
    match placed.deviation.id:
        case "route-missing":
            return placed.operation in one.routed and two.lost <= one.lost
        case "route-extra":
            return one.extras == 0
        case "constraint-not-enforced":
            # A new handler may check it in its own words; one that stops declaring it did so before.
            return placed.operation in one.routed
        case _:
            return True
