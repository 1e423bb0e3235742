"""`mcp-backend init`: looks at a repository, writes `mcp-backend.toml` for review, and says what holds from now on."""

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_backend.actions import listed
from mcp_backend.cli import arguments
from mcp_backend.errors import FailedPrecondition

if TYPE_CHECKING:
    from mcp_backend.policy import Policy
    from mcp_backend.workspace.detect import Findings
    from mcp_backend.workspace.overview import Overview

SHOWN = 5


def add(commands: arguments.Commands) -> None:
    """Adds the command to the command line."""
    command = commands.add_parser("init", help="look at a repository and write mcp-backend.toml for review")
    arguments.workspace(command)
    command.add_argument("--force", action="store_true", help="replace a mcp-backend.toml that is there")
    command.add_argument("--print", action="store_true", dest="only_print", help="print the file, write nothing")
    command.set_defaults(run=_init)


def _init(options: argparse.Namespace) -> int:
    from mcp_backend import busy, persona, policy
    from mcp_backend.cli import draft, ready
    from mcp_backend.hosts import connecting
    from mcp_backend.settings import workspace
    from mcp_backend.terminal import paint, plain
    from mcp_backend.workspace import detect
    from mcp_backend.workspace.overview import overview

    place = workspace(options.workspace)
    target = place.root / policy.POLICY_FILE
    if target.exists() and not (options.force or options.only_print):
        raise FailedPrecondition(
            f"{target} is there already and stays as it is; `mcp-backend init --print` shows what would be written, "
            "--force replaces it"
        )
    with busy.Busy(f"looking at the files of {place.root}") as line:
        found = detect.look(place)
        line.words(f"asking whose each of {found.files} files is")
        seen = overview(place, policy.Policy())
    text = draft.toml(found, seen)
    if options.only_print:
        sys.stdout.write(text)
        return 0
    _write(target, text, replace=options.force)
    effective = detect.fill(policy.load(target, persona.load().constraints), place)
    print(f"{paint('wrote', 'green')} {target} (looked at {found.files} files)")
    print("Read it: people edit it, the engineer cannot.")
    for title, lines in (
        ("Found", _found(found)),
        ("Guarded", _guarded(seen, effective)),
        ("Not guarded", _not_guarded(seen, effective)),
        ("Connect", connecting.lines(place.root, connecting.variables(effective))),
    ):
        print(f"\n{paint(title, 'bold')}")
        for line in lines:
            print(plain(line))
    ready.at_a_terminal(place.root)
    print(f"\nNext: {paint('mcp-backend doctor', 'cyan')} checks that everything is in place.")
    return 0


def _write(target: Path, text: str, *, replace: bool) -> None:
    """Puts the file there whole or not at all. Raises `FailedPrecondition` when it came into being meanwhile, or the
    folder cannot be written."""
    descriptor, name = -1, ""
    try:
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o666 & ~_umask())
        if replace:
            os.replace(name, target)
        else:
            os.link(name, target)
            os.unlink(name)
    except FileExistsError as error:
        os.unlink(name)
        raise FailedPrecondition(f"{target} came into being meanwhile and stays as it is") from error
    except OSError as error:
        if name:
            Path(name).unlink(missing_ok=True)
        raise FailedPrecondition(f"cannot write {target}: {error.strerror}") from error


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _found(found: "Findings") -> list[str]:
    from mcp_backend.migrations.forms import APPLIED
    from mcp_backend.workspace import migration_folders

    taken = [f"{'those of manage.py' if f == '.' else f} to {kind}" for kind, f in found.applied.items()]
    if taken:
        applied = f"run_migration applies {', '.join(taken)}"
    elif any(m.tool in APPLIED for m in found.migrations):
        applied = "run_migration applies none of them until [engines.…] migrations names one"
    else:
        applied = "run_migration applies none of them: their form is not one that it knows" if found.migrations else ""
    return [
        f"  uses        {listed([u.kind for u in found.uses], SHOWN) or 'no engine that shows'}",
        f"  frameworks  {listed(found.frameworks, SHOWN) or 'none that is known here'}",
        f"  migrations  {listed(migration_folders.told(found.migrations), SHOWN) or 'none'}",
        *([f"              {applied}"] if applied else []),
        f"  tests       {found.test or 'none: name the command in [commands], commits of backend code need it'}",
    ]


def _guarded(seen: "Overview", policy: "Policy") -> list[str]:
    anywhere = f"UI source anywhere ({seen.elsewhere} such files now)" if seen.elsewhere else "UI source anywhere"
    frontend = listed([*(f"{root.folder}/" for root in seen.frontends), anywhere], SHOWN)
    specs = listed(seen.specs, SHOWN) or "specification files, none now"
    production = listed([name for name, e in policy.engines.items() if e.environment != "development"], SHOWN)
    waiting = f"{production}: wait for a person" if production else "all engines are for development: need no approval"
    return [
        f"  frontend    {frontend}: commits of these are refused",
        f"  contracts   {specs}: the architect's, commits are refused",
        f"  settings    {len(seen.protected)} files now: policy, host settings, agent instructions, CI, hooks, .git",
        "  commits     only a tree on which the tests passed, with a test beside changed behaviour, no credentials",
        "  reads       a query cannot change data, schema, session or files",
        f"  changes     {waiting}",
    ]


def _not_guarded(seen: "Overview", policy: "Policy") -> list[str]:
    open_promises = [c.id for c in policy.constraints if not c.guard]
    return [
        "  your host's own tools, its editor and its terminal, until `mcp-backend render HOST --write` guards them",
        f"  {seen.grey} templates, scripts and pictures that either side may own: allowed with a warning",
        *([f"  promises no guard keeps yet: {', '.join(open_promises)}"] if open_promises else []),
    ]
