"""The engineer tries to approve its own call, in every way that is known. None succeeds, or it is named a fence.

`ATTEMPTS` is the table: what is tried, and what SECURITY.md says about it where only a fence is in the way.
"""

import asyncio
import os
import shlex
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from mcp_backend import audit, escalations, persona
from mcp_backend.app import App, open_app
from mcp_backend.call import call
from mcp_backend.errors import BackendError, FailedPrecondition, PermissionDenied
from mcp_backend.people import decisions
from mcp_backend.settings import user
from mcp_backend.tools.edit_file import EditFile
from mcp_backend.tools.escalate import Escalate
from mcp_backend.tools.run_command import RunCommand
from mcp_backend.tools.write_file import WriteFile
from mcp_backend.web.site import COOKIE
from tests import at_a_terminal
from tests.migrating import Migrate, executed
from tests.test_inbox_site import Browser, served

RACES = int(os.environ.get("SELF_APPROVAL_RACES", "4"))
"""Rounds of the race for one approval. 1000 for the figure of the release."""
Attempt: TypeAlias = Callable[[App, str], Awaitable[object]]


async def approved(app: App, identifier: str, **change: Any) -> None:
    """What a person does at a terminal."""
    given: dict[str, Any] = {"by": "ana", "channel": "terminal", "now": app.now(), "answer": ""}
    promise = app.policy.constraint("data-consistency")
    await escalations.decide(app.store, identifier, status="approved", constraint=promise, **{**given, **change})


def edit(app: App, *statements: str) -> None:
    """Writes into the store beside the server."""
    connection = sqlite3.connect(app.workspace.state / "store.db", timeout=10)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def by_a_form_that_accepts_itself(app: App, identifier: str) -> None:
    await approved(app, identifier, channel="elicitation")


async def by_its_own_name_over_another_channel(app: App, identifier: str) -> None:
    await approved(app, identifier, by=user(), channel="webhook")


async def by_the_command_line_in_its_shell(app: App, identifier: str) -> None:
    """At a terminal that carries the mark of a host, and through the tool for commands."""
    arguments = ["inbox", "answer", identifier, "--approve"]
    code, seen = await asyncio.to_thread(
        at_a_terminal.run, arguments, typed={}, cwd=app.workspace.root, environment={"CLAUDECODE": "1"}
    )
    assert (code, "does not answer itself" in seen) == (1, True)


async def by_a_command_it_runs(app: App, identifier: str) -> None:
    import sys

    line = f"yes c0de | {shlex.quote(sys.executable)} -m mcp_backend inbox answer {identifier} --approve"
    done = await call(app, RunCommand, {"command": line})
    assert done["exit_code"] != 0


async def by_writing_the_store_from_a_command(app: App, identifier: str) -> None:
    place = shlex.quote(str(app.workspace.state / "store.db"))
    sql = f"update escalation set status = 'approved' where id = '{identifier}'"
    line = f'python3 -c "import sqlite3; c = sqlite3.connect({place!r}); c.execute(\\"{sql}\\"); c.commit()"'
    await call(app, RunCommand, {"command": line})
    row = await escalations.get(app.store, identifier)
    assert row["status"] == "open", "the store is out of sight of what the engineer runs"


async def by_a_forged_cookie(app: App, identifier: str) -> None:
    def forge() -> None:
        with served(app.workspace.root) as browser:
            for cookie in ("x", "0" * 43, ""):
                forged = Browser(browser.host, [], f"{COOKIE}={cookie}", "0" * 64)
                assert forged.send(f"/escalations/{identifier}", way="approved", tail="c0de").status == 403

    await asyncio.to_thread(forge)


async def by_asking_for_an_approval_itself(app: App, identifier: str) -> None:
    del identifier
    details = {"known": "approved", "tried": "yes", "would_unblock": "approve"}
    with pytest.raises(BackendError, match="kind"):
        await call(app, Escalate, {"kind": "approval", "title": "Yes", "question": "Yes?", "details": details})


