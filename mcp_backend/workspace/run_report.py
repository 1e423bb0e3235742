"""What run_tests answers: counts, the first failures in full, and errors for what is no result of tests."""

from collections.abc import Sequence
from dataclasses import replace

from mcp_backend.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, Json
from mcp_backend.settings import hide_credentials
from mcp_backend.workspace.changes import shown
from mcp_backend.workspace.fence.revert import told
from mcp_backend.workspace.receipts import Scope
from mcp_backend.workspace.runners import Failure, Outcome
from mcp_backend.workspace.running import Run
from mcp_backend.workspace.trees import Tree

SHOWN = 20
MESSAGE = 500
EXCERPT = 2000
NO_COVERAGE = "coverage: the project's environment has no pytest-cov; install it there, or leave it out"


def checked(run: Run, *, coverage: bool, scope: Scope, seconds: float) -> Run:
    """Raises what is no result of tests: they did not start, or not in time. A crash in the middle is an error."""
    outcome = run.outcome
    details: dict[str, Json] = {"passed": outcome.passed, "failed": outcome.failed, "log": str(run.log)}
    if run.timed_out:
        during = f" while {outcome.running} was running" if outcome.running else ""
        raise DeadlineExceeded(
            f"the tests did not end within {seconds:g} s and were stopped{during}; {outcome.passed} had passed. "
            "Give more time, or run a selection",
            details={**details, "running": outcome.running or None, "failures": failures(outcome)},
        )
    if not outcome.trouble:
        return run
    problem = hide_credentials(outcome.problem)
    if coverage and "--cov" in problem and outcome.trouble != "broke off":
        raise FailedPrecondition(NO_COVERAGE)
    if outcome.trouble == "not started":
        elsewhere = problem.startswith("go ") or " cannot be loaded: " in problem  # no package is missing
        python = (
            ""
            if elsewhere
            else " (its packages belong in a .venv beside the project's manifest, which is found by itself)"
        )
        remedy = f"correct that{python}, or a person sets commands.test"
        raise FailedPrecondition(f"{problem}. {remedy}", details={"log": str(run.log)})
    if outcome.trouble == "refused":
        name = "selection" if scope == "selection" else "commands.test"
        raise InvalidArgument(f"{name}: {problem}", details={"log": str(run.log)})
    crash = Failure(outcome.running or "the test run", problem, excerpt=run.tail[-EXCERPT:])
    return replace(run, outcome=replace(outcome, errors=outcome.errors + 1, failures=(*outcome.failures, crash)))


def result(run: Run, commands: Sequence[str]) -> dict[str, Json]:
    """What the tool answers, but for the receipt."""
    outcome = run.outcome
    bad = outcome.failed + outcome.errors
    found: dict[str, Json] = {
        "outcome": "failed" if bad else "passed" if outcome.passed else "no_tests",
        "passed": outcome.passed,
        "failed": outcome.failed,
        "errors": outcome.errors,
        "skipped": outcome.skipped,
        "duration_s": round(run.seconds, 2),
        "failures": failures(outcome),
        "truncated": len(outcome.failures) > SHOWN,
        "log": str(run.log),
        "command": " && ".join(commands),
        "runner": outcome.runner,
        "sandbox": run.sandbox,
    }
    if run.refused:
        found["refused"] = told(run.refused)
    if left := outcome.hidden + outcome.by_option:
        found["deselected"] = left
    if outcome.coverage:
        found["coverage"] = dict(outcome.coverage)
    return found


def failures(outcome: Outcome) -> list[Json]:
    """The first failures, as short as they stay useful."""
    return [
        {"test": f.test, "file": f.file, "line": f.line, "message": hide_credentials(f.message)[:MESSAGE],
         "excerpt": _middle_out(hide_credentials(f.excerpt))}
        for f in outcome.failures[:SHOWN]
    ]  # fmt: skip


def _middle_out(text: str) -> str:
    text = text.strip("\n")
    return text if len(text) <= EXCERPT else f"{text[: EXCERPT // 3]}\n[…]\n{text[-2 * EXCERPT // 3 :]}"


def notes(tree: Tree) -> list[Json]:
    """What the tree of this run does not know."""
    found: list[Json] = []
    if tree.watched:
        found.append(f"known by size and time only, too large to read: {', '.join(map(shown, tree.watched[:3]))}")
    if tree.nested:
        found.append(f"repositories inside this one, not part of the tree: {', '.join(map(shown, tree.nested[:3]))}")
    return found
