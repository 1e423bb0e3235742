"""The NATS engine on real servers: it opens late, says what is wrong, never hangs and comes back by itself."""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from mcp_backend.engines import embedded, nats_address, nats_connection
from mcp_backend.engines.nats import JetStreamError, Nats, NoJetStream
from mcp_backend.engines.nats_address import CannotOpen, addresses
from mcp_backend.engines.nats_connection import Connection, Denied, NoResponders, Unanswered
from mcp_backend.errors import InvalidArgument, Unavailable
from mcp_backend.policy import EngineSettings
from mcp_backend.settings import workspace
from tests.daemon import free_port
from tests.natsd import Natsd, settled

Start = Callable[..., Natsd]
SECRET = "s3cr3t p@ss/word"
QUOTED = "s3cr3t%20p%40ss%2Fword"


@pytest.fixture
def start(tmp_path: Path) -> Generator[Start]:
    """Starts servers of this test and stops them afterwards."""
    started: list[Natsd] = []

    def starting(extra: str = "", *, jetstream: bool = True, port: int | None = None) -> Natsd:
        server = Natsd(tmp_path / f"natsd{len(started)}", extra, jetstream=jetstream, port=port)
        started.append(server.start())
        return server

    yield starting
    for server in started:
        server.stop()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[Callable[[str], Nats]]:
    """Makes engines for a URL or a reference, and closes them afterwards."""
    made: list[Nats] = []

    def making(url: str) -> Nats:
        made.append(Nats(EngineSettings("bus", "nats", url, "development"), workspace(tmp_path)))
        return made[-1]

    yield making
    for bus in made:
        await bus.close()


Make = Callable[[str], Nats]


async def test_a_server_that_is_down_is_named_with_its_place_and_since_when_and_comes_back(
    start: Start, engine: Make
) -> None:
    server = start()
    bus = engine(server.url)
    await bus.api("INFO")
    connection = await bus.connection()
    server.kill()
    await asyncio.wait_for(connection.lost.wait(), 60)
    lost = datetime.now(UTC)
    with pytest.raises(Unavailable) as first:
        await bus.api("INFO")
    with pytest.raises(Unavailable) as second:
        await bus.api("INFO")
    details = first.value.details
    assert details
    assert f": 127.0.0.1:{server.port}: connection refused. Nothing was done" in first.value.reason
    assert details["cause"] == "unreachable"
    assert second.value.details == details, "the moment it went away does not move"
    assert abs(datetime.fromisoformat(str(details["since"])) - lost) < timedelta(seconds=60)
    server.start()
    assert (await bus.api("INFO"))["type"].endswith("account_info_response")


async def test_a_server_that_moved_is_found_where_its_url_refers_to_now(
    start: Start, engine: Make, tmp_path: Path
) -> None:
    server, reference = start(), tmp_path / "url"
    reference.write_text(server.url)
    bus = engine(f"file:{reference}")
    before = await bus.connection()
    server.kill()
    await asyncio.wait_for(before.lost.wait(), 60)
    moved = start()
    reference.write_text(moved.url)
    assert (await bus.connection()).address.port == moved.port


async def test_the_second_server_of_a_url_serves_when_the_first_is_down(start: Start, engine: Make) -> None:
    server = start()
    bus = engine(f"nats://127.0.0.1:{free_port()},{server.url}")
    assert (await bus.connection()).address.port == server.port


async def test_a_wrong_password_is_told_apart_from_a_dead_server_and_never_shown(start: Start, engine: Make) -> None:
    server = start(f'authorization {{ user: worker, password: "{SECRET}" }}')
    host = server.url.removeprefix("nats://")
    right = engine(f"nats://worker:{QUOTED}@{host}")
    await right.api("INFO")
    for url in (f"nats://worker:wr0ng-one@{host}", server.url, f"nats://t0ken-0ne@{host}"):
        with pytest.raises(Unavailable) as refused:
            await engine(url).api("INFO")
        assert refused.value.details
        assert refused.value.details["cause"] == "credentials"
        shown = json.dumps(refused.value.as_json()) + repr(refused.value.__cause__)
        assert not [word for word in (SECRET, QUOTED, "wr0ng-one", "t0ken-0ne") if word in shown]


