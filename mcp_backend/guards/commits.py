"""A commit carries tests, and the tests passed on exactly this tree."""

from mcp_backend.actions import Action, CreateCommit, listed
from mcp_backend.facts import Facts
from mcp_backend.promises import Constraint, Verdict

SHOWN = 5


def tested_tree(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """Backend changes need a passing test receipt for exactly the tree that is committed."""
    if not isinstance(action, CreateCommit):
        return None
    if (tests := facts.tests) is None:
        return constraint.verdict("it was not looked up what tests say about this commit")
    if tests.receipt is not None or not (tests.needs_tests or tests.needs_run):
        return None
    if tests.newest is None:
        reason = "no test run is known for this tree"
    elif not tests.newest_passed:
        reason = f"the newest test run ({tests.newest}) did not pass, or was of a selection only"
    else:
        content = f"other content of {listed(tests.stale, SHOWN)}" if tests.stale else "a tree that is no longer kept"
        reason = f"the tests that passed ({tests.newest}) ran on {content}"
        if left := tuple(path for path in tests.stale if path not in action.paths):
            which = "which" if left == tests.stale else f"and {listed(left, SHOWN)}"
            reason += f", {which} this commit leaves out: commit what is yours of it too, or take it back"
    return constraint.verdict(reason, step="run_tests")


def carries_tests(action: Action, constraint: Constraint, facts: Facts) -> Verdict | None:
    """A change of backend behaviour comes with a test; documentation, configuration and the like do not need one."""
    if not isinstance(action, CreateCommit) or facts.tests is None:
        return None
    if not facts.tests.needs_tests or facts.tests.carries_tests:
        return None
    return constraint.verdict(
        f"backend code changes without a test: {listed(facts.tests.needs_tests, SHOWN)}",
        "add or change a test that would fail without this change, and commit it together",
    )
