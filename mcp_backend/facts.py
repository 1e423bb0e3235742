"""What is true of the world when a call is judged. Read by `plan`, judged by guards. Standard library only."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

from mcp_backend.records import dataclass, field

Owner: TypeAlias = Literal[
    "backend",
    "frontend",
    "spec",
    "policy",
    "git",
    "shared",
    "grey_template",
    "grey_js",
    "grey_asset",
    "grey_embed",
]
"""Who a path belongs to. `grey_*` are zones where either side may own it: a person decides."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The owner of one path and the rule that says so (the rule is shown to people)."""

    owner: Owner
    rule: str


@dataclass(frozen=True, slots=True)
class Secret:
    """A credential found in content. The value itself is never kept."""

    path: str
    line: int
    kind: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement as its own grammar understands it.

    `reads_only` is true only when everything in it is understood and reads; `why` says what was found otherwise.
    """

    sql: str
    reads_only: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class TestEvidence:
    """What is known about tests for a tree that is about to be committed.

    `receipt` is the id of the newest passing receipt that covers the tree, or `None`. `stale` are the paths whose
    committed content differs from what that newest run tested. `carries_tests` tells whether the commit changes
    a test; `needs_tests` are the changed backend paths that a test should accompany. `needs_run` are those that only
    need a passing run besides: tests themselves, sources that were deleted or renamed.
    """

    receipt: str | None
    newest: str | None = None
    newest_passed: bool = False
    stale: tuple[str, ...] = ()
    carries_tests: bool = False
    needs_tests: tuple[str, ...] = ()
    needs_run: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessageFit:
    """How a payload relates to the declared contract of its destination. `expired` says why its justification no
    longer holds."""

    destination: str
    contract: str | None
    fits: bool
    problems: tuple[str, ...] = ()
    justification: str | None = None
    unsafe_format: str | None = None
    expired: str = ""


@dataclass(frozen=True, slots=True)
class RefFacts:
    """What is known of the branches an action moves. `protected` are full names (`refs/heads/main`) that change
    through review only; `rewritten` are commits of such a branch that would be made anew."""

    protected: tuple[str, ...] = ()
    rewritten: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CodeFinding:
    """A place in changed code where a rule of a promise speaks, and what to write instead.

    `sure` rules refuse a commit, the others only warn. `justification` is what a comment beside the place says, and
    `decision` the escalation it names; `decided` tells whether a person answered or approved that one, `None` when
    nobody could look.
    """

    path: str
    line: int
    rule: str
    constraint: str
    sure: bool
    problem: str
    instead: str
    justification: str = ""
    decision: str = ""
    decided: bool | None = None


@dataclass(frozen=True, slots=True)
class ContractDeviation:
    """Where a tree that would be committed does not do what its API specification says. `id` and `where` are words of
    the public vocabulary; `fresh`: the parent did not deviate there; `held`: certainly the commit's doing."""

    path: str
    line: int
    spec: str
    operation: str
    id: str
    where: str
    expected: str
    actual: str
    held: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the rehearsal of a migration decided: `safe`, `warn`, `needs_approval` or `reject`, why, and what to do
    instead; `off` when the policy, which then says why, wants none on that engine."""

    engine: str
    verdict: str
    reasons: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MessagingChange:
    """A change of a stream, topic, consumer or group. `destroys` says what is lost by it, empty for nothing."""

    target: str
    destroys: str = ""


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What is known of a request to a running service, by its `url`. `refused` says why its address may not be called,
    empty when it may; `reads` is true only where the protocol or the contract promises that nothing is changed."""

    url: str
    reads: bool
    why: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a guard may look at besides the action itself. Absent facts are empty, never guessed."""

    owners: Mapping[str, Ownership] = field(default_factory=lambda: MappingProxyType({}))
    secrets: tuple[Secret, ...] = ()
    statements: tuple[Statement, ...] = ()
    tests: TestEvidence | None = None
    messages: tuple[MessageFit, ...] = ()
    changes: tuple[MessagingChange, ...] = ()
    refs: RefFacts | None = None
    special_files: tuple[str, ...] = ()
    """Paths that would enter a commit as a symbolic link or a nested repository."""
    code: tuple[CodeFinding, ...] = ()
    code_unjudged: str = ""
    """Why changed code could not be looked at, empty when it was."""
    rehearsal: Rehearsal | None = None
    decided: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Specification files that a person decided about lately, each with the id of the question."""
    contracts: tuple[ContractDeviation, ...] = ()
    contracts_unjudged: str = ""
    """Why the implementation could not be compared with its specification, empty when it was."""
    service: ServiceFacts | None = None
    """The request of a tool that may write; a tool that only reads has none, and asks with safe methods only."""


NOTHING = Facts()
