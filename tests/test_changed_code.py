"""Changed code keeps the promises about code: told when it is written, refused when it is committed."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client

from mcp_backend import persona, policy
from mcp_backend.actions import CreateCommit, WriteFile
from mcp_backend.cli import main
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.facts import CodeFinding, Facts, Ownership
from mcp_backend.facts import TestEvidence as Evidence
from mcp_backend.guards import judge
from mcp_backend.policy import Outcome, Policy
from mcp_backend.workspace.code import judging, matching
from mcp_backend.workspace.code.judging import Version
from tests.conftest import SOME_ERAS, Connect, Era, git
from tests.service import Answer, ask, refused, write

pytest_plugins = ("tests.service_fixtures",)
PROMISES = persona.load().constraints
SILENT = "def send(order):\n    try:\n        post(order)\n    except Exception:\n        pass\n"
JUSTIFIED = SILENT.replace("pass\n", "pass  # justified: the queue sends it again within a minute\n")
RACE = (
    "def pay(c, i, n):\n"
    "    b = c.execute('SELECT balance FROM accounts WHERE id = %s', (i,)).fetchone()[0]\n"
    "    c.execute('UPDATE accounts SET balance = %s WHERE id = %s', (b + n, i))\n"
)
OWN = "def valid(body, given):\n    return hmac.new(KEY, body, 'sha256').hexdigest() == given\n"
TEST = "import orders\n\n\ndef test_it():\n    assert orders\n"


def found(path: str, after: str, before: str | None = None) -> list[tuple[int, str, bool]]:
    """Line, rule and sureness of what the rules say about one changed file."""
    change = Version(path, None if before is None else before.encode(), after.encode())
    return [(f.line, f.rule, f.sure) for f in judging.changed([change])]


def finding(constraint: str, **about: Any) -> CodeFinding:
    """A finding in a.py."""
    known = CodeFinding("a.py", 7, "py-x", constraint, True, "this is swallowed", "log it")
    return replace(known, **about)


def facts(*findings: CodeFinding, **about: Any) -> Facts:
    """Facts in which a.py is the backend's and needs no test."""
    return Facts(owners={"a.py": Ownership("backend", "x")}, tests=Evidence(None), code=findings, **about)


COMMIT = CreateCommit(("a.py",), "Add orders", "1" * 40)
WRITE = WriteFile("a.py", None, "0" * 64)
EACH = ("explicit-errors", "proven-code", "consistent-code")


def with_parameters(**parameters: object) -> Policy:
    """The promises with these parameters for those about code."""
    return Policy(
        constraints=tuple(replace(c, parameters=parameters) if c.guard == "changed_code" else c for c in PROMISES)
    )


@pytest.mark.parametrize("constraint", EACH)
@pytest.mark.proves("explicit-errors", "refused")
@pytest.mark.proves("proven-code", "refused")
@pytest.mark.proves("consistent-code", "refused")
def test_a_commit_with_a_sure_finding_is_refused_and_told_what_to_write(constraint: str) -> None:
    verdict, _ = judge([COMMIT], Policy(constraints=PROMISES), facts(finding(constraint)))
    assert (verdict.outcome, verdict.constraint) == ("deny", constraint)
    assert "a.py:7: this is swallowed (py-x)" in verdict.reason
    assert "log it" in verdict.remedy
    assert "# justified: …" in verdict.remedy


@pytest.mark.parametrize("constraint", EACH)
@pytest.mark.proves("explicit-errors", "allowed")
@pytest.mark.proves("proven-code", "allowed")
@pytest.mark.proves("consistent-code", "allowed")
def test_what_is_justified_or_only_suspected_does_not_stop_a_commit(constraint: str) -> None:
    said = Policy(constraints=PROMISES)
    justified = finding(constraint, justification="the broker deduplicates by this id")
    assert judge([COMMIT], said, facts(justified))[0].outcome == "allow"
    verdict, warnings = judge([COMMIT], said, facts(finding(constraint, sure=False)))
    assert verdict.outcome == "warn"
    assert [(w.constraint, "log it" in w.reason) for w in warnings] == [(constraint, True)]


def test_a_reason_that_explains_nothing_is_none() -> None:
    short = finding("explicit-errors", justification="needed")
    assert judge([COMMIT], Policy(constraints=PROMISES), facts(short))[0].outcome == "deny"