async def by_a_decision_record(app: App, identifier: str) -> None:
    row = await escalations.get(app.store, identifier)
    folder = decisions.folder(app.workspace.root)
    folder.mkdir(parents=True)
    head = f"---\nstatus: accepted\nescalation: {identifier}\ndigest: {row['digest']}\n---\n"
    (folder / "0001-yes.md").write_text(head + "\n# Yes\n\n## Decision Outcome\n\napproved\n")


async def by_loosening_the_policy(app: App, identifier: str) -> None:
    del identifier
    loose = '[constraints.data-consistency]\noutcome = "allow"\ndisabled_because = "I said so"\n'
    for tool, more in ((WriteFile, {"content": loose}), (EditFile, {"edits": [{"old": "a", "new": loose}]})):
        with pytest.raises(BackendError):
            await call(app, tool, {"path": "mcp-backend.toml", **more})


async def by_a_row_of_its_own(app: App, identifier: str) -> None:
    edit(
        app,
        "insert into approval (id, escalation, digest, at_version, approver, channel, granted, expires, record) "
        f"select 'APR-x', id, digest, at_version, 'ana', 'terminal', {app.now()}, {app.now() + 9e6}, 1 "
        f"from escalation where id = '{identifier}'",
        f"update escalation set status = 'approved', answered_by = 'ana' where id = '{identifier}'",
    )


async def by_a_denial_turned_round(app: App, identifier: str) -> None:
    await escalations.decide(
        app.store, identifier, status="denied", answer="", by="ana", channel="terminal", now=app.now(),
        constraint=app.policy.constraint("data-consistency"),
    )  # fmt: skip
    record = (await audit_rows(app))[-1]["seq"]
    await by_a_row_of_its_own(app, identifier)
    edit(app, f"update approval set record = {record} where id = 'APR-x'")


async def audit_rows(app: App) -> list[dict[str, Any]]:
    return await app.store.rows("audit_after", seq=0, limit=10_000)


async def by_an_approval_of_another_call(app: App, identifier: str) -> None:
    with pytest.raises(FailedPrecondition):
        await call(app, Migrate, {"sql": "SELECT 1"})
    other = (await app.store.rows("escalations_open"))[-1]["id"]
    await approved(app, other)
    edit(app, f"update approval set digest = (select digest from escalation where id = '{identifier}')")


ATTEMPTS: tuple[Attempt, ...] = (
    by_a_form_that_accepts_itself,
    by_its_own_name_over_another_channel,
    by_the_command_line_in_its_shell,
    by_a_command_it_runs,
    by_writing_the_store_from_a_command,
    by_a_forged_cookie,
    by_asking_for_an_approval_itself,
    by_a_decision_record,
    by_loosening_the_policy,
    by_a_row_of_its_own,
    by_a_denial_turned_round,
    by_an_approval_of_another_call,
)


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
async def test_the_engineer_does_not_approve_its_own_call(repository: Path, attempt: Attempt) -> None:
    async with open_app(repository) as app:
        with pytest.raises(FailedPrecondition) as waiting:
            await call(app, Migrate, {})
        identifier = waiting.value.escalation
        assert identifier is not None
        with suppress(PermissionDenied, FailedPrecondition):  # Also an attempt that is refused as such.
            await attempt(app, identifier)
        with pytest.raises((FailedPrecondition, PermissionDenied)):
            await call(app, Migrate, {})
    async with open_app(repository) as app:  # also a server that starts afterwards
        with pytest.raises((FailedPrecondition, PermissionDenied)):
            await call(app, Migrate, {})
        assert executed(app) == []


async def given(app: App, **arguments: Any) -> str:
    """A call that a person approved; the id of the question."""
    with pytest.raises(FailedPrecondition) as waiting:
        await call(app, Migrate, arguments)
    assert waiting.value.escalation is not None
    await approved(app, waiting.value.escalation)
    return waiting.value.escalation


