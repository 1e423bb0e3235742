"""What a question of the engineer says: what it must hold, what names it, and its words. No store."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, cast

from mcp_backend.errors import Json
from mcp_backend.people import wording
from mcp_backend.persona import Kind

AGREED = "operations"
"""Where the details of a question carry the operations it is about; the server writes it."""


def question_digest(kind: str, title: str, question: str, details: Mapping[str, Any]) -> str:
    """Names a question by its kind, its place and its words; case and spacing do not matter."""
    place = json.dumps(details.get("spec_ref", ""), sort_keys=True)
    words = [re.sub(r"\W+", " ", part.casefold()).strip() for part in (title, question, place)]
    words += [str(one["digest"]) for one in agreed(details)]
    return hashlib.sha256("\0".join(["question", kind, *words]).encode()).hexdigest()


def agreed(details: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations a question is about as their contracts were when it was asked: another contract, another
    question."""
    given: Any = details.get(AGREED)
    listed = cast("list[Any]", given) if isinstance(given, list) else []
    return [one for one in listed if isinstance(one, dict) and {"spec", "operation", "digest"} <= {*cast("Any", one)}]


def missing(kind: Kind, details: Mapping[str, Any]) -> list[dict[str, Json]]:
    """What `details` lacks for this kind: each name with what is expected."""
    gaps: list[dict[str, Json]] = []
    for need in kind.requires:
        value: object = details.get(need.name)
        short = len(_items(value)) < need.at_least
        if _empty(value) or short or (need.one_of and value not in need.one_of):
            gaps.append({"name": need.name, "expected": need.why})
    return gaps


def _items(value: object) -> list[object]:
    return [item for item in cast("list[object]", value) if not _empty(item)] if isinstance(value, list) else []


def _empty(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, (list, dict)) and not value)


def asked_words(title: str, question: str, details: Mapping[str, Any]) -> tuple[str, ...]:
    """What a question is about, for comparing it with others."""
    contracts = " ".join(str(one["digest"]) for one in agreed(details))
    return wording.stems(title, question, json.dumps(details.get("spec_ref", ""), ensure_ascii=False), contracts)
