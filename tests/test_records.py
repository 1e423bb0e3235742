"""Frozen data without the cost of `dataclasses`: it behaves as data classes do, also towards `dataclasses`."""

import copy
import dataclasses
import pickle
import re
from typing import Any

import pytest

from mcp_backend.actions import DeleteFile, PushCommits, WriteFile
from mcp_backend.expressions import Expression
from mcp_backend.facts import Facts, Ownership
from mcp_backend.policy import Policy
from mcp_backend.records import replace
from mcp_backend.workspace.shell_parts import Command, Word

FILE = WriteFile("a", None, "1")


def test_values_are_given_by_place_or_name_and_defaults_fill_the_rest() -> None:
    assert WriteFile("a", sha256_after="1", sha256_before=None) == FILE
    assert PushCommits("origin", "r", ("1",), False).paths == ()
    assert (Word("x").plain, Word("x", False).plain) == (True, False)


@pytest.mark.parametrize(
    ("given", "named"), [((), {}), (("a", "b"), {}), (("a",), {"path": "b"}), ((), {"file": "a"}), (("a",), {"x": 1})]
)
def test_values_that_do_not_fit_are_refused(given: tuple[str, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="DeleteFile"):
        DeleteFile(*given, **named)


def test_what_is_frozen_does_not_change_and_has_a_hash() -> None:
    for change in (lambda: setattr(FILE, "path", "b"), lambda: delattr(FILE, "path"), lambda: setattr(FILE, "x", 1)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            change()
    assert hash(FILE) == hash(WriteFile("a", None, "1"))
    assert FILE not in {DeleteFile("a"), WriteFile("a", "0", "1")}
    with pytest.raises(TypeError):
        hash(Word("x"))


def test_each_instance_has_its_own_default() -> None:
    one, other = Command(), Command()
    one.words.append(Word("x"))
    assert other.words == []
    assert dict(Facts().owners) == {}


def test_the_standard_library_takes_them_for_data_classes() -> None:
    assert [field.name for field in dataclasses.fields(FILE)] == ["path", "sha256_before", "sha256_after"]
    assert dataclasses.asdict(Ownership("backend", "R5")) == {"owner": "backend", "rule": "R5"}
    assert dataclasses.replace(FILE, path="b") == replace(FILE, path="b") == WriteFile("b", None, "1")
    assert replace(Policy(), frontend=("web/**",)).frontend == ("web/**",)
    assert repr(FILE) == "WriteFile(path='a', sha256_before=None, sha256_after='1')"
    assert copy.deepcopy(FILE) == pickle.loads(pickle.dumps(FILE)) == FILE
    match FILE:
        case WriteFile(path, before):
            assert (path, before) == ("a", None)


def test_an_expression_is_compiled_when_it_is_used() -> None:
    wrong = Expression("(")
    with pytest.raises(re.error):
        wrong.match("x")
    digits = Expression(r"(?P<d>\d+)", re.ASCII)
    found = digits.search("a12")
    assert found is not None
    assert (found["d"], digits.sub("-", "a1b2"), digits.fullmatch("1x")) == ("12", "a-b-", None)
    assert [m[0] for m in digits.finditer("1 22")] == ["1", "22"]
    assert digits.compiled is digits.compiled
