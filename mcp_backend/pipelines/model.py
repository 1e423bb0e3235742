"""What code says about messages, what tables look like, and the graph that joins them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcp_backend.engines.topology import Finding, Severity

System = Literal["nats", "kafka", "redis"]
Text = tuple[tuple[bool, str], ...]
"""A text in code, in pieces: `(True, NAME)` is whatever a name stands for, `(False, text)` is written there."""
UNKNOWN = "*"
"""What is only known at run time. In a subject of NATS it reads as one token."""


@dataclass(frozen=True, slots=True)
class Publish:
    """One place that publishes. `key` is the expression of its key, empty without one; `fields` are the names in its
    payload, `None` where they are not seen; `in_transaction`: before the transaction around it is committed."""

    system: System
    to: Text
    line: int
    key: str = ""
    fields: frozenset[str] | None = None
    in_transaction: bool = False


@dataclass(frozen=True, slots=True)
class Consume:
    """One place that reads. `group` is the durable name, group or queue; `acknowledges` is false where the client
    counts a message as done without being told so by the code. `through` are the words of its callback and `span` the
    lines of one that is written right there; without a callback, the whole function handles the messages."""

    system: System
    of: Text
    line: int
    group: str = ""
    acknowledges: bool = True
    at_most_once: bool = False
    through: frozenset[str] = frozenset()
    span: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Write:
    """One statement that adds rows. `columns` is empty where they are not named; `once`: a repetition adds nothing."""

    table: str
    columns: tuple[str, ...]
    line: int
    once: bool


@dataclass(frozen=True, slots=True)
class Function:
    """One function with what it does by itself. `names` are all words in it, `parameters` those it is called with;
    `converted` are words inside calls that turn one type into another; `side_by_side`: it starts work it does not wait
    for one by one."""

    path: str
    name: str
    owner: str
    line: int
    parameters: tuple[str, ...]
    publishes: tuple[Publish, ...]
    consumes: tuple[Consume, ...]
    writes: tuple[Write, ...]
    reads: frozenset[str]
    names: frozenset[str]
    converted: frozenset[str]
    side_by_side: bool
    calls: tuple[tuple[str, tuple[Text, ...], frozenset[str] | None, int], ...] = ()
    """Calls with a text among their arguments: the name called, the arguments, the fields of a payload, the line."""

    @property
    def shown(self) -> str:
        """Where it is, for people."""
        return f"{self.path}:{self.owner + '.' if self.owner else ''}{self.name}"


@dataclass(frozen=True, slots=True)
class Source:
    """One file: its functions, and the texts its names stand for."""

    path: str
    functions: tuple[Function, ...]
    constants: Mapping[str, Text]
    statements: Mapping[str, Write]
    """Names that stand for a statement."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `labels` are the values of an enumeration."""

    name: str
    type: str
    nullable: bool = True
    default: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `kind` is its engine in ClickHouse; `keys` are what refuses or replaces a second row; `feeds` are where
    a view writes, `reads` what a view reads; `topics` is what it reads from a broker, with `settings` of that."""

    engine: str
    system: Literal["postgresql", "clickhouse"]
    name: str
    columns: tuple[Column, ...]
    kind: str = ""
    keys: tuple[frozenset[str], ...] = ()
    reads: tuple[str, ...] = ()
    feeds: str = ""
    broker: System | None = None
    topics: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict[str, str])
    words: frozenset[str] = frozenset()
    """The words of a view's query; `*` for all columns."""


Kind = Literal["code", "application", "destination", "consumer", "table", "view"]


@dataclass(frozen=True, slots=True)
class Node:
    """A place that data is at or passes. `about` is what else is known, in the order it is shown."""

    id: str
    kind: Kind
    name: str
    about: tuple[str, ...] = ()
    system: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes by id, the edges between them, what is risky, and what was not seen."""

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...] = ()
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Ids of findings by node."""
    notes: tuple[str, ...] = ()


MEANING: dict[str, tuple[Severity, str]] = {
    "field_missing": ("error", "a value that is always needed is not there: the row or message is refused. Send it, "
                      "give the column a default, or make it optional in the contract"),
    "field_type_mismatch": ("error", "what the message carries does not fit where it goes: change the column or the "
                            "contract, or convert in between"),
    "field_dropped": ("warn", "the message carries it and it is not kept: add a column, or say in the contract that it "
                      "is not needed"),
    "field_not_in_contract": ("warn", "the code sends a field that the contract does not allow"),
    "no_dedupe_key": ("warn", "a message that is delivered twice becomes two rows: key the table by the message's id "
                      "(unique index and ON CONFLICT DO NOTHING; ReplacingMergeTree ordered by it)"),
    "ordering_lost": ("warn", "messages of one entity may overtake each other here: publish with the same key, and "
                      "handle what has one key one after the other"),
    "acknowledged_early": ("warn", "the client marks messages as done by itself, also those whose row was not "
                           "written: commit after the write"),
    "misses_messages": ("warn", "listens without a stream: what is published while it is away never gets into the "
                        "table. Read through a durable consumer"),
    "published_before_commit": ("warn", "published inside a transaction that may still be rolled back: publish after "
                                "the commit, or write the event to an outbox in the same transaction"),
    "publish_around_outbox": ("warn", "fed by an outbox, and published to directly as well: such an event may be sent "
                              "for data that is rolled back, or out of order. Insert the row instead"),
    "unknown_destination": ("warn", "nothing here publishes to it, no contract declares it, and the broker has nothing "
                            "of this name"),
    "no_consumer": ("info", "is published to and nothing reads it"),
    "no_dead_letter": ("warn", "a message that cannot be handled stops the rest or is lost: after some tries, publish "
                       "it to a destination of dead letters"),
}  # fmt: skip
"""Severity and meaning of every finding about pipelines."""
