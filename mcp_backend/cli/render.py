"""`mcp-backend render HOST`: the host's files for this repository, printed, written, or compared."""

import argparse
import json
import sys

from mcp_backend.cli import arguments
from mcp_backend.errors import FailedPrecondition


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    from mcp_backend.hosts import HOSTS

    command = commands.add_parser("render", help="a host's settings, hook, agent and rules for this repository")
    command.add_argument("host", choices=tuple(HOSTS))
    what = command.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help="write the files; what people wrote in them stays")
    what.add_argument("--check", action="store_true", help="exit 1 when a file is not as it would be rendered")
    arguments.workspace(command)
    command.set_defaults(run=_render)


def _render(options: argparse.Namespace) -> int:
    from mcp_backend import persona
    from mcp_backend.cli import ready
    from mcp_backend.hosts import host, placing
    from mcp_backend.hosts.site import site
    from mcp_backend.people import seat
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import paint

    if options.write and (found := seat.agent()):
        raise FailedPrecondition(
            f"this is {found}: what a host may do is decided by a person. Ask them to run "
            f"`mcp-backend render {options.host} --write` in their own terminal"
        )
    place = workspace(options.workspace)
    settings = persona.in_force(place.root)
    here = site(place, settings)
    files = host(options.host).files(here)
    if not (options.write or options.check):
        for file in files:
            text = f"(an image of {len(file.content)} bytes)" if isinstance(file.content, bytes) else file.content
            if not isinstance(text, str):
                text = json.dumps(text, indent=2, ensure_ascii=False)
            print(f"{paint(f'# {file.path}', 'bold')}\n{text.rstrip()}\n")
        return 0
    bad = False
    for file in placing.placed(files, place.root):
        if options.write and file.stale and file.text is not None:
            placing.write(file, place.root)
            print(f"{paint('wrote', 'green')} {file.path}")
        elif file.stale:
            print(f"{paint('stale' if options.check else 'left', 'yellow')} {file.path}")
            bad = True
        for conflict in file.conflicts:
            print(f"{file.path}: {conflict}", file=sys.stderr)
            bad = True
    for file in files:
        if options.write and file.kind == "shown":
            print(f"\nadd yourself to {file.path}:\n{file.content}")
    if options.write:
        ready.at_a_terminal(place.root, ("--toolsets", ",".join(here.toolsets)))
    return 1 if bad else 0
