"""What a tap does with a statement: note it, or let through only what was rehearsed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mcp_backend.migrations.wiretap.same import commute, same, savepoint
from mcp_backend.migrations.wiretap.sent import Sent

MOST = 20_000
"""Statements of one run."""
MOST_GIVEN = 200_000
LONGEST_GIVEN = 20


@dataclass(slots=True)
class Given:
    """The numbers that the database returned in a run."""

    values: set[str] = field(default_factory=set[str])

    def take(self, row: bytes) -> None:
        """A row as it came."""
        at, end = 2, len(row)
        while at + 4 <= end and len(self.values) < MOST_GIVEN:
            size = int.from_bytes(row[at : at + 4], "big", signed=True)
            at += 4
            if 0 < size <= LONGEST_GIVEN and (value := row[at : at + size]).isdigit():
                self.values.add(value.decode())
            at += max(size, 0)


class Judge(Protocol):
    """Hears every statement before the server does."""

    given: Given

    def judge(self, sent: Sent) -> str:
        """Why the statement must not go on; empty when it may."""
        ...


class Recorder:
    """Lets everything through and keeps what has an effect, and the texts of what was read."""

    def __init__(self) -> None:
        self.given = Given()
        self.sent: list[Sent] = []
        self.reads: dict[str, None] = {}
        self._transactions: dict[int, int] = {}
        self._count = 0

    def judge(self, sent: Sent) -> str:
        """Keeps it. Begin and end of transactions without an effect are left out."""
        if sent.kind == "read":
            if len(self.reads) < MOST:
                self.reads[sent.sql] = None
            return ""
        if sent.node == "CopyStmt":
            return "COPY … FROM STDIN and TO STDOUT cannot be rehearsed through the tap: use INSERT in the migration"
        if len(self.sent) >= MOST:
            return f"the command sent more than {MOST} statements that change something: load data beside migrations"
        match sent.kind:
            case "begin":
                self._transactions.pop(sent.session, None)
                return ""
            case "commit" | "rollback":
                sent.transaction = self._transactions.pop(sent.session, 0)
                if sent.transaction:
                    self.sent.append(sent)
                return ""
            case _:
                pass
        if sent.inside and sent.kind != "setting":
            if sent.session not in self._transactions:
                if self._transactions:
                    return "the command has two transactions open at once; only one after the other can be rehearsed"
                self._count += 1
                self._transactions[sent.session] = self._count
            sent.transaction = self._transactions[sent.session]
        self.sent.append(sent)
        return ""


class Enforcer:
    """Lets reads through and, in their order, the statements that were rehearsed; the first other one stops the run.
    Where the order says nothing (`commute`), `expected` takes that of this run."""

    def __init__(self, expected: Sequence[Sent], given: Given) -> None:
        self.given = Given()
        self.stopped = ""
        self.expected = list(expected)
        self.committed = 0
        """How many of them took effect for good, as far as was let through."""
        self.at = 0
        self._then = given
        self._busy: dict[int, bool] = {}

    @property
    def whole(self) -> bool:
        """Whether all that was rehearsed was sent."""
        return all(one.kind == "setting" for one in self.expected[self.at :])

    def again(self) -> None:
        """Before the command runs once more: what was not committed is still to come."""
        self.given, self.at = Given(), self.committed
        self._busy.clear()

    def judge(self, sent: Sent) -> str:
        """Why it must not go on."""
        if self.stopped:
            return self.stopped
        match sent.kind:
            case "read":
                return ""
            case "begin":
                self._busy[sent.session] = False
                return ""
            case "commit" | "rollback" if not self._busy.pop(sent.session, False):
                return ""
            case "setting":
                if (place := self._place(sent)) is not None:
                    self.at = place + 1
                return ""
            case _:
                pass
        place = self._place(sent)
        if place is None:
            if sent.kind == "rollback":  # it takes back what ran: the command failed
                return ""
            self.stopped = self._why()
            return self.stopped
        self.at = place + 1
        if sent.inside and sent.kind not in ("commit", "rollback"):
            self._busy[sent.session] = True
        else:
            self.committed = self.at
        return ""

    def _place(self, sent: Sent) -> int | None:
        """Where it stands in what was rehearsed: at the next place, or after settings that a driver need not make."""
        for index in range(self.at, len(self.expected)):
            expected = self.expected[index]
            if expected.kind == sent.kind and expected.inside == sent.inside and self._same(expected, sent):
                return index
            if expected.kind != "setting":
                return self._moved_up(index, sent)
        return None

    def _moved_up(self, index: int, sent: Sent) -> int | None:
        """`index`, when a later one whose order says nothing is what was sent: it comes first now."""
        for later in range(index + 1, len(self.expected)):
            if not (commute(sent, self.expected[index]) and commute(self.expected[index], self.expected[later])):
                return None
            if self._same(self.expected[later], sent):
                self.expected.insert(index, self.expected.pop(later))
                return index
        return None

    def _same(self, expected: Sent, sent: Sent) -> bool:
        match sent.kind:
            case "commit" | "rollback":
                return True
            case "savepoint":
                return savepoint(expected.sql) == savepoint(sent.sql)
            case _:
                return same(expected.sql, sent.sql, self._then.values, self.given.values)

    def _why(self) -> str:
        number = sum(1 for one in self.expected[: self.at] if one.kind == "effect") + 1
        return (
            f"statement {number} is not the one that was rehearsed, so it was stopped and its transaction rolled back"
        )
