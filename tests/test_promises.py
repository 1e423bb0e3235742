"""Every promise has a guard or says what is planned; every guard has proofs; every action is judged.

A proof is a test marked `@pytest.mark.proves("constraint", "refused")` or `"allowed"`.
"""

import ast
import json
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_backend import actions, persona, policy
from mcp_backend.actions import Action
from mcp_backend.cli import main
from mcp_backend.errors import InvalidArgument
from mcp_backend.facts import Facts, Ownership
from mcp_backend.guards import GUARDS, judge
from mcp_backend.policy import Constraint, Policy
from tests import test_guards

TESTS = Path(__file__).parent
PROMISES = persona.load().constraints
OUTCOMES = ("refused", "allowed")


def proofs(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Every `proves` mark of the test modules as (where, constraint, outcome), read without running them."""
    for path in sorted(folder.rglob("test_*.py")):
        text = path.read_text("utf-8")
        if "proves" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "proves"):
                continue
            where = f"{path.name}:{node.lineno}"
            values = [a.value if isinstance(a, ast.Constant) else None for a in node.args]
            assert len(values) == 2, f"{where}: proves(constraint, outcome)"
            assert all(isinstance(value, str) for value in values), f"{where}: proves takes two literal strings"
            yield where, str(values[0]), str(values[1])


PROOFS = tuple(proofs(TESTS))


def test_every_mark_names_a_promise_and_an_outcome() -> None:
    known = {promise.id for promise in PROMISES if promise.guard}
    wrong = [(where, promise, outcome) for where, promise, outcome in PROOFS
             if promise not in known or outcome not in OUTCOMES]  # fmt: skip
    assert wrong == []


def test_every_guarded_promise_has_a_refused_and_an_allowed_proof() -> None:
    proved = {(promise, outcome) for _, promise, outcome in PROOFS}
    lacking = [f"{p.id}: no {o} proof" for p in PROMISES if p.guard for o in OUTCOMES if (p.id, o) not in proved]
    assert lacking == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@pytest.mark.proves('no-frontend')\ndef test_x(): ...", "proves(constraint, outcome)"),
        ("@pytest.mark.proves(NAME, 'refused')\ndef test_x(): ...", "two literal strings"),
    ],
)
def test_a_mark_that_cannot_be_read_is_an_error(tmp_path: Path, source: str, complaint: str) -> None:
    (tmp_path / "test_x.py").write_text(source)
    with pytest.raises(AssertionError) as failure:
        list(proofs(tmp_path))
    assert complaint in str(failure.value)


def test_a_mark_inside_a_parameter_counts(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text("P = pytest.param(1, marks=pytest.mark.proves('no-frontend', 'refused'))")
    assert list(proofs(tmp_path)) == [("test_x.py:1", "no-frontend", "refused")]


@pytest.mark.parametrize("promise", PROMISES, ids=lambda p: p.id)
def test_a_promise_is_complete(promise: Constraint) -> None:
    kinds = {kind.id for kind in persona.load().kinds}
    assert promise.guard in GUARDS or (not promise.guard and promise.planned)
    assert promise.escalate in kinds - {"approval"}
    assert promise.owner
    assert promise.outcome != "approve" or promise.approvers
    assert not promise.disabled_because


def test_ids_and_statements_are_unique() -> None:
    assert len({p.id for p in PROMISES}) == len({p.statement for p in PROMISES}) == len(PROMISES)


def test_every_guard_keeps_some_promise() -> None:
    assert {promise.guard for promise in PROMISES if promise.guard} == set(GUARDS)


def test_every_action_is_judged_or_says_why_not() -> None:
    judged = set[str]()
    owners = {"web/app": Ownership("frontend", "x")}
    samples: tuple[Action, ...] = (
        *test_guards.WRITES,
        test_guards.execute("production"),
        test_guards.publish(),
        actions.ReadRows("main", "development", "DELETE FROM t"),
        actions.ConfigureMessaging("events", "production", ("add stream",)),
        actions.MoveBranch("main", "1" * 40, None),
        actions.CallApi("POST", "http://127.0.0.1:8000/orders"),
        actions.PushCommits("origin", "refs/heads/main", ("1" * 40,), force=False),
    )
    for action in samples:
        facts = test_guards.fit() if isinstance(action, actions.PublishMessage) else Facts(owners=owners)
        if judge([action], Policy(constraints=PROMISES), facts)[0].outcome != "allow":
            judged.add(type(action).__name__)
    every = {kind.__name__ for kind in typing.get_args(Action)}
    assert judged == every


def test_the_table_says_how_each_promise_is_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["check", "--promises", "--workspace", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CONSTRAINT", "STATUS", "GUARD", "STATEMENT"]
    for promise, line in zip(PROMISES, lines[1:], strict=True):
        assert line.startswith(promise.id)
        assert promise.statement in line
        assert f" {promise.status} " in line
        assert (promise.guard or "-") in line
        assert promise.planned in line


def test_programs_get_the_promises_in_force_here(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text(
        '[constraints.write-tests]\noutcome = "warn"\ndisabled_because = "prototype"\n'
        '[constraints.proven-tools]\noutcome = "allow"\ndisabled_because = "no messages"\n'
    )
    assert main(["check", "--promises", "--json", "--workspace", str(tmp_path)]) == 0
    rows = {row["id"]: row for row in json.loads(capsys.readouterr().out)["promises"]}
    assert set(rows) == {promise.id for promise in PROMISES}
    assert (rows["write-tests"]["outcome"], rows["write-tests"]["disabled_because"]) == ("warn", "prototype")
    assert rows["write-tests"]["status"] == "kept"
    assert rows["proven-tools"]["status"] == "switched off"
    assert {rows[name]["status"] for name in ("explicit-errors", "proven-code", "follow-api-spec")} == {"kept"}


def test_a_wrong_policy_is_told_in_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mcp-backend.toml").write_text('[constraints.write-tests]\noutcome = "warn"\n')
    assert main(["check", "--promises", "--workspace", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "loosening a promise needs disabled_because" in printed.err


def loaded(folder: Path) -> Policy:
    """The policy file of the folder over the promises."""
    return policy.load(folder / policy.POLICY_FILE, PROMISES)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('expires = "8h"', "disabled_because"),
        ('expires = "4 hours"', "expected a duration"),
        ('channels = ["terminal", "elicitation"]', "disabled_because"),
        ("channels = []", "disabled_because"),
        ('environments = ["production"]', "disabled_because"),
        ('environments = ["prod"]', "expected some of"),
        ('outcome = ["warn"]', "expected a string"),
        ('disabled_because = "  "\noutcome = "warn"', "disabled_because"),
        ('parameters = "x"', "expected a table"),
        ('outcomes = "deny"', "unknown key"),
    ],
)
def test_loosening_without_a_reason_is_refused(tmp_path: Path, override: str, expected: str) -> None:
    (tmp_path / "mcp-backend.toml").write_text(f"[constraints.data-consistency]\n{override}\n")
    with pytest.raises(InvalidArgument, match=expected):
        loaded(tmp_path)


@pytest.mark.parametrize(
    "override",
    ['outcome = "deny"', 'expires = "1h"', 'channels = ["terminal"]', "environments = []", 'approvers = ["tech_lead"]'],
)
def test_tightening_is_free(tmp_path: Path, override: str) -> None:
    (tmp_path / "mcp-backend.toml").write_text(f"[constraints.data-consistency]\n{override}\n")
    assert loaded(tmp_path).constraint("data-consistency") is not None
