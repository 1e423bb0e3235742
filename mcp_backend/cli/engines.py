"""`mcp-backend engines`: the local engines of a workspace, for people and programs beside a server."""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_backend.cli import arguments
from mcp_backend.errors import FailedPrecondition, InvalidArgument, NotFound

if TYPE_CHECKING:
    from mcp_backend.settings import Workspace


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("engines", help="show, start and stop the local engines of a workspace")
    arguments.common(command)
    command.set_defaults(run=_status, show_url=False)
    actions = command.add_subparsers(metavar="ACTION")
    status = actions.add_parser("status", help="which local engines run, and who uses them (the default)")
    status.add_argument("--show-url", action="store_true", help="with the password in the URL")
    status.set_defaults(run=_status)
    start = actions.add_parser("start", help="start an engine and keep it running until `stop`; prints its URL")
    start.set_defaults(run=_start)
    stop = actions.add_parser("stop", help="stop an engine, unless servers still use it")
    stop.add_argument("--force", action="store_true", help="stop it under the servers that use it")
    stop.set_defaults(run=_stop)
    for action in (start, stop):
        action.add_argument("name", metavar="NAME", help="the engine's name in the policy, or its kind")
    for action in (status, start, stop):
        arguments.common(action, again=True)


def _status(options: argparse.Namespace) -> int:
    import asyncio
    import json
    import re

    place, engines = _local(options.workspace)[:2]
    rows = asyncio.run(_states(place, engines))
    for row in rows:
        if row["url"] and not options.show_url:
            row["url"] = re.sub(r":[^:@/]*@", "@", row["url"])
    if options.json:
        print(json.dumps(rows))
        return 0
    if not rows:
        print("no local engines; `mcp-backend engines start postgresql` starts one")
    for row in rows:
        if not row["running"]:
            print(f"{row['name']}: {row['kind']}, not running; data in {row['data_dir']}")
            continue
        pinned = ", pinned" if row["pinned"] else ""
        print(
            f"{row['name']}: {row['kind']} {row['version']} at {row['url']}, process {row['pid']}, "
            f"{row['leases']} {'lease' if row['leases'] == 1 else 'leases'}{pinned}; data in {row['data_dir']}"
        )
    return 0


def _start(options: argparse.Namespace) -> int:
    import json

    from mcp_backend import busy
    from mcp_backend.engines import embedded

    place, kind = _named(options.name, options.workspace)
    row = _row(options.name, kind, place, busy.run(embedded.pin(kind, place), f"starting {options.name}"))
    print(json.dumps(row) if options.json else row["url"])
    return 0


def _stop(options: argparse.Namespace) -> int:
    import json

    from mcp_backend import busy
    from mcp_backend.engines import embedded

    place, kind = _named(options.name, options.workspace)
    answer = busy.run(embedded.stop(kind, place, force=options.force), f"stopping {options.name}")
    stopped = answer is None or bool(answer["stopping"])
    if not stopped:
        assert answer is not None
        raise FailedPrecondition(
            f"{options.name}: not stopped: {answer['leases']} server(s) of this workspace use it. It stops when the "
            "last of them ends; --force stops it now"
        )
    if options.json:
        print(json.dumps({"name": options.name, "kind": kind, "stopped": True, "was_running": answer is not None}))
    else:
        print(f"{options.name}: {'was not running' if answer is None else 'stopped'}")
    return 0


def _local(start: Path) -> "tuple[Workspace, dict[str, str], Iterable[str]]":
    """The workspace; name and kind of each local engine: of the policy, and with data here; names of the others."""
    from mcp_backend.app import read_policy
    from mcp_backend.engines.embedded import KINDS
    from mcp_backend.settings import workspace

    place = workspace(start)
    policy = read_policy(place, start).engines
    local = {name: engine.kind for name, engine in policy.items() if engine.url.startswith("embedded:")}
    for kind in KINDS:
        kept = (place.state / "engines" / kind).is_dir()
        if kept and kind not in policy and kind not in local.values():
            local[kind] = kind
    return place, local, policy.keys() - local.keys()


def _named(name: str, start: Path) -> "tuple[Workspace, str]":
    """The workspace, and the kind of the local engine of that name; a kind is a name where the policy has none."""
    from mcp_backend.engines.embedded import KINDS

    place, local, others = _local(start)
    if name in others:
        raise InvalidArgument(f"{name}: its url in the policy is not embedded:…, so it is not ours to start or stop")
    if name not in local and name not in KINDS:
        raise NotFound(f"{name}: no such local engine; known: {', '.join(dict.fromkeys((*local, *KINDS)))}")
    return place, local.get(name, name)


async def _states(place: "Workspace", engines: dict[str, str]) -> list[dict[str, Any]]:
    from mcp_backend.engines import embedded

    return [_row(name, kind, place, await embedded.status(kind, place) or {}) for name, kind in engines.items()]


def _row(name: str, kind: str, place: "Workspace", answer: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "kind": kind,
        "running": bool(answer.get("running")),
        "url": answer.get("url"),
        "version": answer.get("version"),
        "pid": answer.get("pid"),
        "data_dir": str(place.state / "engines" / kind / "data"),
        "leases": answer.get("leases", 0),
        "pinned": bool(answer.get("pinned")),
    }
