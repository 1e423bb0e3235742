"""`mcp-backend doctor`: whether everything this server needs is in place here."""

import argparse

from mcp_backend.cli import arguments


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("doctor", help="check engines, tests, guards and store (exit 1 if anything is bad)")
    arguments.common(command)
    command.add_argument(
        "--harden", metavar="ENGINE", help="write the SQL of a role that can only read, and say whether it holds"
    )
    command.add_argument("--role", default="mcp_backend_reader", help="with --harden: its name (default: %(default)s)")
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> int:
    import json

    if options.harden:
        return _harden(options)
    from mcp_backend import busy
    from mcp_backend.cli import ready
    from mcp_backend.doctor.checks import examine
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import paint, plain

    place = workspace(options.workspace)
    findings = busy.run(examine(place, options.workspace), "looking at the repository")
    bad = [finding for finding in findings if finding.state == "bad"]
    if options.json:
        rows = [{"name": f.name, "state": f.state, "words": f.words, **f.facts} for f in findings]
        print(json.dumps({"ok": not bad, "findings": rows}))
        return int(bool(bad))
    marks = {"ok": paint("ok  ", "green"), "note": paint("note", "yellow"), "bad": paint("BAD ", "red", "bold")}
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{marks[finding.state]}  {finding.name.ljust(width)}  {plain(finding.words)}")
    if bad:
        print(paint(f"{len(bad)} to be mended", "red"))
    ready.at_a_terminal(place.root)
    return int(bool(bad))


def _harden(options: argparse.Namespace) -> int:
    """The script on standard output, what the catalog says on standard error; 0 when the role can only read."""
    import json
    import sys

    from mcp_backend import busy
    from mcp_backend.doctor.hardening import harden
    from mcp_backend.terminal import plain

    found = busy.run(harden(options.workspace, options.harden, options.role), f"asking {options.harden}")
    if options.json:
        print(json.dumps(found.as_json()))
        return int(not found.holds)
    print(found.sql)
    if found.holds:
        words = f"{found.role}: hardened, by the catalog"
    elif found.exists:
        words = f"{found.role}: {'; '.join(found.faults)}. Have an administrator run the script again"
    else:
        words = f"{found.role} is not there, or not to be seen. Have an administrator run the script, then ask again"
    print(plain(f"{words}\nthe URL of {found.engine} uses {found.used}"), file=sys.stderr)
    return int(not found.holds)
