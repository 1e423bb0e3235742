"""`mcp-backend inbox`: what the engineer asked, and the answers of people.

An answer is refused in the shell of an agent; an approval is given at a real terminal only, by a person who has read
the digest of what would happen. See seat.py for what this fences and what it cannot.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mcp_backend.cli import arguments
from mcp_backend.errors import FailedPrecondition, InvalidArgument, PermissionDenied

if TYPE_CHECKING:
    from mcp_backend.people.inbox import Inbox
    from mcp_backend.store import Row


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("inbox", help="what the engineer asks, and your answers")
    arguments.common(command)
    command.set_defaults(run=_run(_list), all=False)
    actions = command.add_subparsers(metavar="ACTION")
    listing = actions.add_parser("list", help="what waits for a person (the default)")
    listing.add_argument("--all", action="store_true", help="also what was decided")
    listing.set_defaults(run=_run(_list))
    show = actions.add_parser("show", help="one question or approval with everything it says")
    show.set_defaults(run=_run(_show))
    answer = actions.add_parser(
        "answer", help="decide", description="Approvals are given at a terminal. Questions are answered with --text."
    )
    way = answer.add_mutually_exclusive_group(required=True)
    way.add_argument("--approve", action="store_true", help="yes: exactly this, once")
    way.add_argument("--deny", action="store_true", help="no")
    way.add_argument("--text", metavar="ANSWER", help="the answer to a question")
    answer.add_argument("--reason", default="", metavar="WHY", help="with --approve or --deny: what the engineer reads")
    answer.set_defaults(run=_run(_answer))
    acknowledge = actions.add_parser("ack", help="say that you look at it: no timer asks the next role")
    acknowledge.set_defaults(run=_run(_acknowledge))
    delegate = actions.add_parser("delegate", help="hand it to another role or person")
    delegate.add_argument("--to", required=True, metavar="WHO", help="a role or a person of the policy")
    delegate.set_defaults(run=_run(_delegate))
    asking = actions.add_parser("ask", help="ask the engineer something before you answer")
    asking.add_argument("--text", required=True, metavar="QUESTION", help="what the engineer reads")
    asking.set_defaults(run=_run(_ask_back))
    record = actions.add_parser("record", help="write an answer as a decision record (MADR) into the repository")
    record.set_defaults(run=_run(_record))
    signed = actions.add_parser(
        "commit",
        help="take the decision of a signed commit",
        description="The commit changes nothing and says Escalation: ID, Decision: approve, deny or answer, and to "
        "approve Digest: all of it. Its SSH signature is of somebody whom allowed_signers of the policy names.",
    )
    signed.add_argument("commit", metavar="COMMIT", help="its full hash")
    arguments.common(signed, again=True)
    signed.set_defaults(run=_run(_signed))
    serving = actions.add_parser("serve", help="the inbox in a browser, on this machine only")
    serving.add_argument("--port", type=int, default=0, help="0 takes a free one (default %(default)s)")
    arguments.workspace(serving, again=True)
    serving.set_defaults(run=_serve)
    for action in (show, answer, acknowledge, delegate, asking, record):
        action.add_argument("id", metavar="ID", help="such as ESC-1a2b3c4d")
    for action in (listing, show, answer, acknowledge, delegate, asking, record):
        arguments.common(action, again=True)


def _run(action: "Callable[[argparse.Namespace, Inbox], Awaitable[int]]") -> Callable[[argparse.Namespace], int]:
    async def opened(options: argparse.Namespace) -> int:
        from mcp_backend.people.inbox import open_inbox

        with open_inbox(options.workspace) as inbox:
            return await action(options, inbox)

    return lambda options: asyncio.run(opened(options))


def _serve(options: argparse.Namespace) -> int:
    from mcp_backend.web.serving import serve

    return serve(options)


async def _list(options: argparse.Namespace, inbox: "Inbox") -> int:
    from mcp_backend.people.inbox import span
    from mcp_backend.terminal import paint, plain, table

    rows = await inbox.waiting(datetime.now(UTC).timestamp(), everything=options.all)
    if options.json:
        print(json.dumps({"escalations": [inbox.brief(row) for row in rows]}))
        return 0
    if not rows:
        print("nothing waits for an answer" if not options.all else "nothing was ever asked")
        return 0
    now = datetime.now(UTC).timestamp()
    heads = ("ID", "KIND", "STATUS", "FOR", "ASKED", "LAPSES", "TITLE")
    cells = [
        (row["id"], row["kind"], row["status"], row["assignee"].replace("_", " "), f"{span(now - row['opened'])} ago",
         f"in {span(row['expires'] - now)}" if row["status"] in ("open", "acknowledged") else "-",
         plain(row["title"]) + (" (the engineer waits)" if row["blocking"] else ""))
        for row in rows
    ]  # fmt: skip
    print(table(heads, cells))
    print(paint("mcp-backend inbox show ID", "dim"))
    return 0


async def _signed(options: argparse.Namespace, inbox: "Inbox") -> int:
    from mcp_backend.people.signed_commits import receive

    row = await receive(inbox, options.commit, datetime.now(UTC).timestamp())
    said = {"id": row["id"], "status": row["status"], "by": row["answered_by"], "channel": row["channel"]}
    print(json.dumps(said) if options.json else f"{row['id']}: {row['status']} by {row['answered_by']}")
    return 0


async def _show(options: argparse.Namespace, inbox: "Inbox") -> int:
    row = await inbox.one(options.id)
    if options.json:
        print(json.dumps(inbox.full(row)))
        return 0
    print(await inbox.page(row, datetime.now(UTC).timestamp()))
    return 0


async def _answer(options: argparse.Namespace, inbox: "Inbox") -> int:
    from mcp_backend.terminal import paint, plain

    terminal = _person() == "terminal"
    row = await inbox.one(options.id)
    approval = row["kind"] == "approval"
    if approval and options.text is not None:
        raise InvalidArgument(f"{row['id']} is an approval: answer it with --approve or --deny")
    if approval and not terminal:
        raise PermissionDenied("approvals are decided by a person at a terminal: standard input and output must be one")
    if approval and row["status"] in ("open", "acknowledged"):
        print(await inbox.page(row, datetime.now(UTC).timestamp()), file=sys.stderr if options.json else sys.stdout)
    if approval and options.approve:
        _confirm(str(row["digest"]))
    decided = await inbox.decide(
        row,
        status="approved" if options.approve else "denied" if options.deny else "answered",
        answer=plain(options.text if options.text is not None else options.reason).strip(),
        channel="terminal" if terminal else "command",
        now=datetime.now(UTC).timestamp(),
    )
    if options.json:
        print(json.dumps(inbox.full(decided)))
        return 0
    print(f"{paint(decided['status'], 'green' if options.approve else 'bold')}: {decided['id']}, {_told(decided)}")
    return 0


async def _acknowledge(options: argparse.Namespace, inbox: "Inbox") -> int:
    channel, row = _person(), await inbox.one(options.id)
    done = await inbox.acknowledge(row, channel=channel, now=datetime.now(UTC).timestamp())
    return _moved(options, inbox, done, "acknowledged: no timer asks anybody else; it still lapses without an answer")


async def _delegate(options: argparse.Namespace, inbox: "Inbox") -> int:
    channel, row = _person(), await inbox.one(options.id)
    done = await inbox.delegate(row, options.to, channel=channel, now=datetime.now(UTC).timestamp())
    return _moved(options, inbox, done, f"{row['id']} is for {done['assignee'].replace('_', ' ')} now")


async def _ask_back(options: argparse.Namespace, inbox: "Inbox") -> int:
    from mcp_backend.terminal import plain

    channel, row = _person(), await inbox.one(options.id)
    now = datetime.now(UTC).timestamp()
    done = await inbox.ask_back(row, plain(options.text), channel=channel, now=now)
    return _moved(options, inbox, done, "asked: the engineer's next result carries it, its reply appears here")


def _moved(options: argparse.Namespace, inbox: "Inbox", row: "Row", words: str) -> int:
    print(json.dumps(inbox.full(row)) if options.json else words)
    return 0


def _person() -> str:
    """The channel of whoever sits here. Raises `PermissionDenied` in the shell of an agent."""
    from mcp_backend.people import seat

    if found := seat.agent():
        raise PermissionDenied(
            f"this shell belongs to {found}, and the engineer does not answer itself. A person answers in a terminal "
            "of their own"
        )
    return "terminal" if sys.stdin.isatty() and sys.stdout.isatty() else "command"


async def _record(options: argparse.Namespace, inbox: "Inbox") -> int:
    from mcp_backend.people import decisions
    from mcp_backend.settings import workspace

    root = workspace(options.workspace).root
    path, new = decisions.record(root, await inbox.one(options.id))
    shown = str(path.relative_to(root))
    print(json.dumps({"path": shown, "new": new}) if options.json else f"{'wrote' if new else 'is already'} {shown}")
    return 0


def _confirm(digest: str) -> None:
    """Asks for the end of the digest, so that a yes is never one key. Raises when it does not come."""
    from mcp_backend.people.inbox import TAIL

    try:
        typed = input(f"Type the last {TAIL} characters of the digest to approve, anything else to leave it: ")
    except EOFError:
        typed = ""
    if typed.strip().casefold() != digest[-TAIL:]:
        raise FailedPrecondition("that is not the end of the digest: nothing was decided")


def _told(row: "Row") -> str:
    by = f"by {row['answered_by']} through the {row['channel']}"
    return f"{by}; the engineer repeats its call" if row["status"] == "approved" else f"{by}; the engineer is told"
