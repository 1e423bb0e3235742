"""Schemas compiled for batches say of every value what the other library says, whatever dialect and references."""

import json
import random
import string
from pathlib import Path
from typing import Any

import pytest

from mcp_backend.contracts import formats, swift
from mcp_backend.contracts.documents import Documents
from mcp_backend.contracts.schemas import DRAFTS, Place, Schemas

PART: dict[str, Any] = {
    "$id": "https://example.com/part.json", "type": "object", "required": ["sku"],
    "properties": {"sku": {"type": "string", "pattern": "^[A-Z]{2}\\d+$"}, "part": {"$ref": "#"}},
}  # fmt: skip
ORDER: dict[str, Any] = {
    "type": "object", "required": ["id"], "additionalProperties": False,
    "properties": {
        "id": {"type": "integer", "minimum": 1}, "state": {"enum": ["new", "paid", None]},
        "price": {"type": "number", "multipleOf": 0.5, "maximum": 1000},
        "at": {"type": "string", "format": "date-time"}, "tag": {"type": "string", "maxLength": 4},
        "who": {"anyOf": [{"type": "string", "format": "uuid"}, {"type": "null"}]},
        "parts": {"type": "array", "items": {"$ref": "part.json"}, "uniqueItems": True, "maxItems": 3},
        "size": {"type": "integer", "format": "int32"},
    },
}  # fmt: skip
VALUES: dict[str, list[Any]] = {
    "id": [1, 0, 1.0, 1.5, "1", True, 10**30], "state": ["new", "paid", None, "gone", 1],
    "price": [0.5, 1, 0.3, 1000, 1e9, -2.5, "2"], "tag": ["", "abcd", "äöü☃", "\U0001f600" * 4, "abcde", "a\n"],
    "at": ["2026-11-26T10:00:00Z", "2026-02-30T10:00:00Z", "2026-11-26 10:00", "", 5],
    "who": ["0d6ab3b3-7b65-4f0e-9a57-2d6dc6a1f1aa", "0d6ab3b3", None, 3], "size": [1, 2**31 - 1, 2**31, -(2**31), 1.0],
    "parts": [[], [{"sku": "AB1"}], [{"sku": "ab1"}], [{"sku": "AB1"}, {"sku": "AB1"}], [{"sku": "AB1", "part": {}}],
              [{"sku": "AB1\n"}], [{"sku": "AB\u0661"}], [{}], {}, [{"sku": "AB1"}] * 4],
    "extra": [1],
}  # fmt: skip


NUMBERS: list[Any] = [
    0,
    -1,
    1.5,
    2**31 - 1,
    2**31,
    -(2**31),
    -(2**31) - 1,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    1e300,
    True,
    None,
    [],
    {},
]


def made(folder: Path, dialect: str) -> Place:
    (folder / "part.json").write_text(json.dumps({"$schema": DRAFTS[dialect], **PART}))
    (folder / "order.json").write_text(json.dumps({"$schema": DRAFTS[dialect], **ORDER}))
    document = {"asyncapi": "3.0.0", "components": {"schemas": {"Order": {"$ref": "../order.json"}}}}
    (folder / "api").mkdir()
    (folder / "api" / "asyncapi.json").write_text(json.dumps(document))
    return Place("order.json", "", dialect)


def values(seed: int, count: int) -> list[Any]:
    chosen, found = random.Random(seed), list[Any]()
    for _ in range(count):
        names = [name for name in VALUES if chosen.random() < (0.05 if name == "extra" else 0.35)]
        found.append({name: chosen.choice(VALUES[name]) for name in ("id", *names)})
    return [*found, None, [], "order", 7, {}]


@pytest.mark.parametrize("dialect", ["draft-04", "draft-07", "2020-12"])
def test_both_libraries_agree_on_every_value(tmp_path: Path, dialect: str) -> None:
    place = made(tmp_path, dialect)
    warm = fresh = Schemas(Documents(tmp_path))
    for _ in range(swift.WORTH_IT):
        assert warm.problems(place, {"id": 1}) == []
    fitted = 0
    for number, value in enumerate(values(3, 200)):
        if number % (swift.WORTH_IT - 1) == 0:
            fresh = Schemas(Documents(tmp_path))
        told = warm.problems(place, value)
        assert told == fresh.problems(place, value), value
        fitted += not told
    assert 10 < fitted < 190


def test_what_is_compiled_says_yes_by_itself(tmp_path: Path) -> None:
    """Through a reference of an AsyncAPI document into another file and on; else no batch would be quicker."""
    made(tmp_path, "2020-12")
    documents = Documents(tmp_path)
    texts = ("order.json", "part.json", "api/asyncapi.json")
    known = [(documents.uri(name), json.loads((tmp_path / name).read_text())) for name in texts]
    newest = DRAFTS["2020-12"]
    fits = swift.compiled(newest, newest, documents.uri("api/asyncapi.json"), "/components/schemas/Order", known)
    assert fits({"id": 1, "parts": [{"sku": "AB1"}]})
    assert not fits({"id": 1, "parts": [{"sku": "ab"}]})
    assert not fits({"id": 1, "at": "2026-02-30T10:00:00Z"})
    laughs: Any = "a"
    for _ in range(40):
        laughs = [laughs, laughs]
    large = [(documents.uri("large.json"), {"enum": [1], "properties": {"a": {"items": laughs}}})]
    assert not swift.compiled(newest, newest, large[0][0], "", large)(1), "not written out to the last"
    lost = swift.compiled(newest, newest, documents.uri("order.json"), "", known[:1])
    assert not lost({"id": 1}), "a reference that leads nowhere is left to the library that names it"


def test_every_format_is_checked_by_the_same_code() -> None:
    chosen = random.Random(5)
    texts = ["2026-11-26", "10:00:00Z", "P1D", "a@b.c", "::1", "127.0.0.1", "/a~1b", "https://e.org/a b", "x.org", ""]
    texts += ["".join(chosen.choices(string.printable + "äß\u0661", k=chosen.randrange(12))) for _ in range(150)]
    newest = DRAFTS["2020-12"]
    for name in formats.known():
        fits = swift.compiled(newest, newest, "file:///a.json", "", [("file:///a.json", {"format": name})])
        asked: list[Any] = [*texts, *NUMBERS]
        different = [value for value in asked if fits(value) != formats.checker().conforms(value, name)]
        assert different == [], name