def test_a_write_is_warned_and_never_refused() -> None:
    verdict, warnings = judge([WRITE], Policy(constraints=PROMISES), facts(finding("explicit-errors")))
    assert (verdict.outcome, len(warnings)) == ("warn", 1)
    assert "a.py:7: this is swallowed; log it (py-x)" in warnings[0].reason


@pytest.mark.parametrize("outcome", ["warn", "approve", "deny"])
def test_the_outcome_of_the_policy_decides_what_a_sure_finding_does(outcome: Outcome) -> None:
    said = Policy(constraints=tuple(replace(c, outcome=outcome) for c in PROMISES if c.id == "explicit-errors"))
    assert judge([COMMIT], said, facts(finding("explicit-errors")))[0].outcome == outcome


@pytest.mark.parametrize(
    ("decided", "outcome"), [(True, "allow"), (False, "deny"), (None, "warn")], ids=["decided", "not", "unknown"]
)
def test_a_policy_may_ask_for_a_persons_decision_instead_of_words(decided: bool | None, outcome: Outcome) -> None:
    named = finding("proven-code", justification="ESC-0a1b2c3d: no library", decision="ESC-0a1b2c3d", decided=decided)
    assert judge([COMMIT], with_parameters(justification="decision"), facts(named))[0].outcome == outcome
    words = finding("proven-code", justification="no library speaks this protocol")
    verdict, _ = judge([COMMIT], with_parameters(justification="decision"), facts(words))
    assert (verdict.outcome, "ESC-…" in verdict.remedy) == ("deny", True)


def test_asking_for_decisions_is_free_and_any_other_wish_needs_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "mcp-backend.toml"
    file.write_text('[constraints.proven-code.parameters]\njustification = "decision"\n')
    loaded = policy.load(file, PROMISES).constraint("proven-code")
    assert loaded is not None
    assert loaded.parameters["justification"] == "decision"
    file.write_text('[constraints.proven-code.parameters]\njustification = "none"\n')
    with pytest.raises(InvalidArgument, match="needs disabled_because"):
        policy.load(file, PROMISES)


def test_code_that_could_not_be_judged_is_said_at_the_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> None:
        raise Unavailable(matching.MISSING)

    monkeypatch.setattr(matching, "matches", missing)
    code, why = judging.looked([Version("a.py", None, SILENT.encode())])
    assert (code, "mcp-backend[rules]" in why) == ((), True)
    verdict, warnings = judge([COMMIT], Policy(constraints=PROMISES), facts(code_unjudged=why))
    assert verdict.outcome == "warn"
    assert {w.constraint for w in warnings} == set(EACH)
    assert judge([WRITE], Policy(constraints=PROMISES), facts(code_unjudged=why))[0].outcome == "allow"


def test_only_added_lines_count() -> None:
    assert found("orders/send.py", SILENT) == [(4, "py-except-pass", True)]
    assert found("orders/send.py", SILENT + "\n\nLIMIT = 3\n", SILENT) == []
    assert found("orders/send.py", "import os\n" + SILENT, SILENT) == []
    fixed = SILENT.replace("Exception", "KeyError")
    assert found("orders/send.py", SILENT, fixed) == [(4, "py-except-pass", True)]


def test_what_is_indented_or_moved_is_no_news() -> None:
    wrapped = "class Sender:\n" + "".join(f"    {line}\n" for line in SILENT.splitlines())
    assert found("orders/send.py", wrapped, SILENT) == []
    twice = SILENT + "\n\n" + SILENT.replace("send", "again")
    assert found("orders/send.py", twice, SILENT) == [(11, "py-except-pass", True)]
    moved = [Version("orders/old.py", SILENT.encode(), b"X = 1\n"), Version("orders/new.py", None, SILENT.encode())]
    assert judging.changed(moved) == []
    assert judging.changed([Version("orders/old.py", SILENT.encode(), None), moved[1]]) == []


@pytest.mark.parametrize(
    "path",
    [
        "tests/test_send.py", "orders/conftest.py", "pkg/send_test.go", "vendor/x/send.py", "orders/pb/send_pb2.py",
        "internal/testing/fake.py", "README.md", "orders/send.ts",
    ],
)  # fmt: skip
def test_tests_and_other_peoples_code_are_not_judged(path: str) -> None:
    assert found(path, SILENT) == []


