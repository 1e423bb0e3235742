"""`mcp-backend check`: what the engineer promises, whose a path is, and whether a diff keeps the promises."""

import argparse
import json
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from mcp_backend.cli import arguments

if TYPE_CHECKING:
    from mcp_backend.policy import Constraint

YOURS = "Judged as a change of the engineer's. The policy and the settings of hosts are yours: commit them yourself."
"""For the person who has just run `init` and `render`."""


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser(
        "check", help="judge what is not committed, or a diff; what is promised; whose a path is"
    )
    asked = command.add_mutually_exclusive_group()
    asked.add_argument("--promises", action="store_true", help="list the promises in force here")
    asked.add_argument("--why", nargs="+", metavar="PATH", help="say whose each path is, and by which rule")
    asked.add_argument("--staged", action="store_true", help="judge what is staged, as a pre-commit hook does")
    asked.add_argument("--diff", metavar="BASE", help="judge what HEAD changes since it left BASE, as CI does")
    command.add_argument("--format", choices=("plain", "sarif", "json"), default="plain", help="of what was judged")
    arguments.common(command)
    command.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    if options.promises:
        return _promises(options)
    return _why(options) if options.why else _judged(options)


def _judged(options: argparse.Namespace) -> int:
    from mcp_backend import busy, persona
    from mcp_backend.cli import findings
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import plain
    from mcp_backend.workspace import detect, diff_check

    place = workspace(options.workspace)
    settings = detect.fill(persona.in_force(options.workspace), place)
    if options.staged:
        what, judge = "is staged", diff_check.staged
    elif options.diff is not None:
        what, judge = f"changed since {options.diff}", partial(diff_check.branch, base=options.diff)
    else:
        what, judge = "is not committed", diff_check.uncommitted
    with busy.Busy(f"judging what {what}"):
        found = judge(place, settings)
    match "json" if options.json else options.format:
        case "sarif":
            print(findings.sarif(found, settings))
        case "json":
            print(findings.as_json(found))
        case _:
            for line in findings.plain(found):
                print(plain(line))
            if any(one.constraint == "guarded-settings" for one in found):
                print(YOURS, file=sys.stderr)
    return 1 if findings.violates(found) else 0


def _why(options: argparse.Namespace) -> int:
    from mcp_backend import persona
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import plain
    from mcp_backend.workspace import ownership

    place, here = workspace(options.workspace), options.workspace.resolve()
    settings = persona.in_force(here)
    asked = [os.path.normpath(here / path) for path in options.why]
    if options.json:
        found = ownership.owners(asked, place, settings)
        rows = [
            {"path": path, "owner": found[full].owner, "rule": found[full].rule}
            for path, full in zip(options.why, asked, strict=True)
        ]
        print(json.dumps({"workspace": str(place.root), "paths": rows}))
        return 0
    for line in ownership.why(asked, place, settings):
        print(plain(line.removeprefix(f"{place.root}/")))
    return 0


def _promises(options: argparse.Namespace) -> int:
    from mcp_backend import persona
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import table

    place = workspace(options.workspace)
    here = persona.in_force(options.workspace)
    if options.json:
        rows = [
            {
                "id": promise.id,
                "statement": promise.statement,
                "status": promise.status,
                "guard": promise.guard or None,
                "outcome": promise.outcome,
                "planned": promise.planned or None,
                "disabled_because": promise.disabled_because or None,
            }
            for promise in here.constraints
        ]
        print(json.dumps({"workspace": str(place.root), "promises": rows}))
        return 0
    print(
        table(
            ("CONSTRAINT", "STATUS", "GUARD", "STATEMENT"),
            [(p.id, p.status, p.guard or "-", p.statement + _more(p)) for p in here.constraints],
        )
    )
    return 0


def _more(promise: "Constraint") -> str:
    planned = f" [planned: {promise.planned}]" if promise.planned else ""
    return planned + (f" [loosened here: {promise.disabled_because}]" if promise.disabled_because else "")
