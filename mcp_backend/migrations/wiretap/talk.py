"""One session's side of the talk: which statements are prepared and bound, what runs, and how it ended."""

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from mcp_backend.errors import InvalidArgument
from mcp_backend.migrations.rehearsal.kinds import split
from mcp_backend.migrations.wiretap import protocol
from mcp_backend.migrations.wiretap.judges import Judge
from mcp_backend.migrations.wiretap.protocol import Message, Reading
from mcp_backend.migrations.wiretap.sent import Sent, Sorting
from mcp_backend.migrations.wiretap.values import inlined
from mcp_backend.settings import hide_credentials


@dataclass(slots=True)
class Prepared:
    """A prepared statement; `types` are those of its parameters, as far as they are known."""

    sql: str
    types: list[int]


@dataclass(slots=True)
class Talk:
    """What has been said in one session. `waiting` are statements that the server has not answered yet."""

    number: int
    judge: Judge
    sorting: Sorting
    waiting: deque[Sent] = field(default_factory=deque[Sent])
    inside: bool = False
    waits_long: bool = False
    """Whether the session's lock timeout is off, for a statement that may wait."""
    settled: asyncio.Event | None = None
    """Set once the server has answered the tap's own statement; what it says until then is not for the program."""
    _statements: dict[str, Prepared] = field(default_factory=dict[str, Prepared])
    _portals: dict[str, str] = field(default_factory=dict[str, str])
    _described: deque[str] = field(default_factory=deque[str])

    async def up(self, message: Message) -> str:
        """A message of the program: why it must not go on, or nothing.

        Raises `InvalidArgument` for what cannot be judged.
        """
        match message.kind:
            case b"Q":
                return await self._query(Reading(message.body).text())
            case b"P":
                self._parse(Reading(message.body))
            case b"B":
                self._bind(Reading(message.body))
            case b"E":
                return await self._run(self._portals.get(Reading(message.body).text(), ""))
            case b"D" if message.body[:1] == b"S":
                self._described.append(message.body[1:].rstrip(b"\0").decode("utf-8", "replace"))
            case b"F":
                return "it calls a function by the protocol's own message, which cannot be judged"
            case _:
                pass
        return ""

    async def patient(self, message: Message) -> bool | None:
        """Whether what begins now, outside a transaction, may wait long for its lock; None when nothing begins."""
        if message.kind not in (b"Q", b"P") or self.inside or self.waiting:
            return None
        body = Reading(message.body)
        sql = body.text() if message.kind == b"Q" else (body.text(), body.text())[1]
        try:
            found = split(sql)
        except InvalidArgument:
            return None
        return len(found) == 1 and found[0].apart and (found[0].concurrent or found[0].node == "VacuumStmt")

    def down(self, message: Message) -> None:
        """A message of the server."""
        match message.kind:
            case b"C" | b"I" | b"s":
                if self.waiting:
                    self.waiting.popleft().ended = time.monotonic()
            case b"E":
                self._failed(protocol.fields(message.body))
            case b"D":
                self.judge.given.take(message.body)
            case b"t":
                self._types(Reading(message.body))
            case b"Z":
                self.waiting.clear()
                self._described.clear()
                self.inside = message.body != b"I"
            case _:
                pass

    async def _query(self, sql: str) -> str:
        try:
            texts = [parsed.sql for parsed in split(sql)]
        except InvalidArgument:
            texts = [sql]  # the server will say what is wrong with it
        sorted_ = [await self._sorted(text) for text in texts]
        together = len(texts) > 1 and not self.inside and all(one.kind != "begin" for one in sorted_)
        if together:
            self.judge.judge(Sent("begin", "begin", inside=False, session=self.number))
        for one in sorted_:
            one.inside = one.inside or self.inside or together
            if refused := self._said(one):
                return refused
        if together:
            return self.judge.judge(Sent("commit", "commit", inside=True, session=self.number))
        return ""

    async def _run(self, sql: str) -> str:
        return self._said(await self._sorted(sql)) if sql.strip() else ""

    async def _sorted(self, sql: str) -> Sent:
        try:
            kind, node, tree = await self.sorting.sort(sql)
        except InvalidArgument:
            return Sent(sql, "effect", self.inside, self.number)  # the server will say what is wrong with it
        return Sent(sql, kind, self.inside, self.number, node, tree)

    def _said(self, one: Sent) -> str:
        if refused := self.judge.judge(one):
            return refused
        self.waiting.append(one)
        if one.kind in ("begin", "commit", "rollback"):
            self.inside = one.kind == "begin"
        return ""

    def _parse(self, body: Reading) -> None:
        name, sql = body.text(), body.text()
        self._statements[name] = Prepared(sql, [body.number("I") for _ in range(body.number("H"))])

    def _bind(self, body: Reading) -> None:
        portal, name = body.text(), body.text()
        formats = [body.number("H") for _ in range(body.number("H"))]
        values: list[bytes | None] = []
        for _ in range(body.number("H")):
            size = body.number("i")
            values.append(None if size < 0 else body.bytes(size))
        known = self._statements.get(name)
        if known is None:
            raise InvalidArgument("the command bound a statement that it never prepared")
        self._portals[portal] = inlined(known.sql, values, known.types, formats)

    def _types(self, body: Reading) -> None:
        found = [body.number("I") for _ in range(body.number("H"))]
        if self._described and (known := self._statements.get(self._described.popleft())) is not None:
            known.types = found

    def _failed(self, said: "dict[str, str]") -> None:
        if self.waiting:
            one = self.waiting.popleft()
            one.failed = hide_credentials(said.get("M", "it failed"))[:500]
            one.sqlstate = said.get("C", "")
            one.ended = time.monotonic()
        self.waiting.clear()


def failures(sent: Sequence[Sent]) -> list[Sent]:
    """The statements that the server refused."""
    return [one for one in sent if one.failed]
