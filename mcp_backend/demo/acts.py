"""The acts of the session, in order."""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp_backend.demo import person, setting
from mcp_backend.demo.session import Session
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
    schema = await session.done("db_schema", "{dialect}: tables {tables}, migrations {migrations}", engine="postgresql")
    session.stage.expect(len(schema["migrations"]["pending"]) == 1, "one pending migration", schema["migrations"])
    await session.done(
        "run_migration", "applied {applied}; waited {waited_for_locks_ms} ms for locks", engine="postgresql"
    )
    table = await session.done("db_schema", "fingerprint {version:.12}", engine="postgresql", table="orders")
    columns = [column["name"] for column in table["table"]["columns"]]
    session.stage.expect("total_cents" in columns, "the new table", columns)
    session.stage.say("server", f"orders({', '.join(columns)})")
    sql = "insert into orders (id, customer, total_cents) values ('o-9', 'eve', 1)"
    await session.refused("db_query", "permission_denied", "reads-stay-reads", sql=sql, engine="postgresql")
    await session.done(
        "db_query", "{row_count} row: {rows}", sql="select count(*) as orders from orders", engine="postgresql"
    )


async def question(session: Session, place: Setting) -> None:
    """The specification does not say; the architect does."""
    session.stage.step("The specification is ambiguous: ask instead of guessing")
    asked = await session.done("escalate", "{id} is {status}, for the {assignee}", **QUESTION)
    again = await session.done("escalate", "the same question again finds {duplicate_of}", **QUESTION)
    session.stage.expect(again["id"] == asked["id"], "one question, not two", again)
    code, shown = person.answer(place.root, asked["id"], "--text", "A whole percentage, 0 to 100. Round down.")
    session.stage.expect(code == 0, "the architect's answer to be taken", shown)
    session.stage.say("person", f"on a terminal: mcp-backend inbox answer {asked['id']} --text …")
    answer = await session.done("check_escalation", "{status} by {by}: {answer}", id=asked["id"])
    session.stage.expect(answer["status"] == "answered", "the answer", answer)


async def code(session: Session, place: Setting) -> None:
    """Change code, be refused where the change is not the backend's or was not tested, commit what was."""
    session.stage.step("The host writes a migration, code, a test - and a frontend file")
    setting.change(place.root)
    status = await session.done("git_status", "{branch}: unstaged {unstaged}, untracked {untracked}")
    session.stage.expect("web/src/App.tsx" in str(status["unstaged"]), "the frontend file among the changes", status)
    everything = [*BACKEND, "web/src/App.tsx"]
    await session.refused("git_commit", "permission_denied", "no-frontend", **COMMIT, paths=everything)
    await session.refused("git_commit", "failed_precondition", "tested-commits", **COMMIT, paths=BACKEND)
    run = await session.done("run_tests", "{passed} passed, {failed} failed in {duration_s} s; receipt {receipt}")
    session.stage.expect(run["passed"] == 11 and run["failed"] == 0, "eleven tests to pass", run)
    await session.done("git_commit", "{commit:.10} on {branch}: {files}", **COMMIT, paths=BACKEND)


async def staging(session: Session, place: Setting) -> None:
    """Development takes the migration at once; staging waits for a person, who approves exactly this."""
    session.stage.step("The new migration: development at once, staging when a person agrees")
    await session.done("run_migration", "applied {applied}", engine="postgresql")
    error = await session.refused("run_migration", "failed_precondition", "data-consistency", engine="staging")
    identifier = error["escalation"]
    code, shown = person.answer(place.root, identifier, "--approve", retype=True)
    session.stage.expect(code == 0, "the data owner's approval to be taken", shown)
    for line in shown.splitlines():
        if line.strip():
            session.stage.say("person", line.strip())
    await session.done("run_migration", "the same call again: applied {applied}", engine="staging")


async def messages(session: Session, place: Setting) -> None:
    """Publish what the contract says, once."""
    session.stage.step("Announce the order: checked against the AsyncAPI contract, stored once")
    await session.done("message_topology", "{destinations}")
    wrong: dict[str, Any] = {"destination": "orders.created", "messages": [{"payload": {"id": "o-1", "total": 6.75}}]}
    await session.refused("publish_message", "permission_denied", "proven-tools", **wrong)
    right: dict[str, Any] = {
        "destination": "orders.created",
        "messages": [{"payload": ORDER, "message_id": "order:o-1:created"}],
    }
    await session.done("publish_message", "{results}", **right)
    again = await session.done("publish_message", "the same message again: {results}", **right)
    session.stage.expect(again["results"][0]["duplicate"] is True, "the second one to be a duplicate", again)


ACTS: tuple[Callable[[Session, Setting], Awaitable[None]], ...] = (database, question, code, staging, messages)
