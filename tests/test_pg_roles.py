"""A role that can only read: made by the script, recognised by the catalog, and enough by itself."""

import json
import secrets
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from mcp_backend.cli import main
from mcp_backend.engines.pg import roles
from tests.asking import error, names_database, result
from tests.conftest import Connect


@pytest.fixture
def reader(shop: Path, postgres_admin_url: str) -> Generator[tuple[str, str]]:
    """The name of a hardened role, and the URL of the shop's database as that role."""
    name, password = f"Reader {secrets.token_hex(3)}", secrets.token_hex(8)
    parts = urlsplit(postgres_admin_url)
    script = roles.hardening(name, parts.path[1:])
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        admin.execute(b"create function touch() returns int language sql volatile as 'select 1'")
        admin.execute("\n".join(line for line in script.splitlines() if not line.startswith("\\")).encode())
        admin.execute(f"alter role \"{name}\" password '{password}'".encode())
        netloc = f"{name.replace(' ', '%20')}:{password}@{parts.hostname}:{parts.port}"
        yield name, urlunsplit(parts._replace(netloc=netloc))
        admin.execute(f'drop owned by "{name}"'.encode())
        admin.execute(f'drop role "{name}"'.encode())


async def test_every_answer_says_how_far_the_role_could_go(
    shop: Path, connect: Connect, reader: tuple[str, str], postgres_url: str, postgres_admin_url: str
) -> None:
    said: dict[str, str] = {}
    for kind, url in (("reader", reader[1]), ("owner", postgres_url), ("admin", postgres_admin_url)):
        names_database(shop, url)
        async with connect(shop) as client:
            said[kind] = (await result(client, "db_query", sql="select 1"))["layers"]["role"]
    assert said["reader"] == f"{reader[0]}: hardened"
    assert "owns" in said["owner"]
    assert "default_transaction_read_only is off" in said["owner"]
    assert "may" not in said["owner"], "what follows from owning is not said with every answer"
    assert said["admin"].endswith(": superuser")


async def test_the_hardened_role_reads_everything_and_its_own_limits_stay(
    shop: Path, connect: Connect, reader: tuple[str, str]
) -> None:
    names_database(shop, reader[1])
    async with connect(shop) as client:
        assert (await result(client, "db_query", sql="select count(*) from orders"))["rows"] == [[1]]
        assert len((await result(client, "db_schema"))["tables"]) == 3
        limits = await result(client, "db_query", sql="show statement_timeout", timeout_seconds=300)
        assert limits["rows"] == [["5s"]]
        limits = await result(client, "db_query", sql="show statement_timeout", timeout_seconds=2)
        assert limits["rows"] == [["2s"]]


HARMFUL = [
    "insert into customers values (9, 'x', '')", "update customers set name = 'x'", "delete from orders",
    "create table t ()", "create temp table t ()", "create schema s", "select touch()", "select lo_creat(-1)",
    "select pg_advisory_lock(1)", "select pg_sleep(0)", "select query_to_xml('select 1', true, true, '')",
    "select set_config('work_mem', '1MB', false)", "select pg_notify('a', 'b')", "copy customers to '/tmp/x'",
    "copy customers to program 'true'", "select pg_read_file('/etc/passwd')", "select * from pg_authid",
    "select pg_terminate_backend(pg_backend_pid())", "set role backend", "drop table orders",
]  # fmt: skip


def test_without_any_analysis_the_hardened_role_can_do_no_harm(
    reader: tuple[str, str], postgres_admin_url: str
) -> None:
    with psycopg.connect(reader[1], autocommit=True) as session:
        session.execute(b"set default_transaction_read_only = off")
        for statement in HARMFUL:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute(statement.encode())
    with psycopg.connect(postgres_admin_url) as admin:
        assert admin.execute(b"select count(*) from orders").fetchone() == (1,)


def test_other_roles_keep_what_was_taken_from_everybody(reader: tuple[str, str], postgres_url: str) -> None:
    assert reader[0].startswith("Reader")
    with psycopg.connect(postgres_url) as owner:
        row: Any = owner.execute(
            "select has_function_privilege('pg_advisory_lock(bigint)', 'execute'), has_function_privilege('touch()', "
            "'execute'), has_database_privilege(current_database(), 'temporary')"
        ).fetchone()
        assert row == (True, True, True)


async def test_a_table_that_the_role_may_not_read_is_named_by_the_database(
    shop: Path, connect: Connect, reader: tuple[str, str], postgres_admin_url: str
) -> None:
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        admin.execute(f'revoke select on orders from "{reader[0]}"'.encode())
    names_database(shop, reader[1])
    async with connect(shop) as client:
        denied = await error(client, "db_query", sql="select * from orders")
        assert (denied["code"], denied["details"]["sqlstate"]) == ("invalid_argument", "42501")
        assert "permission denied for table orders" in denied["reason"]


def test_the_doctor_writes_the_script_and_says_whether_the_role_holds(
    shop: Path, postgres_admin_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"reader_{secrets.token_hex(3)}"
    names_database(shop, postgres_admin_url)
    asked = ["doctor", "--workspace", str(shop), "--harden", "main", "--role", name]
    assert main(asked) == 1
    script, said = capsys.readouterr()
    assert f"{name} is not there" in said
    assert "postgres: superuser" in said
    with psycopg.connect(postgres_admin_url, autocommit=True) as admin:
        try:
            admin.execute("\n".join(line for line in script.splitlines() if not line.startswith("\\")).encode())
            assert main(asked) == 0
            assert f"{name}: hardened, by the catalog" in capsys.readouterr().err
            for change, fault in (
                ("grant insert on orders to {}", "may write 1 relations"),
                ("alter role {} createdb", "CREATEDB"),
                ("alter role {} reset default_transaction_read_only", "default_transaction_read_only is off"),
                ("grant execute on function pg_catalog.lo_creat(int) to {}", "may call 1 functions"),
            ):
                admin.execute(change.format(name).encode())
                assert main([*asked, "--json"]) == 1
                found = json.loads(capsys.readouterr().out)
                assert any(fault in text for text in found["faults"]), (change, found["faults"])
                admin.execute(script.replace("\\", "--").encode())
                if "orders" in change:
                    admin.execute(f"revoke insert on orders from {name}".encode())
            assert main(asked) == 0
        finally:
            admin.execute(f"drop owned by {name}".encode())
            admin.execute(f"drop role {name}".encode())
