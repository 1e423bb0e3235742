"""Options that several commands have."""

import argparse
from pathlib import Path
from typing import Any, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # pyright: ignore[reportPrivateUsage]


def workspace(command: argparse.ArgumentParser, *, again: bool = False) -> None:
    """`--workspace`. `again`: the command above has it too, and what was given there is not replaced by a default."""
    here: Any = argparse.SUPPRESS if again else Path()
    command.add_argument("--workspace", type=Path, default=here, metavar="DIR", help="the repository (default: here)")


def common(command: argparse.ArgumentParser, *, again: bool = False) -> None:
    """`--workspace` and `--json`; `again` as there."""
    workspace(command, again=again)
    plain: Any = argparse.SUPPRESS if again else False
    command.add_argument("--json", action="store_true", default=plain, help="for programs")
