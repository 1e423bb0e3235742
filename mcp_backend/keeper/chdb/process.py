"""chdb at work: a connection of its own for each request, so that no setting of one reaches another."""

import contextlib
import os
import re
import select
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from mcp_backend.keeper.chdb.statement import Refused, Statement, filled
from mcp_backend.keeper.chdb.tokens import identifier, literal

T = TypeVar("T")

ALWAYS = {"implicit_select": "0", "http_max_tries": "1"}
"""As a server, not as a local program; and no patience with a network that is not there."""
FENCED = re.compile(r"Poco::\w*(IO|Net|Connection)|errno: 13\b|errno: 1\b|NETWORK_ERROR|DNS_ERROR")
"""How the engine words what the kernel refused it."""
DEAD = "The server is shutting down due to a fatal error"
"""What it says to everything after one of its threads has crashed."""


class Gone(Exception):
    """The client went away, or the engine does, and the query was killed."""


class NotStreamed(Exception):
    """chdb gives in pieces only what it calls a query."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What comes with a statement."""

    database: str = ""
    query_id: str = ""
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Answer:
    """The result, in one piece or as it comes."""

    pieces: Iterator[bytes]
    summary: Mapping[str, str] | None = None


class Process:
    """The engine in this process, over the working folder. `version` is ClickHouse's."""

    def __init__(self, chdb: Any) -> None:
        self._chdb = chdb
        self._plain = not re.search(r"[*?{}]", os.getcwd())
        # chdb lays its `default` over the files of the working folder, which a server's is not: every name of a table
        # would be looked for as a path. Without this link it never had a table, and chdb could not attach it.
        known = os.path.lexists("metadata/default")
        if not known:
            with contextlib.suppress(FileNotFoundError):
                os.unlink("metadata/default.sql")
        self._own, self._lock = self._connect(), threading.Lock()
        self._ending = threading.Event()
        self._own.query("DETACH DATABASE default", "Null")
        self._own.query("ATTACH DATABASE default" if known else "CREATE DATABASE default ENGINE = Atomic", "Null")
        self.version = self._word("SELECT version()")

    @contextlib.contextmanager
    def answer(self, statement: Statement, asked: Asked, client: socket.socket) -> Generator[Answer]:
        """Runs the statement for as long as the client is there. Raises `Refused`, `Gone`."""
        connection, mark = told(self._connect), asked.query_id or os.urandom(8).hex()
        try:
            told(lambda: self._prepare(connection, asked, mark))
            with contextlib.ExitStack() as stack:
                sql = statement.sql
                if statement.data is not None:
                    sql = filled(statement, stack.enter_context(_file(statement.data)), plain=self._plain)
                run = Run(connection, sql, statement.format, client, lambda: self._kill(mark), self._ending)
                if statement.streamed:
                    with contextlib.suppress(NotStreamed):
                        yield run.in_pieces()
                        return
                yield run.whole()
        finally:
            connection.close()

    def unpacked(self, body: bytes, compression: str) -> bytes:
        """A body as it was before an HTTP client compressed it; Python alone has no means for lz4. Raises `Refused`."""
        with _file(body) as path, contextlib.closing(told(self._connect)) as connection:
            source = f"file({literal('/proc/self/cwd/' + path)}, 'RawBLOB', 'body String', {literal(compression)})"
            whole: bytes = told(lambda: connection.query(f"SELECT body FROM {source}", "RawBLOB")).bytes()
            return whole

    def close(self) -> None:
        """Ends what still runs, then the engine. chdb takes a killed statement for one that came to its end: what it
        answers from now on is not sent."""
        self._ending.set()
        with contextlib.suppress(RuntimeError):
            self._own.query("KILL QUERY WHERE 1", "Null")
        self._own.close()

    def _word(self, sql: str) -> str:
        return str(self._own.query(sql, "TSVRaw").bytes().decode().strip())

    def _connect(self) -> Any:
        return self._chdb.connect(".")

    def _prepare(self, connection: Any, asked: Asked, mark: str) -> None:
        if asked.database not in ("", "default"):
            connection.query(f"USE {identifier(asked.database)}", "Null")
        settings = {**ALWAYS, **asked.settings, "log_comment": mark}
        pairs = ", ".join(f"{identifier(name)} = {literal(value)}" for name, value in settings.items())
        connection.query(f"SET {pairs}", "Null")

    def _kill(self, mark: str) -> None:
        with self._lock, contextlib.suppress(RuntimeError):
            self._own.query(f"KILL QUERY WHERE Settings['log_comment'] = {literal(mark)}", "Null")


@dataclass(frozen=True, slots=True)
class Run:
    """One statement on its connection. `kill` ends it from outside; `ending` tells that the engine is being closed."""

    connection: Any
    sql: str
    format: str
    client: socket.socket
    kill: Callable[[], None]
    ending: threading.Event

    def whole(self) -> Answer:
        """The answer in one piece."""
        result = self._while_there(lambda: self.connection.query(self.sql, self.format))
        summary = {
            "read_rows": str(result.storage_rows_read()),
            "read_bytes": str(result.storage_bytes_read()),
            "result_rows": str(result.rows_read()),
            "result_bytes": str(result.size()),
            "elapsed_ns": str(int(result.elapsed() * 1e9)),
        }
        return Answer(iter([result.bytes()]), summary)

    def in_pieces(self) -> Answer:
        """The answer as it comes; an error of the first piece is raised here. Raises `NotStreamed`."""
        handle = self._while_there(lambda: self.connection.send_query(self.sql, self.format))
        pieces = self._pieces(handle)
        first = next(pieces, b"")
        return Answer(_chained(first, pieces))

    def _pieces(self, handle: Any) -> Iterator[bytes]:
        while True:
            piece = self._while_there(lambda: self.connection.streaming_fetch_result(handle))
            if piece is None or piece.rows_read() == 0:
                return
            yield piece.bytes()

    def _while_there(self, work: Callable[[], T]) -> T:
        """The result of `work`, done by a thread of its own; killed when the client goes away meanwhile."""
        done, doing = os.pipe()
        outcome: list[T] = []
        failure: list[Exception] = []

        def run() -> None:
            try:
                outcome.append(told(work))
            except (Refused, NotStreamed) as error:
                failure.append(error)
            finally:
                os.close(doing)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        poll = select.poll()
        poll.register(self.client, select.POLLRDHUP)
        poll.register(done, 0)
        gone = all(descriptor != done for descriptor, _ in poll.poll())
        if gone:
            self.kill()
        thread.join()
        os.close(done)
        if gone or self.ending.is_set():
            raise Gone
        if failure:
            raise failure[0]
        return outcome[0]


@contextlib.contextmanager
def _file(data: bytes) -> Generator[str]:
    """The data as a file that the engine can read, for as long as the block runs."""
    path = f"tmp/{os.urandom(8).hex()}"
    try:
        with open(path, "wb") as file:
            file.write(data)
        yield path
    finally:
        os.unlink(path)


def told(work: Callable[[], T]) -> T:
    """The result of a call of chdb, whose errors are told apart by their text only."""
    try:
        return work()
    except RuntimeError as error:
        text = str(error)
    if DEAD in text:
        # It stays like this for ever, and the keeper starts another one.
        print(f"the engine has crashed: {text}", flush=True)
        os._exit(1)
    if "Streaming query is not supported" in text:
        raise NotStreamed
    if FENCED.search(text):
        text += ". This local ClickHouse is fenced in: no network, no programs, no files but its own data"
    raise Refused(text)


def _chained(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