async def test_a_token_opens_a_server_that_wants_one(start: Start, engine: Make) -> None:
    server = start('authorization { token: "t0ken" }')
    await engine(server.url.replace("//", "//t0ken@")).api("INFO")


def test_an_address_shows_no_credentials() -> None:
    (address,) = addresses(f"nats://worker:{QUOTED}@[::1]:4333", field="url")
    assert (address.user, address.password, str(address)) == ("worker", SECRET, "[::1]:4333")
    assert SECRET not in repr(address)


@pytest.mark.parametrize(
    "url", ["", "http://x:1", "nats://", "nats://:4222", "nats://h:port", "nats://user:top@h:99999"]
)
def test_a_url_that_is_none_is_named_by_its_field_and_not_shown(url: str) -> None:
    with pytest.raises(InvalidArgument) as wrong:
        addresses(url, field="engines.bus.url")
    assert wrong.value.reason.startswith("engines.bus.url: expected nats://")
    assert "top" not in wrong.value.reason


async def test_a_url_that_demands_encryption_never_speaks_without_it(start: Start, engine: Make) -> None:
    server = start()
    with pytest.raises(Unavailable) as refused:
        await engine(server.url.replace("nats:", "tls:")).connection()
    assert refused.value.details
    assert refused.value.details["cause"] == "tls"


