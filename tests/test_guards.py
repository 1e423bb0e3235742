"""Every promise, judged: what is refused and, beside it, the nearest honest call that is allowed."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from mcp_backend import persona
from mcp_backend.actions import (
    Action,
    CallApi,
    ConfigureMessaging,
    CreateCommit,
    DeleteFile,
    ExecuteSql,
    MoveBranch,
    MoveFile,
    PublishMessage,
    PushCommits,
    ReadRows,
    RunCommand,
    WriteFile,
)
from mcp_backend.facts import Facts, MessageFit, Owner, Ownership, RefFacts, Rehearsal, Secret, Statement
from mcp_backend.facts import TestEvidence as Evidence
from mcp_backend.guards import judge
from mcp_backend.policy import Outcome, Policy, Verdict

POLICY = Policy(constraints=persona.load().constraints)
PAYLOAD = "0" * 64


def owned(**owners: Owner) -> Facts:
    """Facts in which each path (with `_` for `/`) belongs to somebody, and a commit of them needs no test."""
    found = {path.replace("_", "/"): Ownership(owner, f"rule of {path}") for path, owner in owners.items()}
    return Facts(owners=found, tests=Evidence(None))


def verdict(action: Action, facts: Facts, policy: Policy = POLICY) -> Verdict:
    """What the judge says about one action."""
    return judge([action], policy, facts)[0]


def write(path: str) -> WriteFile:
    """A new file."""
    return WriteFile(path, None, PAYLOAD)


def commit(*paths: str) -> CreateCommit:
    """A commit of these paths."""
    return CreateCommit(paths, "Add orders", "1" * 40)


def publish(environment: str = "development") -> PublishMessage:
    """One message to orders.created."""
    return PublishMessage("events", environment, "orders.created", "m1", (), PAYLOAD, None)


REHEARSED = Facts(rehearsal=Rehearsal("main", "safe"))


def execute(environment: str) -> ExecuteSql:
    """One schema change."""
    return ExecuteSql("main", environment, ("CREATE TABLE t (id int)",), "v1")


WRITES: tuple[Action, ...] = (
    write("web/app"),
    DeleteFile("web/app"),
    MoveFile("web/app", "backend/app"),
    MoveFile("backend/app", "web/app"),
    RunCommand(("sh", "-c", "make"), ".", ("backend/app", "web/app")),
    commit("backend/app", "web/app"),
)
"""Every way to touch `web/app`."""


@pytest.mark.proves("no-frontend", "refused")
@pytest.mark.parametrize("action", WRITES, ids=lambda a: type(a).__name__)
def test_a_frontend_file_is_refused_however_it_is_touched(action: Action) -> None:
    said = verdict(action, owned(web_app="frontend", backend_app="backend"))
    assert (said.outcome, said.constraint) == ("deny", "no-frontend")
    assert "web/app (rule of web_app)" in said.reason
    assert "backend/app" not in said.reason
    assert "frontend_contract" in said.remedy


@pytest.mark.proves("no-frontend", "allowed")
@pytest.mark.parametrize("action", WRITES, ids=lambda a: type(a).__name__)
def test_the_same_on_a_backend_file_is_allowed(action: Action) -> None:
    assert verdict(action, owned(web_app="backend", backend_app="backend")).outcome == "allow"


@pytest.mark.parametrize("owner", ["grey_template", "grey_js", "grey_asset", "grey_embed"])
def test_a_grey_zone_warns_and_goes_on(owner: Owner) -> None:
    strictest, warnings = judge([write("web/app"), write("web/app")], POLICY, owned(web_app=owner))
    assert strictest.outcome == "warn"
    assert [w.constraint for w in warnings] == ["no-frontend"]


@pytest.mark.proves("follow-api-spec", "refused")
@pytest.mark.parametrize("action", WRITES, ids=lambda a: type(a).__name__)
def test_a_specification_file_is_the_architects(action: Action) -> None:
    said = verdict(action, owned(web_app="spec", backend_app="backend"))
    assert (said.outcome, said.constraint) == ("deny", "follow-api-spec")
    assert "spec_clarification" in said.remedy


@pytest.mark.proves("follow-api-spec", "allowed")
def test_implementing_a_specification_is_allowed() -> None:
    assert verdict(commit("src/orders"), owned(src_orders="backend", api_openapi="spec")).outcome == "allow"


@pytest.mark.proves("guarded-settings", "refused")
@pytest.mark.parametrize("owner", ["policy", "git"])
@pytest.mark.parametrize("action", WRITES, ids=lambda a: type(a).__name__)
def test_what_steers_the_guards_is_edited_by_people(action: Action, owner: Owner) -> None:
    said = verdict(action, owned(web_app=owner, backend_app="backend"))
    assert (said.outcome, said.constraint) == ("deny", "guarded-settings")


@pytest.mark.proves("guarded-settings", "refused")
def test_a_link_in_a_commit_is_refused() -> None:
    facts = replace(owned(src_orders="backend"), special_files=("src/link",))
    said = verdict(commit("src/orders", "src/link"), facts)
    assert (said.outcome, said.constraint) == ("deny", "guarded-settings")
    assert "src/link" in said.reason


@pytest.mark.proves("guarded-settings", "allowed")
@pytest.mark.parametrize("owner", ["backend", "shared"])
def test_other_settings_of_the_repository_are_allowed(owner: Owner) -> None:
    assert verdict(write("web/app"), owned(web_app=owner)).outcome == "allow"


def evidence(**known: object) -> Facts:
    """A commit of src/orders about which this is known of tests."""
    tests = replace(Evidence(None, needs_tests=("src/orders",), carries_tests=True), **known)  # type: ignore[arg-type]
    return replace(owned(src_orders="backend"), tests=tests)


@pytest.mark.proves("write-tests", "refused")
def test_backend_code_without_a_test_is_refused() -> None:
    said = verdict(commit("src/orders"), evidence(carries_tests=False, receipt="r1"))
    assert (said.outcome, said.constraint, said.step) == ("deny", "write-tests", "")
    assert "src/orders" in said.reason


@pytest.mark.proves("write-tests", "allowed")
@pytest.mark.parametrize(
    "known",
    [{"receipt": "r1"}, {"needs_tests": (), "carries_tests": False}],
    ids=["with its test", "nothing that needs one"],
)
def test_a_commit_that_carries_its_tests_or_needs_none_is_allowed(known: dict[str, object]) -> None:
    assert verdict(commit("src/orders"), evidence(**known)).outcome == "allow"


@pytest.mark.proves("tested-commits", "refused")
@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({}, "no test run is known"),
        ({"newest": "r1"}, "did not pass"),
        ({"newest": "r1", "newest_passed": True, "stale": ("src/orders",)}, "other content of src/orders"),
        (
            {"newest": "r1", "newest_passed": True, "stale": ("src/orders", "src/left")},
            "other content of src/orders, src/left, and src/left this commit leaves out: commit what is yours",
        ),
        (
            {"newest": "r1", "newest_passed": True, "stale": ("src/left",)},
            "other content of src/left, which this commit leaves out: commit what is yours of it too, or take it back",
        ),
    ],
    ids=["never run", "failed", "changed since", "also left out", "left out"],
)
def test_a_commit_of_an_untested_tree_names_the_step_that_is_missing(known: dict[str, object], reason: str) -> None:
    said = verdict(commit("src/orders"), evidence(**known))
    assert (said.outcome, said.constraint, said.step) == ("deny", "tested-commits", "run_tests")
    assert reason in said.reason


@pytest.mark.proves("tested-commits", "allowed")
@pytest.mark.parametrize("known", [{"receipt": "r1"}, {"needs_tests": ()}], ids=["tested", "documentation"])
def test_a_commit_of_exactly_what_passed_is_allowed(known: dict[str, object]) -> None:
    assert verdict(commit("src/orders"), evidence(**known)).outcome == "allow"


@pytest.mark.proves("reads-stay-reads", "refused")
@pytest.mark.parametrize(
    "statements",
    [(), (Statement("SELECT 1", True),), (Statement("DELETE FROM t", False, "it deletes from t"),)],
    ids=["not analysed", "another one analysed", "writes"],
)
def test_what_is_not_wholly_understood_as_a_read_is_refused(statements: tuple[Statement, ...]) -> None:
    action = ReadRows("main", "development", "DELETE FROM t")
    said = verdict(action, Facts(statements=statements))
    assert (said.outcome, said.constraint) == ("deny", "reads-stay-reads")
    assert "run_migration" in said.remedy


@pytest.mark.proves("reads-stay-reads", "allowed")
def test_a_read_is_allowed_in_every_environment() -> None:
    for environment in ("development", "staging", "production"):
        action = ReadRows("main", environment, "SELECT 1")
        assert verdict(action, Facts(statements=(Statement("SELECT 1", True),))).outcome == "allow"


@pytest.mark.proves("reads-stay-reads", "refused")
@pytest.mark.parametrize("method", ["POST", "DELETE", "get"])
def test_a_running_service_is_not_asked_what_may_change_something(method: str) -> None:
    said = verdict(CallApi(method, "http://127.0.0.1:8000/orders"), Facts())
    assert (said.outcome, said.constraint) == ("deny", "reads-stay-reads")


@pytest.mark.proves("reads-stay-reads", "allowed")
def test_a_running_service_is_asked_what_only_reads() -> None:
    assert verdict(CallApi("GET", "http://127.0.0.1:8000/orders"), Facts()).outcome == "allow"


@pytest.mark.proves("no-secrets", "refused")
@pytest.mark.parametrize(
    ("action", "place"),
    [(commit("src/a", "src/b"), "src/a"), (write("src/a"), "src/a"), (publish(), "orders.created")],
    ids=lambda x: type(x).__name__,
)
def test_a_credential_is_refused_and_only_its_place_is_told(action: Action, place: str) -> None:
    facts = replace(
        owned(src_a="backend", src_b="backend"),
        secrets=(Secret(place, 3, "aws_access_key"),),
        messages=(MessageFit("orders.created", "orders.json", True),),
    )
    said = verdict(action, facts)
    assert (said.outcome, said.constraint) == ("deny", "no-secrets")
    assert f"aws_access_key at {place}:3" in said.reason


@pytest.mark.proves("no-secrets", "allowed")
def test_a_credential_elsewhere_does_not_hold_up_a_commit() -> None:
    facts = replace(owned(src_b="backend"), secrets=(Secret("src/a", 3, "aws_access_key"),))
    assert verdict(commit("src/b"), facts).outcome == "allow"


def test_what_nobody_looked_up_is_refused_not_guessed() -> None:
    assert verdict(write("src/a"), Facts()).outcome == "deny"
    untested = replace(owned(src_a="backend"), tests=None)
    assert verdict(commit("src/a"), untested).constraint == "tested-commits"


def fit(**about: object) -> Facts:
    """What is known of a message to orders.created."""
    return Facts(messages=(replace(MessageFit("orders.created", None, True), **about),))  # type: ignore[arg-type]


@pytest.mark.proves("proven-tools", "refused")
@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"contract": "orders.json", "fits": False, "problems": ("id: is required",)}, "id: is required"),
        ({}, "needs `justification`"),
        ({"justification": "  just because     "}, "needs `justification`"),
        ({"justification": "the legacy billing host reads this", "expired": "it ended on 2026-01-01"}, "2026-01-01"),
        ({"unsafe_format": "pickle", "justification": "we have always sent it in this way"}, "cannot be justified"),
    ],
    ids=["does not fit", "no contract", "no reason", "expired", "unsafe"],
)
def test_a_message_without_a_kept_contract_is_refused(about: dict[str, object], reason: str) -> None:
    said = verdict(publish(), fit(**about))
    assert (said.outcome, said.constraint) == ("deny", "proven-tools")
    assert reason in said.reason
    assert said.remedy


@pytest.mark.proves("proven-tools", "allowed")
@pytest.mark.parametrize(
    "about",
    [{"contract": "orders.json"}, {"justification": "the legacy billing host reads only this form"}],
    ids=["fits", "justified"],
)
def test_a_message_that_fits_or_is_justified_is_allowed(about: dict[str, object]) -> None:
    assert verdict(publish(), fit(**about)).outcome == "allow"


@pytest.mark.proves("data-consistency", "refused")
@pytest.mark.parametrize("environment", ["staging", "production"])
def test_a_change_of_a_shared_system_waits_for_a_person(environment: str) -> None:
    changes: tuple[Action, ...] = (execute(environment), ConfigureMessaging("events", environment, ("add stream",)))
    for action in changes:
        said = verdict(action, REHEARSED)
        assert (said.outcome, said.constraint) == ("approve", "data-consistency")
        assert environment in said.reason


@pytest.mark.proves("data-consistency", "allowed")
def test_a_change_in_development_does_not_wait() -> None:
    changes: tuple[Action, ...] = (execute("development"), ConfigureMessaging("events", "development", ("add stream",)))
    assert [verdict(action, REHEARSED).outcome for action in changes] == ["allow", "allow"]


@pytest.mark.proves("rehearsed-migrations", "refused")
@pytest.mark.parametrize("known", [None, Rehearsal("other", "safe")], ids=["nothing", "another engine"])
def test_statements_of_which_no_rehearsal_is_known_do_not_run(known: Rehearsal | None) -> None:
    said = verdict(execute("development"), Facts(rehearsal=known))
    assert (said.outcome, said.constraint) == ("deny", "rehearsed-migrations")
    assert "run_migration" in said.remedy


@pytest.mark.proves("rehearsed-migrations", "allowed")
def test_where_the_policy_wants_no_rehearsal_statements_run_without() -> None:
    assert verdict(execute("development"), Facts(rehearsal=Rehearsal("main", "off"))).outcome == "allow"


def test_deny_beats_approve_beats_warn_beats_allow() -> None:
    facts = replace(owned(web_app="frontend", web_page="grey_template", src_orders="backend"), messages=())
    facts = replace(facts, rehearsal=REHEARSED.rehearsal)
    allow, warn, approve, deny = write("src/orders"), write("web/page"), execute("production"), write("web/app")
    calls: list[Action] = []
    for action, expected in ((allow, "allow"), (warn, "warn"), (approve, "approve"), (deny, "deny")):
        calls.append(action)
        for order in (calls, calls[::-1]):
            strictest, warnings = judge(order, POLICY, facts)
            assert strictest.outcome == expected
            assert len(warnings) == (1 if warn in order else 0)


def test_among_equals_the_first_promise_of_the_persona_speaks() -> None:
    facts = replace(owned(web_app="frontend"), secrets=(Secret("web/app", 1, "key"),))
    assert verdict(write("web/app"), facts).constraint == "no-frontend"


@pytest.mark.parametrize(("outcome", "expected"), [("allow", "allow"), ("warn", "warn"), ("approve", "approve")])
def test_a_repository_can_loosen_a_promise(outcome: Outcome, expected: str) -> None:
    loosened = tuple(replace(c, outcome=outcome) if c.id == "no-frontend" else c for c in POLICY.constraints)
    said = verdict(write("web/app"), owned(web_app="frontend"), Policy(constraints=loosened))
    assert said.outcome == expected


def test_a_promise_limited_to_environments_leaves_the_others_alone() -> None:
    limited = tuple(replace(c, environments=("production",)) for c in POLICY.constraints)
    policy = Policy(constraints=limited)
    assert verdict(ReadRows("main", "development", "DELETE FROM t"), Facts(), policy).outcome == "allow"
    assert verdict(ReadRows("main", "production", "DELETE FROM t"), Facts(), policy).outcome == "deny"
    assert verdict(write("web/app"), owned(web_app="frontend"), policy).outcome == "deny", "files have no environment"


def test_a_guard_changes_nothing() -> None:
    facts = Facts(owners=MappingProxyType({"web/app": Ownership("frontend", "x")}))
    assert verdict(write("web/app"), facts) == verdict(write("web/app"), facts)


MAIN = "refs/heads/main"


def push(ref: str = "refs/heads/orders", *, force: bool = False, paths: tuple[str, ...] = ()) -> PushCommits:
    """One commit to a branch of origin."""
    return PushCommits("origin", ref, ("1" * 40,), force, paths)


@pytest.mark.proves("protected-branches", "refused")
@pytest.mark.parametrize(
    ("action", "refs", "outcome"),
    [
        (push(MAIN), RefFacts((MAIN,)), "deny"),
        (push(MAIN, force=True), RefFacts((MAIN,)), "deny"),
        (push(force=True), RefFacts((MAIN,)), "approve"),
        (push(), None, "deny"),
        (MoveBranch("main", "1" * 40, None), RefFacts((MAIN,)), "deny"),
        (MoveBranch("orders", "1" * 40, "2" * 40), RefFacts((MAIN,), ("3" * 40,)), "deny"),
        (MoveBranch("orders", None, "2" * 40), None, "deny"),
    ],
)
def test_a_protected_branch_is_neither_pushed_to_nor_rewritten(
    action: Action, refs: RefFacts | None, outcome: Outcome
) -> None:
    found = verdict(action, Facts(refs=refs))
    assert (found.outcome, found.constraint) == (outcome, "protected-branches")


@pytest.mark.proves("protected-branches", "allowed")
@pytest.mark.parametrize("action", [push(), MoveBranch("orders", None, "2" * 40), MoveBranch("orders", "1" * 40, None)])
def test_a_branch_of_ones_own_moves_freely(action: Action) -> None:
    assert verdict(action, Facts(refs=RefFacts((MAIN,)))).outcome == "allow"


def test_a_push_is_judged_by_what_its_commits_change() -> None:
    facts = replace(owned(web_app="frontend"), refs=RefFacts((MAIN,)))
    assert verdict(push(paths=("web/app",)), facts).constraint == "no-frontend"
    leaked = Facts(owners=owned(orders_api="backend").owners, refs=RefFacts((MAIN,)),
                   secrets=(Secret("orders/api", 1, "a key"),))  # fmt: skip
    assert verdict(push(paths=("orders/api",)), leaked).constraint == "no-secrets"
