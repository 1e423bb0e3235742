"""How a person adds what is missing to this very installation. Standard library only."""

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

BESIDE_ALL = ("embedded-clickhouse",)
"""Extras that `all` does not hold."""


def command(extra: str) -> str:
    """The command line that installs an extra where this program runs.

    A tool of uv or pipx has an environment of its own, which the pip of a project never reaches; its extras are named
    anew, all of them. https://docs.astral.sh/uv/concepts/tools/
    """
    form = _form()
    if form.startswith(("uv tool", "pipx", "uvx")):
        return form.format(f"'mcp-backend[{f'all,{extra}' if extra in BESIDE_ALL else 'all'}]'")
    return form.format(f"'mcp-backend[{extra}]'")


def needs(what: str, extra: str) -> str:
    """A reason in words: what needs an extra, and the command that installs it."""
    return f'{what} needs the extra "{extra}": {command(extra)}'


def run_by_uvx() -> bool:
    """Whether this program runs from uv's cache, which may be emptied any time."""
    return "archive-v0" in Path(sys.prefix).parts


@cache
def _form() -> str:
    prefix = Path(sys.prefix)
    if run_by_uvx():
        return "uvx --from {} mcp-backend"
    if (prefix / "uv-receipt.toml").is_file():
        return "uv tool install {}"
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx install --force {}"
    if sys.prefix == sys.base_prefix:
        return "pip install {}"
    if find_spec("pip") is None:
        return f"uv pip install {{}} --python {quote(sys.executable)}"
    return f"{quote(sys.executable)} -m pip install {{}}"