@pytest.mark.parametrize(
    "path",
    ["shop/tasks.py", "latest/send.py", "shop/tools/send.py", "contest/send.py", "testimonials/send.py", "api/conf.py"],
)
def test_names_that_only_look_like_tests_or_scripts_are_judged(path: str) -> None:
    assert found(path, SILENT) == [(4, "py-except-pass", True)]


def test_generated_code_is_not_judged() -> None:
    assert found("orders/x.py", "# Code generated by protoc. DO NOT EDIT.\n" + SILENT) == []
    head = '"""Orders API\n\nGenerated by OpenAPI Generator\n\nDo not edit the class manually.\n"""\n'
    assert found("orders/x.py", head + SILENT) == []


def test_go_code_for_tests_is_not_judged() -> None:
    text = 'package x\n\nimport (\n\t"testing"\n)\n\nfunc f() {\n\t_ = err\n}\n'
    assert found("drivertest/listener.go", text) == []
    assert found("driver/listener.go", text.replace("testing", "time")) == [(8, "go-error-thrown-away", True)]


def test_scripts_are_warned_only_and_data_migrations_have_no_races() -> None:
    assert found("scripts/send.py", SILENT) == [(4, "py-except-pass", False)]
    assert found("orders/pay.py", RACE) == [(3, "py-sql-read-then-write", True)]
    assert found("orders/migrations/0003_pay.py", RACE) == []


@pytest.mark.parametrize(
    "text",
    [
        JUSTIFIED,
        SILENT.replace("Exception:", "Exception:  # noqa: BLE001 - the queue sends it again within a minute"),
        SILENT.replace("    except", "    # justified: the queue sends it again\n    # within a minute\n    except"),
    ],
)
def test_a_justification_is_read_beside_the_place(text: str) -> None:
    (one,) = judging.changed([Version("orders/send.py", None, text.encode())])
    assert one.justification == "the queue sends it again within a minute"


def test_an_escalation_alone_is_a_justification_that_can_be_looked_up() -> None:
    (one,) = judging.changed([Version("a.py", None, (OWN.rstrip() + "  # justified: ESC-0a1b2c3d\n").encode())])
    assert (one.justification, one.decision) == ("ESC-0a1b2c3d", "ESC-0a1b2c3d")
    assert (
        judge([CreateCommit(("a.py",), "x", "1" * 40)], Policy(constraints=PROMISES), facts(one))[0].outcome == "deny"
    )


@pytest.mark.parametrize("mark", ["# noqa", "# noqa: BLE001", "# type: ignore", "# pylint: disable=broad-except"])
def test_a_mark_without_a_reason_justifies_nothing(mark: str) -> None:
    (one,) = judging.changed([Version("a.py", None, SILENT.replace("Exception:", f"Exception:  {mark}").encode())])
    assert (one.sure, one.justification) == (True, "")


def test_a_plain_comment_turns_a_refusal_into_a_warning() -> None:
    assert found("a.py", SILENT.replace("pass\n", "pass  # best effort, sent again by the queue\n")) == [
        (4, "py-except-pass", False)
    ]


@pytest.mark.parametrize(
    "comment",
    [
        "# ignore", "# Ignore all errors here silently", "# we do not care about any failure", "# noqa: BLE001",
        "# justified: ignore every error here", "# justified: just ignore any exception",
    ],
)  # fmt: skip
def test_words_that_only_say_that_it_is_ignored_give_no_reason(comment: str) -> None:
    (one,) = judging.changed([Version("a.py", None, SILENT.replace("pass\n", f"pass  {comment}\n").encode())])
    assert (one.sure, one.justification) == (True, "")


async def rejected(client: Client, **more: Any) -> Answer:
    error = await refused(client, "git_commit", message="Send orders", **more)
    assert error["code"] == "permission_denied", error
    return error


