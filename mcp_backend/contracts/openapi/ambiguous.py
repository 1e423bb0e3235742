# ruff: noqa: E501 - the questions are prose, one per rule, and read best beside the rule
"""Templated paths between which a request cannot be decided: https://spec.openapis.org/oas/v3.1.1#path-templating"""

import re
from collections.abc import Iterator, Mapping

from mcp_backend.contracts.openapi.flat import Flat, Flattener
from mcp_backend.contracts.openapi.model import Api
from mcp_backend.contracts.words import Gap

CHANCES = 4
"""Values of parameters that would have to be the words of another path: then it is a curiosity."""


def gaps(api: Api, f: Flattener) -> Iterator[Gap]:
    """Pairs of paths that a request can match both."""
    methods: dict[str, set[str]] = {}
    takes: dict[str, dict[str, Flat]] = {}
    for operation in api.operations:
        methods.setdefault(operation.path, set()).add(operation.method)
        takes[operation.path] = {
            "{" + p.name + "}": f.flat(p.schema) for p in operation.parameters if p.where == "path" and p.schema
        }
    by_size: dict[int, list[str]] = {}
    for path in methods:
        if "{" in path:
            by_size.setdefault(path.count("/"), []).append(path)
    for paths in by_size.values():
        for index, one in enumerate(paths):
            for two in paths[index + 1 :]:
                if methods[one] & methods[two] and (chances := _cross(one, two, takes[one], takes[two])):
                    yield Gap("ambiguous-paths", f"{one} and {two}", f"A request can match both {one} and {two}. Which one answers?",
                              (one, two, "the values of the parameters never overlap"), "ask" if chances < CHANCES else "note")  # fmt: skip


def _cross(one: str, two: str, first_takes: Mapping[str, Flat], second_takes: Mapping[str, Flat]) -> int:
    """How many values have to coincide, and one more, for a request to match both paths while neither is the more
    concrete one, which would win; 0 where that cannot be."""
    first = second = False
    chances = 1
    for a, b in zip(one.split("/"), two.split("/"), strict=True):
        if a == b:
            continue
        templated = (a.startswith("{") and a.endswith("}"), b.startswith("{") and b.endswith("}"))
        if (
            templated == (False, False)
            or "{" in a.strip("{}")
            or "{" in b.strip("{}")
            or (a.count("{") > 1 or b.count("{") > 1)
        ):
            return 0
        if templated != (True, True):
            if not _takes(first_takes.get(a), b) if templated[0] else not _takes(second_takes.get(b), a):
                return 0
            chances += 1
            first, second = first or templated[0], second or templated[1]
    return chances if first == second else 0


def _takes(flat: Flat | None, segment: str) -> bool:
    """Whether a parameter of the path can have the text of a segment as its value."""
    if flat is None:
        return True
    if flat.types and flat.types <= {"integer", "number"}:
        return segment.lstrip("-").isdigit()
    if flat.enum is not None:
        return segment in map(str, flat.enum)
    return flat.format != "uuid" or re.fullmatch(r"[0-9a-fA-F-]{36}", segment) is not None
