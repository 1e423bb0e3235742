"""ClickHouse: statements over HTTP, each judged, limited, and ended in the server when its caller goes away."""

import asyncio
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from mcp_backend.engines.away import away
from mcp_backend.engines.ch import address, analysis, errors, explaining, reading, standing, values
from mcp_backend.engines.ch.address import Address
from mcp_backend.engines.ch.explaining import Explained, Table
from mcp_backend.engines.ch.reading import Answer, Question
from mcp_backend.engines.ch.schema import Memory
from mcp_backend.engines.ch.standing import Catalog, Standing
from mcp_backend.engines.ch.statement import Outline, Shape
from mcp_backend.engines.ch.values import Parameters, parameter
from mcp_backend.errors import DeadlineExceeded, Json, Unavailable
from mcp_backend.keeper.chdb.tokens import Token
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import Workspace, resolve

if TYPE_CHECKING:
    from mcp_backend.engines.ch.transport import Take, Transport
    from mcp_backend.engines.embedded import Lease

T = TypeVar("T")

LOOK_UP_SECONDS = 10.0
STANDING_SECONDS = 300.0
GRACE_SECONDS = 2.0
"""What the server has beyond its own timeout before the statement is killed from here."""
MOST_ROWS = 200_000
"""Of a read of our own."""
MOST_PLAN_CHARACTERS = 4_000_000