@pytest.mark.parametrize("era", SOME_ERAS)
async def test_a_silent_failure_is_told_when_written_and_refused_when_committed(
    service: Path, connect: Connect, era: Era
) -> None:
    write(service, {"tests/test_send.py": TEST})
    async with connect(service, mode=era) as client:
        made = await ask(client, "write_file", path="orders/send.py", content=SILENT)
        (warning,) = made["warnings"]
        assert warning["constraint"] == "explicit-errors"
        assert "orders/send.py:4: every error is swallowed here without a trace; catch the" in warning["reason"]
        await ask(client, "run_tests")
        error = await rejected(client)
        assert error["constraint"] == "explicit-errors"
        assert error["reason"].startswith("orders/send.py:4: every error is swallowed here")
        assert "logger.exception" in error["details"]["instead"]
        assert error["details"]["escalate"] == "trade_off"
        fixed = await ask(
            client, "edit_file", path="orders/send.py", edits=[{"old": "except Exception", "new": "except KeyError"}]
        )
        assert "warnings" not in fixed
        await ask(client, "run_tests")
        assert (await ask(client, "git_commit", message="Send orders"))["commit"]


async def test_a_justified_place_is_committed_and_the_reason_is_in_the_audit(service: Path, connect: Connect) -> None:
    write(service, {"tests/test_send.py": TEST, "orders/send.py": JUSTIFIED})
    async with connect(service) as client:
        await ask(client, "run_tests")
        assert "warnings" not in await ask(client, "git_commit", message="Send orders")
        (shown,) = (await client.read_resource("audit://recent")).contents
    assert "orders/send.py:4 py-except-pass: the queue sends it again within a minute" in shown.text  # type: ignore[union-attr]


async def test_an_innocent_change_beside_an_old_sin_is_committed(service: Path, connect: Connect) -> None:
    write(service, {"orders/send.py": SILENT + OWN + RACE})
    git(service, "add", "-A")
    git(service, "commit", "--quiet", "-m", "old")
    text = SILENT + OWN + RACE + "\n\nLIMIT = 3\n"
    write(service, {"orders/send.py": text, "tests/test_send.py": TEST})
    async with connect(service) as client:
        await ask(client, "run_tests")
        assert "warnings" not in await ask(client, "git_commit", message="Limit")


async def test_a_decision_of_a_person_is_looked_up(service: Path, connect: Connect) -> None:
    with (service / "mcp-backend.toml").open("a") as file:
        file.write('[constraints.proven-code.parameters]\njustification = "decision"\n')
    git(service, "add", "-A")
    git(service, "commit", "--quiet", "-m", "policy")
    details = {
        "options": [{"name": "compare_digest"}, {"name": "=="}], "recommended": "==", "cost_of_delay": "a day",
    }  # fmt: skip
    async with connect(service) as client:
        asked = await ask(
            client, "escalate", kind="trade_off", title="Compare signatures", question="May we?", details=details
        )
        mark = f"# justified: {asked['id']} the partner signs over a closed line"
        write(service, {"tests/test_own.py": TEST, "orders/own.py": f"{OWN.rstrip()}  {mark}\n"})
        await ask(client, "run_tests")
        assert (await rejected(client))["constraint"] == "proven-code"
        await ask(client, "run_tests")
        args = ["inbox", "answer", asked["id"], "--text", "==", "--workspace", str(service)]
        assert await asyncio.to_thread(main, args) == 0
        paths = ["orders/own.py", "tests/test_own.py"]
        assert (await ask(client, "git_commit", message="Compare", paths=paths))["commit"]


def test_check_names_places_in_changed_code(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(repository, {"orders/pay.py": OWN + RACE, "orders/get.py": "import requests\nrequests.get(U)\n"})
    git(repository, "add", ".")
    assert main(["check", "--staged", "--workspace", str(repository)]) == 1
    printed = capsys.readouterr().out
    assert "orders/pay.py:2: proven-code: comparing a signature with == tells" in printed
    assert "orders/pay.py:5: consistent-code: between this SELECT and this UPDATE" in printed
    assert "orders/get.py:2: explicit-errors (warning): without a timeout" in printed
    main(["check", "--staged", "--format", "sarif", "--workspace", str(repository)])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    places = {
        (r["ruleId"], r["level"], r["locations"][0]["physicalLocation"]["region"]["startLine"]) for r in run["results"]
    }
    assert {("proven-code", "error", 2), ("consistent-code", "error", 5), ("explicit-errors", "warning", 2)} <= places