async def test_a_certificate_nobody_vouches_for_is_refused_and_a_known_one_works(
    start: Start, engine: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _certificate(tmp_path)
    server = start(f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}')
    with pytest.raises(Unavailable) as refused:
        await engine(server.url).connection()
    assert refused.value.details
    assert refused.value.details["cause"] == "tls"
    assert "certificate" in refused.value.reason.lower()
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await engine(server.url.replace("nats:", "tls:")).api("INFO")


async def test_something_else_on_the_port_is_no_nats_server(engine: Make) -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    other = await asyncio.start_server(web, "127.0.0.1", 0)
    async with other:
        with pytest.raises(Unavailable, match="not a NATS server"):
            await engine(f"nats://127.0.0.1:{other.sockets[0].getsockname()[1]}").connection()


async def test_a_frozen_server_ends_every_wait(start: Start, engine: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start()
    bus = engine(server.url)
    connection = await bus.connection()
    server.freeze()
    began = time.monotonic()
    with monkeypatch.context() as impatient:
        for module in (nats_address, nats_connection):
            impatient.setattr(module, "OPEN_SECONDS", 0.3)
        with pytest.raises(Unanswered):
            await connection.ask("$JS.API.INFO", b"", seconds=0.2)
        with pytest.raises(Unanswered):
            await bus.ask("$JS.API.INFO", b"", seconds=0.2)
        with pytest.raises(Unavailable) as frozen:
            await bus.connection()
    assert frozen.value.details
    assert frozen.value.details["cause"] == "timeout"
    assert time.monotonic() - began < 30
    server.thaw()
    await bus.api("INFO")


async def test_a_flush_that_got_no_answer_leaves_the_connection_usable(start: Start, engine: Make) -> None:
    server = start()
    connection = await engine(server.url).connection()
    server.freeze()
    with pytest.raises(Unanswered):
        await connection.flush("x", seconds=0.2)
    server.thaw()
    await connection.flush("x", seconds=60)
    await connection.ask("$JS.API.INFO", b"", seconds=60)


async def test_after_a_flush_the_server_has_all_that_was_sent_before_it(start: Start, engine: Make) -> None:
    monitor = free_port()
    connection = await engine(start(f'http: "127.0.0.1:{monitor}"').url).connection()
    for _ in range(2000):
        await connection.tell("many.x", b"y" * 1000, None)
    await connection.flush("many.x", seconds=60)
    # While the loop is held by this request, nothing that still waits in this process can follow.
    with urllib.request.urlopen(f"http://127.0.0.1:{monitor}/connz", timeout=60) as answer:
        (seen,) = json.load(answer)["connections"]
    assert seen["in_msgs"] >= 2000


async def test_permission_and_nobody_there_are_told_apart_at_once(start: Start, engine: Make) -> None:
    users = '{user: w, password: w, permissions: {publish: ["$JS.API.>", "free.>"]}}'
    server = start(f"authorization {{ users: [{users}] }}")
    connection = await engine(server.url.replace("//", "//w:w@")).connection()
    began = time.monotonic()
    with pytest.raises(Denied, match=r"may not publish to Orders\.Created"):
        await connection.ask("Orders.Created", b"{}", seconds=60)
    await connection.tell("Orders.Created", b"{}", None)
    with pytest.raises(Denied):
        await connection.flush("Orders.Created", seconds=60)
    with pytest.raises(NoResponders):
        await connection.ask("free.subject", b"{}", seconds=60)
    await connection.flush("free.subject", seconds=60)
    assert time.monotonic() - began < 30, "it waits for no limit"


async def test_a_user_who_can_hear_no_answer_is_told_what_to_grant(start: Start, engine: Make) -> None:
    server = start("authorization { users: [{user: d, password: d, permissions: {subscribe: ['orders.>']}}] }")
    with pytest.raises(Unavailable, match=r"may not subscribe to _INBOX\.>"):
        await engine(server.url.replace("//", "//d:d@")).connection()


async def test_an_answer_of_somebody_else_is_not_taken_for_the_one_that_is_meant(start: Start, engine: Make) -> None:
    server = start()
    connection = await engine(server.url).connection()
    client = Client()
    await client.connect(server.url, allow_reconnect=False)

    async def answer(message: Msg) -> None:
        await message.respond(b"me first")
        await message.respond(b"the stream")

    await client.subscribe("work.do", cb=answer)  # pyright: ignore[reportUnknownMemberType]
    await settled(client)
    try:
        heard = await connection.ask("work.do", b"{}", seconds=60, accept=lambda data: data == b"the stream")
        assert heard == b"the stream"
    finally:
        await client.close()


async def test_a_server_without_jetstream_stores_nothing(start: Start, engine: Make) -> None:
    bus = engine(start(jetstream=False).url)
    assert await bus.stream_of("orders.created") is None
    with pytest.raises(NoJetStream):
        await bus.api("INFO")


async def test_what_jetstream_refuses_comes_with_its_code(start: Start, engine: Make) -> None:
    with pytest.raises(JetStreamError) as refused:
        await engine(start().url).api("STREAM.INFO.NONE")
    assert (refused.value.code, refused.value.err_code) == (404, 10059)


async def test_stored_messages_are_read_without_a_consumer(start: Start, engine: Make) -> None:
    bus = engine(start().url)
    await bus.api("STREAM.CREATE.S", {"name": "S", "subjects": ["s.>"]})
    await bus.ask("s.a", b"one", {"Nats-Msg-Id": "first"}, seconds=60)
    stored = await bus.message("S", seq=1)
    assert stored
    assert (stored.sequence, stored.subject, stored.message_id, stored.payload) == (1, "s.a", "first", b"one")
    assert await bus.message("S", seq=2) is None
    assert (await bus.api("STREAM.INFO.S"))["state"]["consumer_count"] == 0


async def test_a_local_server_that_was_killed_is_started_again(tmp_path: Path) -> None:
    bus = Nats(EngineSettings("nats", "nats", "embedded:nats", "development"), workspace(tmp_path))
    try:
        await bus.api("STREAM.CREATE.KEPT", {"name": "KEPT", "subjects": ["kept.>"]})
        connection = await bus.connection()
        running = await embedded.status("nats", workspace(tmp_path))
        assert running
        os.kill(int(running["pid"]), signal.SIGKILL)
        await asyncio.wait_for(connection.lost.wait(), 60)
        assert (await bus.api("STREAM.INFO.KEPT"))["config"]["subjects"] == ["kept.>"]
    finally:
        await bus.close()


async def test_a_refused_address_takes_no_time(tmp_path: Path) -> None:
    took: list[float] = []
    for _ in range(5):
        began = time.monotonic()
        with pytest.raises(CannotOpen):
            await Connection.open(addresses(f"nats://127.0.0.1:{free_port()}", field="url")[0])
        took.append(time.monotonic() - began)
    assert min(took) < 0.5


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that vouches for itself."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(
            name, name, key.public_key(), x509.random_serial_number(), now - timedelta(days=1), now + timedelta(days=1)
        )
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"
