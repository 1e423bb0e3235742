"""The acts of the session, in order."""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp_backend.demo import person, setting
from mcp_backend.demo.session import Body, Session
from mcp_backend.demo.setting import Setting

QUESTION: dict[str, Any] = {
    "kind": "spec_clarification",
    "title": "unit of discount",
    "question": "Is `discount` of POST /orders a percentage or an amount of money?",
    "details": {
        "spec_ref": "api/openapi.yaml, components.schemas.NewOrder.discount",
        "readings": [
            {"reading": "a whole percentage, 0 to 100", "consequence": "smallint column, rounding down to a cent"},
            {"reading": "an amount in cents", "consequence": "bigint column, never above the total"},
        ],
        "recommended": "a whole percentage: it cannot exceed the total",
    },
}
COMMIT = {"message": "orders: whole-percent discounts"}
BACKEND = ["db/migrations/20260302090000_add_discount.sql", "orders/domain.py", "tests/test_discount.py"]
ORDER = {"id": "o-1", "total_cents": 675}


async def database(session: Session, place: Setting) -> None:
    """Read the schema, apply the pending migration, be refused a write through the query tool."""
    session.stage.step("Read the real schema, apply the pending migration")
    schema = await session.done(
        "db_schema",
        lambda r: f"{r['dialect']}, {r['environment']}: {len(r['tables'])} tables; pending {_names(r['migrations'])}",
        engine="postgresql",
    )
    session.stage.expect(len(schema["migrations"]["pending"]) == 1, "one pending migration", schema["migrations"])
    await session.done("run_migration", _applied, engine="postgresql")
    await session.done(
        "db_schema",
        lambda r: f"orders({', '.join(c['name'] for c in r['table']['columns'])}); fingerprint {r['version'][:12]}",
        engine="postgresql",
        table="orders",
    )
    sql = "insert into orders (id, customer, total_cents) values ('o-9', 'eve', 1)"
    await session.refused("db_query", "permission_denied", "reads-stay-reads", sql=sql, engine="postgresql")
    counted = await session.done(
        "db_query",
        lambda r: f"{r['rows']} in {r['elapsed_ms']} ms",
        sql="select count(*) from orders",
        engine="postgresql",
    )
    session.stage.expect(counted["rows"] == [[0]], "no order", counted)


async def question(session: Session, place: Setting) -> None:
    """The specification does not say; the architect does."""
    session.stage.step("The specification is ambiguous: ask instead of guessing")
    asked = await session.done("escalate", lambda r: f"{r['id']} is {r['status']}, for the {r['assignee']}", **QUESTION)
    again = await session.done("escalate", lambda r: f"already asked as {r['duplicate_of']}", **QUESTION)
    session.stage.expect(again["id"] == asked["id"], "one question, not two", again)
    text = "A whole percentage, 0 to 100. Round down."
    code, shown = person.answer(place.root, asked["id"], "--text", text)
    session.stage.expect(code == 0, "the architect's answer to be taken", shown)
    session.stage.say("person", f'the architect, at a terminal: mcp-backend inbox answer {asked["id"]} --text "{text}"')
    answer = await session.done(
        "check_escalation", lambda r: f"{r['status']} by {r['by']}: {r['answer']}", id=asked["id"]
    )
    session.stage.expect(answer["status"] == "answered", "the answer", answer)


async def code(session: Session, place: Setting) -> None:
    """Change code, be refused where the change is not the backend's or was not tested, commit what was."""
    session.stage.step("The host writes a migration, code, a test - and a frontend file")
    setting.change(place.root)
    status = await session.done(
        "git_status", lambda r: f"{r['branch']}: changed {_paths(r['unstaged'])}; new {_paths(r['untracked'])}"
    )
    session.stage.expect("web/src/App.tsx" in str(status["unstaged"]), "the frontend file among the changes", status)
    everything = [*BACKEND, "web/src/App.tsx"]
    await session.refused("git_commit", "permission_denied", "no-frontend", **COMMIT, paths=everything)
    await session.refused("git_commit", "failed_precondition", "tested-commits", **COMMIT, paths=BACKEND)
    run = await session.done(
        "run_tests",
        lambda r: f"{r['passed']} passed, {r['failed']} failed in {r['duration_s']} s; receipt {r['receipt']}",
    )
    session.stage.expect(run["passed"] == 11 and run["failed"] == 0, "eleven tests to pass", run)
    await session.done(
        "git_commit",
        lambda r: f"{r['commit'][:10]} on {r['branch']}: {', '.join(r['files'])}; receipt {r['receipt']}",
        **COMMIT,
        paths=BACKEND,
    )


async def staging(session: Session, place: Setting) -> None:
    """Development takes the migration at once; staging waits for a person, who approves exactly this."""
    session.stage.step("The new migration: development at once, staging when a person agrees")
    await session.done("run_migration", _applied, engine="postgresql")
    error = await session.refused("run_migration", "failed_precondition", "data-consistency", engine="staging")
    identifier = error["escalation"]
    session.stage.say("person", f"the data owner, at a terminal: mcp-backend inbox answer {identifier} --approve")
    code, shown = person.answer(place.root, identifier, "--approve", retype=True)
    session.stage.screen(shown)
    session.stage.expect(code == 0, "the data owner's approval to be taken", shown)
    await session.done("run_migration", _applied, engine="staging")


async def messages(session: Session, place: Setting) -> None:
    """Publish what the contract says, once."""
    session.stage.step("Announce the order: checked against the AsyncAPI contract, stored once")
    await session.done(
        "message_topology",
        lambda r: "; ".join(
            f"{d['kind']} {d['name']} takes {', '.join(d['subjects'])}, holds {d['messages']}, contract {d['schema']}"
            for d in r["destinations"]
        ),
    )
    wrong: dict[str, Any] = {"destination": "orders.created", "messages": [{"payload": {"id": "o-1", "total": 6.75}}]}
    await session.refused("publish_message", "permission_denied", "proven-tools", **wrong)
    one = {"payload": ORDER, "message_id": "order:o-1:created"}
    right: dict[str, Any] = {"destination": "orders.created", "messages": [one]}
    await session.done("publish_message", _stored, **right)
    again = await session.done("publish_message", _stored, **right)
    session.stage.expect(again["results"][0]["duplicate"] is True, "the second one to be a duplicate", again)


def _names(migrations: Body) -> str:
    return ", ".join(migrations["pending"]) or "none"


def _paths(changes: list[Body]) -> str:
    return ", ".join(f"{c['path']} ({c['owner']})" if "owner" in c else c["path"] for c in changes)


def _applied(result: Body) -> str:
    done = ", ".join(f"{m['version']} {m['name']} in {m['elapsed_ms']} ms" for m in result["applied"])
    return f"applied {done}; waited {result['waited_for_locks_ms']} ms for locks"


def _stored(result: Body) -> str:
    return "; ".join(
        f"{r['message_id']}: stored {r['stored']}, duplicate {r['duplicate']}, sequence {r['sequence']}, "
        f"fits {r['validated_against']}"
        for r in result["results"]
    )


ACTS: tuple[Callable[[Session, Setting], Awaitable[None]], ...] = (database, question, code, staging, messages)
