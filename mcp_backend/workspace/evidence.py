"""What a commit needs to show: which of its paths should come with a test, which are tests, and whether a receipt
speaks for exactly this content.
"""

import ast
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from mcp_backend.facts import Owner, TestEvidence
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace.canonical import canonical, words
from mcp_backend.workspace.changes import classified
from mcp_backend.workspace.current import roots_before, roots_of
from mcp_backend.workspace.globs import fits
from mcp_backend.workspace.go_source import tokens
from mcp_backend.workspace.ownership import decided
from mcp_backend.workspace.receipts import Receipt
from mcp_backend.workspace.roots import Roots

_SOURCE = words(
    "py go rs java kt kts scala groovy rb php cs fs ts mts cts js mjs cjs ex exs erl clj cljs hs ml c cc cpp cxx h hpp "
    "swift sql lua pl pm zig nim dart"
)
_TEST = re.compile(
    r"test_.*\.py|.*_test\.py|tests\.py|.*_test\.go|.*[._](test|spec)\.[mc]?[jt]sx?|.*tests?\.(java|kt|cs|scala)"
    r"|.*_(test|spec)\.(rb|exs?|rs|php|dart|clj)|.*test\.php"
)
_TEST_FOLDERS = words("tests test testing testdata __tests__ spec fixtures testutil testutils")
_MIGRATIONS = words("migrations migration migrate alembic changelog flyway liquibase")
_GENERATED_NAME = re.compile(
    r".*_pb2(_grpc)?\.pyi?|.*\.pb(\.gw)?\.go|.*_grpc\.pb\.go|.*[._]gen\.go|zz_generated.*\.go|.*\.generated\.\w+"
)
_GENERATED = re.compile(rb"^(//|#|--|/\*) ?.*(Code generated .* DO NOT EDIT|@generated)", re.MULTILINE)
_SETTINGS = re.compile(r"(.*/)?(settings/\w+|(\w+_)?settings(_\w+)?)\.py")
_NO_BEHAVIOUR = words("setup.py noxfile.py fabfile.py docs/conf.py doc/conf.py")
LARGEST = 1_000_000
"""Bytes. Larger sources are not parsed; they count as changed."""
DECIDES: frozenset[Owner] = frozenset(("backend", "spec", "grey_template", "grey_embed"))
"""Owners whose files the tests of a backend depend on. Frontend files, documentation and settings of hosts may differ
between the tested tree and the committed one."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One path of a commit: the content before and after (`None`: not there, or too large to look at)."""

    path: str
    owner: Owner
    letter: str
    before: bytes | None = None
    after: bytes | None = None
    pure_rename: bool = False


def is_test(path: str) -> bool:
    """Whether a file holds tests, by the names that test runners look for."""
    return _TEST.fullmatch(path.rpartition("/")[2].lower()) is not None


def beside_tests(path: str) -> bool:
    """Whether a file lies among tests or supports them."""
    *folders, name = path.lower().split("/")
    return name == "conftest.py" or any(folder in _TEST_FOLDERS for folder in folders)


def should_have_test(change: Changed, migrations: Iterable[str], exempt: Iterable[str]) -> bool:
    """Whether a change of this path is a change of backend behaviour that a test should accompany."""
    path = canonical(change.path)
    *folders, name = path.split("/")
    if change.owner != "backend" or change.letter == "D" or change.pure_rename or not is_source(path):
        return False
    if is_test(path) or beside_tests(path) or name in _NO_BEHAVIOUR or path in _NO_BEHAVIOUR:
        return False
    if _SETTINGS.fullmatch(path) and not re.search(rb"(?m)^\s*(async\s+)?def\s|^\s*class\s", change.after or b""):
        return False  # Names and values, as frameworks read them: the tests of what they configure show a mistake.
    if any(folder in _MIGRATIONS for folder in folders) or any(fits(pattern, path) for pattern in migrations):
        return False
    if any(fits(pattern, path) for pattern in exempt) or generated(path, change.after):
        return False
    return changes_behaviour(change)


