"""`mcp-backend audit`: whether the log is whole, what was done lately, and its head sealed outside the store."""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

from mcp_backend.cli import arguments
from mcp_backend.errors import BackendError, FailedPrecondition

if TYPE_CHECKING:
    from mcp_backend.settings import Workspace
    from mcp_backend.store import Store


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("audit", help="verify, read or seal the log of every call")
    command.set_defaults(run=_run(_verify))
    arguments.common(command)
    actions = command.add_subparsers(metavar="ACTION")
    verify = actions.add_parser(
        "verify", help="find records that were edited, dropped or moved (the default; exit 1 if any)"
    )
    verify.set_defaults(run=_run(_verify))
    tail = actions.add_parser("tail", help="the latest records, oldest first")
    tail.add_argument("-n", type=int, default=20, metavar="COUNT", help="how many (default %(default)s)")
    tail.set_defaults(run=_run(_tail))
    seal = actions.add_parser("seal", help="write the head of the log into a git note of the current commit")
    seal.set_defaults(run=_run(_seal))
    for action in (verify, tail, seal):
        arguments.common(action, again=True)


def _run(
    action: "Callable[[argparse.Namespace, Workspace, Store], Awaitable[int]]",
) -> Callable[[argparse.Namespace], int]:
    async def opened(options: argparse.Namespace) -> int:
        from mcp_backend import persona
        from mcp_backend.settings import workspace
        from mcp_backend.store import open_store

        place = workspace(options.workspace)
        settings = persona.in_force(options.workspace)
        store = open_store(place.state, settings.store)
        try:
            return await action(options, place, store)
        finally:
            store.close()

    return lambda options: asyncio.run(opened(options))


async def _verify(options: argparse.Namespace, place: "Workspace", store: "Store") -> int:
    from mcp_backend import audit
    from mcp_backend.recording.seals import Seals, seals
    from mcp_backend.terminal import paint

    try:
        found, without = seals(place), ""
    except BackendError as error:
        found, without = Seals((), 0), error.reason
    count, breaks = await audit.verify(store, found.own)
    unended = await audit.unended(store)
    if options.json:
        body = {
            "ok": not breaks,
            "unended": unended,
            "records": count,
            "breaks": [{"seq": broken.seq, "problem": broken.problem} for broken in breaks],
            "seals": len(found.own),
            "seals_of_other_logs": found.others,
            "seals_unread": without or None,
        }
        print(json.dumps(body))
        return int(bool(breaks))
    for broken in breaks:
        print(f"{paint('broken', 'red', 'bold')} at {broken.seq}: {broken.problem}")
    for call in unended:
        print(f"{paint('unknown', 'yellow', 'bold')} how it ended: {call}")
    verdict = paint("the log is whole", "green") if not breaks else paint(f"{len(breaks)} breaks", "red", "bold")
    print(f"{count} records, {len(found.own)} seals compared: {verdict}")
    if found.others:
        print(f"{found.others} seals belong to logs of other clones or machines and were not compared")
    if without:
        print(f"no seals were read: {without}")
    elif not found.own and not breaks:
        print("without a seal, a log that was rewritten as a whole looks whole: mcp-backend audit seal")
    return int(bool(breaks))


async def _tail(options: argparse.Namespace, place: "Workspace", store: "Store") -> int:
    from mcp_backend.terminal import plain, table

    rows = await store.rows("audit_recent", limit=max(options.n, 0))
    records: list[dict[str, Any]] = [_record(str(row["record"])) for row in reversed(rows)]
    if options.json:
        print(json.dumps(records))
        return 0
    if not records:
        print("no call is recorded yet")
        return 0
    lines = [
        (
            str(r.get("seq", "?")),
            _local(str(r.get("at", ""))),
            str(r.get("event", "?")),
            str(r.get("tool", "")),
            _rest(r),
        )
        for r in records
    ]
    print(table(("SEQ", "AT", "EVENT", "TOOL", "WHAT"), [tuple(plain(cell) for cell in line) for line in lines]))
    return 0


async def _seal(options: argparse.Namespace, place: "Workspace", store: "Store") -> int:
    from mcp_backend import audit
    from mcp_backend.recording.seals import REF, seal, seals

    _, breaks = await audit.verify(store, seals(place).own)
    if breaks:
        raise FailedPrecondition(
            f"the log is broken ({breaks[0].problem}): a seal would cover that up; run audit verify"
        )
    head = await store.row("audit_last")
    if head is None:
        raise FailedPrecondition("no call is recorded yet: there is nothing to seal")
    seq, digest = int(head["seq"]), str(head["hash"])
    commit = seal(place, seq, digest, datetime.now(UTC))
    if options.json:
        print(json.dumps({"seq": seq, "hash": digest, "commit": commit, "ref": REF}))
        return 0
    print(f"sealed record {seq} ({digest[:12]}…) in a note of commit {commit[:12]}")
    print(f"it protects once it lies where this machine cannot change it: git push <remote> {REF}")
    return 0


def _record(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"event": "unreadable"}


def _local(moment: str) -> str:
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return moment


def _rest(record: dict[str, Any]) -> str:
    """What a record says beyond its columns, in the order a person asks for it."""
    approval = cast("dict[str, Any]", record.get("approval") or {})
    parts = [
        "; ".join(str(action) for action in record.get("actions", ())),
        f"refused by {record['constraint']}" if record.get("constraint") and record.get("event") == "refused" else "",
        str(record.get("code", "")),
        str(record.get("escalation", "")),
        f"approved by {approval.get('by')} ({approval.get('channel')})" if approval else "",
        f"by {record['by']} ({record.get('channel', '')})" if record.get("by") else "",
        f"{record['ms']} ms" if "ms" in record else "",
        str(record.get("client", "")) if record.get("event") == "started" else "",
    ]
    return ", ".join(part for part in parts if part)
