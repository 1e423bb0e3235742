"""Compares a document with the one that the application's framework generates from its code."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.openapi.comparing import Comparer
from mcp_backend.contracts.openapi.fits import Direction
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, json_schema
from mcp_backend.contracts.service.routing import plain
from mcp_backend.contracts.tree import Node
from mcp_backend.contracts.words import Change, Deviation, Unverified

NAME = "generated.json"
UNDESCRIBED = "sent, not described, and not forbidden either"
_RESPONSE = {
    "response-required-property-removed": "required-field-missing",
    "response-property-added": "field-extra",
    "response-property-type-changed": "type-mismatch",
    "response-property-type-generalized": "type-mismatch",
    "response-property-became-nullable": "null-not-allowed",
}
_LOOSER = re.compile(
    r"^request-(property|parameter)-(max|min|pattern|enum-value-removed|became-enum|became-not-nullable)"
)
Kind: TypeAlias = Literal["missing", "extra", "different"]


class _Made(Documents):
    """One document that is no file."""

    def __init__(self, documents: Documents, content: Mapping[str, Any]) -> None:
        super().__init__(documents.root)
        self._read[NAME] = content


def compare(api: Api, content: Mapping[str, Any], base: str) -> tuple[list[Deviation], list[Unverified]]:
    """What the generated document says otherwise. Only bodies of success and parameters: it knows no more."""
    made = Api(_Made(api.documents, content), NAME)
    theirs = {(o.method, plain(o.path)): o for o in made.operations}
    one, two = Flattener(api), Flattener(made)
    checks = _Checks(Comparer(one, two, "old"), Comparer(two, one, "new"))
    for operation in api.operations:
        other = theirs.get((operation.method, plain(base + operation.path)))
        if other is not None:
            checks.operation(operation, other)
    checks.end()
    return list(checks.found.values()), checks.unverified


class _Checks:
    """The comparison of operations, in both directions."""

    def __init__(self, forward: Comparer, backward: Comparer) -> None:
        self.forward, self.backward = forward, backward
        self.found: dict[tuple[str, str], Deviation] = {}
        self.unverified: list[Unverified] = []
        self._wider: list[tuple[str, str]] = []

    def end(self) -> None:
        """Values that requests take in addition; a value that responses have, too, is said once, there."""
        sent = {d.actual for d in self.found.values() if d.id == "enum-value-extra"}
        for where, values in self._wider:
            if values not in sent:
                self._add("enum-value-extra", "extra", where, "no such value", values)

    def operation(self, one: Operation, two: Operation) -> None:
        self._parameters(one, two)
        if one.body and two.body:
            mine, theirs = json_schema(one.body.content), json_schema(two.body.content)
            if mine is not None and theirs is not None:
                self._request(mine, theirs, f"{one.name} body")
        for status, response in one.responses.items():
            other = two.responses.get(status)
            if status[0] != "2" or other is None:
                continue
            mine, theirs = json_schema(response.content), json_schema(other.content)
            if mine is None or theirs is None:
                continue
            if self.forward.new.flat(theirs).anything:
                self.unverified.append(Unverified(f"{one.name} {status}", "the handler declares no response model"))
            else:
                self._response(mine, theirs, f"{one.name} {status}")

    def _parameters(self, one: Operation, two: Operation) -> None:
        known = {(p.where, p.name.lower()): p for p in two.parameters}
        for parameter in one.parameters:
            other = known.get((parameter.where, parameter.name.lower()))
            where = f"{one.name} {parameter.name}"
            if other is None:
                if parameter.where == "query":
                    self._add("query-param-missing", "missing", where, "a parameter", "the handler declares none")
            elif parameter.schema is not None and other.schema is not None:
                self._request(parameter.schema, other.schema, where, "parameter")

    def _response(self, mine: Node, theirs: Node, where: str) -> None:
        for change in self._changes(self.forward, mine, theirs, "response", where):
            word = _RESPONSE.get(change.id)
            if word == "field-extra" and change.before != "forbidden":
                self.unverified.append(Unverified(change.where, UNDESCRIBED))
                continue
            if change.id == "response-property-enum-value-added" and change.after != "any value":
                word = "enum-value-extra"
            if word:
                kind: Kind = (
                    "missing"
                    if word == "required-field-missing"
                    else "extra"
                    if word.endswith("extra")
                    else "different"
                )
                self._add(word, kind, change.where, change.before, change.after)

    def _request(self, mine: Node, theirs: Node, where: str, role: Any = "body") -> None:
        """What the application would accept and the document refuses: from theirs to ours must not break."""
        for change in self._changes(self.backward, theirs, mine, "request", where, role):
            parameter = role == "parameter"
            if change.id in ("request-property-became-required", "new-required-request-property"):
                self._add("request-required-not-enforced", "different", change.where, "required", "optional")
            elif (
                change.id.endswith("type-changed")
                and not change.after.startswith("format")
                and not change.before.startswith("format")
            ):
                self._add("type-mismatch", "different", change.where, change.after, change.before)
            elif (
                _LOOSER.match(change.id) and change.level == "breaking" and not (parameter and "nullable" in change.id)
            ):
                self._add("constraint-not-enforced", "different", change.where, change.after, change.before)

    def _changes(
        self, comparer: Comparer, old: Node, new: Node, direction: Direction, where: str, role: Any = "body"
    ) -> Sequence[Change]:
        root = comparer.compare(old, new, direction, where, role)
        return [change for key in comparer.reached(root) for change in comparer.pairs[key].changes]

    def _add(self, word: str, kind: Kind, where: str, expected: str, actual: str) -> None:
        self.found.setdefault((word, where), Deviation(word, kind, where, expected, actual, "schema"))