def generated(path: str, content: bytes | None) -> bool:
    """Whether a program wrote this file, by its name or by what its head says."""
    if _GENERATED_NAME.fullmatch(path.lower().rpartition("/")[2]):
        return True
    return content is not None and _GENERATED.search(content[:2000]) is not None


def is_source(path: str) -> bool:
    """Whether a file is program text, by its extension."""
    return path.rpartition(".")[2].lower() in _SOURCE and not path.endswith(".pyi")


def changes_behaviour(change: Changed) -> bool:
    """Whether more than comments, blank space and docstrings changed. What cannot be parsed counts as changed."""
    if change.after is None:
        return True
    parse = {"py": _python, "go": tokens}.get(change.path.rpartition(".")[2])
    if parse is None:
        return change.before != change.after
    try:
        before = parse(change.before or b"")
        return before != parse(change.after)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True


def judged(
    tree: str,
    changes: Sequence[Changed],
    receipts: Sequence[Receipt],
    differing: Callable[[str, str], frozenset[str] | None],
    decides: Callable[[Iterable[str]], frozenset[str]],
    needs: Iterable[str],
) -> TestEvidence:
    """What is known about tests for `tree`, from receipts newest first. The newest run on the same content decides:
    a failure after a pass on equal content is a failure.

    `differing` names the paths that differ between two trees; `decides` keeps those the tests depend on.
    """
    wanting = tuple(needs)
    tests = tuple(c.path for c in changes if is_test(c.path) and c.letter != "D" and changes_behaviour(c))
    touched = tuple(
        c.path for c in changes
        if c.owner in DECIDES and is_source(c.path) and (c.letter == "D" or c.pure_rename or beside_tests(c.path))
        and (c.letter == "D" or changes_behaviour(c))
    )  # fmt: skip
    needs_run = tuple(dict.fromkeys((*wanting, *tests, *touched)))
    covering: Receipt | None = None
    failed: Receipt | None = None
    newest = next((r for r in receipts if r.scope == "all"), None)
    stale: tuple[str, ...] = ()
    for receipt in receipts if needs_run else ():
        paths = differing(receipt.tree, tree) if receipt.tree else None
        if paths is not None and receipt is newest:
            stale = tuple(sorted(decides(paths)))
        if paths is None or decides(paths):
            continue
        if not receipt.passed:
            failed = receipt
            break
        if receipt.scope == "all":
            covering = receipt
            break
    about = covering or failed or newest
    return TestEvidence(
        receipt=covering.id if covering else None,
        newest=about.id if about else None,
        newest_passed=about.passed if about else False,
        stale=() if covering else stale,
        carries_tests=_carried(tests, changes, covering),
        needs_tests=wanting,
        needs_run=needs_run,
    )


def _carried(tests: Sequence[str], changes: Sequence[Changed], covering: Receipt | None) -> bool:
    """A test file counts when the run that speaks for the commit ran a test of it, as far as that run tells."""
    if covering is None or not covering.files:
        return bool(tests)
    alive = (c.path for c in changes if c.letter != "D" and changes_behaviour(c))
    return any(covering.files.get(path) for path in alive if path in tests or beside_tests(path))


def _python(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body: object = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_docstring(body[0]):  # pyright: ignore[reportUnknownArgumentType]
            del body[0]
    return ast.dump(tree)


def _is_docstring(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def decider(workspace: Workspace, policy: Policy) -> Callable[[Iterable[str]], frozenset[str]]:
    """Keeps of paths those that the tests of a backend depend on, by their owners. Whose what is, is looked up at the
    first question: the trees of forty test runs are compared in one call."""
    roots: list[tuple[Roots, Roots | None]] = []

    def decides(paths: Iterable[str]) -> frozenset[str]:
        read = {classified(path): path for path in paths}
        if not read:
            return frozenset()
        if not roots:
            roots.append((roots_of(workspace, policy), roots_before(workspace, policy)))
        found = decided(read, workspace, *roots[0])
        return frozenset(read[text] for text, about in found.items() if about.owner in DECIDES)

    return decides