class Clickhouse:
    """One server of the policy. Opens nothing until it is asked."""

    def __init__(self, settings: EngineSettings, workspace: Workspace) -> None:
        self._settings = settings
        self._workspace = workspace
        self._transport: Transport | None = None
        self._lease: Lease | None = None
        self._opening = asyncio.Lock()
        self._standing: tuple[float, Standing] | None = None
        self._since: datetime | None = None
        self._catalog: tuple[str, Catalog] | None = None
        self.memory = Memory()
        self.shapes: dict[object, Shape] = {}

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._settings

    async def judge(self, outline: Outline, parameters: Parameters, approved: frozenset[str]) -> analysis.Verdict:
        """Whether a statement only reads: see `analysis.effect`."""
        return await analysis.effect(outline, self, parameters, approved)

    async def read(self, question: Question) -> Answer:
        """The answer to a question that was judged to read.

        Raises `BackendError` with what the server refused, `Unavailable` when it cannot be reached or goes away,
        `DeadlineExceeded` when time ran out; then, and when cancelled, the statement is killed in the server.
        """
        sent = reading.settings(question, await self.standing())
        taker = reading.Taker(question)
        try:
            return await self._run(question.sql, taker, sent, question.parameters, question.timeout_seconds, taker.form)
        except errors.ServerError as error:
            raise errors.refusal(error, timeout_seconds=question.timeout_seconds) from None

    async def explain(self, question: Question, words: Sequence[Token], *, analyze: bool) -> Explained:
        """How the server would read what `question` asks; `analyze` also runs it, and throws the answer away."""
        asked = replace(question, sql=f"EXPLAIN indexes = 1 {question.sql}", rows=False, limit=MOST_ROWS)
        answer = await self.read(replace(asked, most_characters=MOST_PLAN_CHARACTERS))
        plan, reads = explaining.parse([str(row[0]) for row in answer.rows])
        known = await self._known(sorted({read.table for read in reads}))
        lines: list[Json] = [*plan[: explaining.MOST_LINES]]
        if len(plan) > explaining.MOST_LINES:
            lines.append(f"… {len(plan) - explaining.MOST_LINES} more lines")
        elapsed = answer.elapsed_ms
        if analyze:
            measured, elapsed = await self._measure(question)
            lines.append(measured)
        return Explained(lines, explaining.findings(reads, known, words), elapsed)

    async def _known(self, names: list[str]) -> dict[str, Table]:
        """The tables of a plan; none when the catalog has no answer, because the plan is worth showing without."""
        try:
            return explaining.tables(await self.rows(explaining.TABLES, {"tables": parameter(names)}))
        except errors.ServerError:
            return {}

    async def _measure(self, question: Question) -> tuple[str, float]:
        sent = reading.settings(replace(question, rows=False), await self.standing()) | {"wait_end_of_query": "1"}
        began = time.monotonic()
        try:
            summary = await self._run(
                question.sql, _summary, sent, question.parameters, question.timeout_seconds, "Null"
            )
        except errors.ServerError as error:
            raise errors.refusal(error, timeout_seconds=question.timeout_seconds) from None
        elapsed = round((time.monotonic() - began) * 1000, 1)
        return explaining.measured(summary, elapsed), elapsed

    async def rows(
        self, sql: str, parameters: Parameters | None = None, settings: Mapping[str, str] | None = None
    ) -> list[list[Any]]:
        """The rows of a read of our own, as the server wrote them. Raises `errors.ServerError`, and as `read` does."""
        question = Question(sql, parameters or {}, MOST_ROWS, LOOK_UP_SECONDS, settings or {}, rows=False)
        sent = reading.settings(question, await self.standing())
        return await self._run(sql, _all_rows, sent, question.parameters, LOOK_UP_SECONDS)

    async def dump(self, sql: str, form: str, most_bytes: int) -> bytes:
        """The answer to a read of our own in the server's format `form`; nothing when it is larger than `most_bytes`.
        Raises as `rows` does."""
        sent = reading.settings(Question(sql, {}, MOST_ROWS, LOOK_UP_SECONDS, rows=False), await self.standing())

        def take(pieces: Iterator[bytes], headers: Mapping[str, str]) -> bytes:
            whole = bytearray()
            for piece in pieces:
                whole += piece
                if len(whole) > most_bytes:
                    return b""
            return bytes(whole)

        return await self._run(sql, take, sent, {}, LOOK_UP_SECONDS, form)

    async def change(self, sql: str, settings: Mapping[str, str], seconds: float) -> None:
        """Runs one statement that may change the server, once. Its answer is thrown away.

        Raises `errors.ServerError` for what the server refuses, `transport.Lost` when the connection broke and
        `TimeoutError` after `seconds`: in both the statement may have had its effect.
        """
        transport = await self._opened()
        sent = {**settings, "log_comment": "mcp-backend run_migration"}
        await transport.run(sql, _summary, settings=sent, parameters={}, form="Null", seconds=seconds)

    async def changes(self) -> str:
        """A word that stays the same while nothing changes, which only the local server has; `""` elsewhere."""
        return await self._run("SELECT 1", _word_of_changes, {}, {}, LOOK_UP_SECONDS)

    async def standing(self) -> Standing:
        """What the server is and what our user may do; asked again when that was a while ago."""
        if self._standing is None or time.monotonic() - self._standing[0] > STANDING_SECONDS:
            try:
                found = await self._run(standing.PROBE, standing.take, {}, {}, LOOK_UP_SECONDS)
            except errors.ServerError as error:
                raise errors.refusal(error, field="the server, asked for its settings") from None
            if self._standing is not None and self._standing[1] != found:
                self.shapes.clear()
            self._standing = (time.monotonic(), found)
        return self._standing[1]

    async def catalog(self) -> Catalog:
        """The functions that the server brings; asked again when its version is another."""
        found = await self.standing()
        if self._catalog is None or self._catalog[0] != found.version:
            try:
                functions = await self.rows(found.catalog_query("origin = 'System'"))
                tables = await self.rows(standing.TABLE_FUNCTIONS)
            except errors.ServerError as error:
                raise errors.refusal(error, field="the catalog of functions") from None
            names = frozenset(str(row[0]).lower() for row in tables)
            self._catalog = (found.version, Catalog(standing.functions(functions), names))
        return self._catalog[1]

    async def close(self) -> None:
        """Ends whatever still runs, then lets go of the local server."""
        if self._transport is not None:
            transport, self._transport = self._transport, None
            await transport.close()
        if self._lease is not None:
            lease, self._lease = self._lease, None
            lease.close()

    async def _run(
        self,
        sql: str,
        take: "Take[T]",
        sent: Mapping[str, str],
        parameters: Parameters,
        seconds: float,
        form: str = "JSONCompactEachRow",
    ) -> T:
        from mcp_backend.engines.ch.transport import Lost

        transport = await self._opened()
        try:
            result = await transport.run(
                sql, take, settings=sent, parameters=parameters, form=form, seconds=seconds + GRACE_SECONDS
            )
        except Lost as lost:
            raise self._unavailable(transport.address, str(lost)) from None
        except TimeoutError:
            raise DeadlineExceeded(
                f"engine {self._settings.name} (clickhouse): {transport.address.place} gave no answer within "
                f"{seconds:g} s. Nothing changed, only reading was asked; the server is told to stop it, whether it "
                "does is unknown. Ask for less, or repeat the call later"
            ) from None
        except errors.ServerError as error:
            if error.code in errors.NO_ACCESS:
                raise self._unavailable(
                    transport.address, f"it refuses the user {transport.address.user}: {error.message}"
                ) from None
            self._since = None
            raise
        self._since = None
        return result

    async def _opened(self) -> "Transport":
        from mcp_backend.engines.ch.transport import Transport

        where = f"engines.{self._settings.name}.url"
        async with self._opening:
            if self._settings.url.startswith("embedded:"):
                if self._lease is None or self._lease.lost:
                    from mcp_backend.engines.embedded import lease

                    await self.close()
                    self._lease = await lease("clickhouse", self._workspace)
                    self._transport = Transport(address.parse(self._lease.url, where=where))
            elif self._transport is None:
                self._transport = Transport(address.parse(resolve(self._settings.url, field=where), where=where))
        assert self._transport is not None
        return self._transport

    def _unavailable(self, at: Address, what: str) -> Unavailable:
        self._since = self._since or datetime.now(UTC)
        return away(self._settings.name, "clickhouse", f"{at.place}: {at.hide(what)}", self._since)


def _word_of_changes(pieces: Iterator[bytes], headers: Mapping[str, str]) -> str:
    for _ in pieces:
        pass
    return headers.get("X-Local-Changes", "")


def _summary(pieces: Iterator[bytes], headers: Mapping[str, str]) -> dict[str, str]:
    for _ in pieces:
        pass
    found: dict[str, str] = json.loads(headers.get("X-ClickHouse-Summary") or "{}")
    return found


def _all_rows(pieces: Iterator[bytes], headers: Mapping[str, str]) -> list[list[Any]]:
    found: list[list[Any]] = []
    for line in reading.lines(pieces):
        found.append(values.parsed(line))
        if len(found) >= MOST_ROWS:
            break
    return found