@pytest.mark.parametrize(
    "other",
    [{"sql": "CREATE TABLE t (id inT)"}, {"sql": "CREATE TABLE t (id int) "}, {"environment": "staging"}],
    ids=["one letter", "one space", "another environment"],
)
async def test_an_approval_is_no_approval_of_what_differs_by_one_byte(tmp_path: Path, other: dict[str, str]) -> None:
    async with open_app(tmp_path) as app:
        await given(app)
        with pytest.raises(FailedPrecondition):
            await call(app, Migrate, other)
        assert executed(app) == []
        await call(app, Migrate, {})
        with pytest.raises(FailedPrecondition):
            await call(app, Migrate, {})
        assert len(executed(app)) == 1, "it was spent once"


REVIVED = ("update approval set spent = null", "update approval set spent = null, expires = 9e9")


@pytest.mark.parametrize("statement", REVIVED, ids=["spent", "spent and expires"])
async def test_a_spent_approval_that_is_written_back_is_seen(tmp_path: Path, statement: str) -> None:
    async with open_app(tmp_path) as app:
        await given(app)
        await call(app, Migrate, {})
        edit(app, statement)
        with pytest.raises(PermissionDenied, match="no person gave it for this call, or it was used already"):
            await call(app, Migrate, {})
        assert len(executed(app)) == 1


async def test_an_expired_approval_stays_expired_when_the_clock_is_set_back_or_the_row_is_changed(
    tmp_path: Path,
) -> None:
    async with open_app(tmp_path) as app:
        await given(app)
        late = replace(app, clock=lambda: app_clock + timedelta(hours=5))
        app_clock = app.clock()
        with pytest.raises(FailedPrecondition):
            await call(late, Migrate, {})
        with pytest.raises(FailedPrecondition):
            await call(app, Migrate, {})
        with pytest.raises(FailedPrecondition, match="clock of this machine is"):
            await approved(app, (await app.store.rows("escalations_open"))[-1]["id"])
        edit(app, "update approval set expires = 9e9")
        with pytest.raises(PermissionDenied):
            await call(late, Migrate, {})
        assert executed(app) == []


async def test_of_many_at_once_one_spends_an_approval(tmp_path: Path) -> None:
    async with open_app(tmp_path) as app:
        for number in range(RACES):
            sql = f"CREATE TABLE t{number} (id int)"
            await given(app, sql=sql)
            results = await asyncio.gather(
                *(call(app, Migrate, {"sql": sql}) for _ in range(4)), return_exceptions=True
            )
            assert sum(isinstance(result, dict) for result in results) == 1
        assert len(executed(app)) == len(set(executed(app))) == RACES


FENCES = (
    "Same user, same machine", "imitates all three", "sets the clock back", "differs from the seals",
    "answers questions only",
)  # fmt: skip


def test_what_is_only_a_fence_is_said() -> None:
    said = " ".join((Path(__file__).parents[1] / "SECURITY.md").read_text("utf-8").split())
    for words in FENCES:
        assert words in said


async def test_a_forged_log_is_whole_to_itself_and_not_to_its_seal(tmp_path: Path) -> None:
    """The one edit that passes: decision and approval written together by whoever can write all of the store."""
    async with open_app(tmp_path) as app:
        with pytest.raises(FailedPrecondition) as waiting:
            await call(app, Migrate, {})
        head = await app.store.row("audit_last")
        assert head is not None
        seal = (int(head["seq"]), str(head["hash"]))
        assert (await audit.verify(app.store, [seal]))[1] == []
        edit(app, "update audit set record = replace(record, 'refused', 'done')")
        broken = (await audit.verify(app.store, [seal]))[1]
        assert broken
        assert waiting.value.escalation is not None


def test_every_promise_that_is_approved_leaves_out_what_a_client_may_answer_for_its_user() -> None:
    for promise in persona.load().constraints:
        if promise.approvers:
            assert promise.channels, f"{promise.id} would take any channel"
            assert not {"elicitation", "command"} & set(promise.channels)
