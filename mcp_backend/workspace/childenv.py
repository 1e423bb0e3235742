"""The environment of a child process: the user's own, without what steers interpreters, loaders and test runners."""

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

_DROPPED = re.compile(
    r"GIT_(?!(AUTHOR|COMMITTER)_(NAME|EMAIL)$).*|LD_.*|DYLD_.*|PYTHON.*|PYTEST_.*|PY_COLORS|COV_.*|COVERAGE_.*"
    r"|HYPOTHESIS_.*|MCP_BACKEND_.*|GOFLAGS|GOEXPERIMENT|BASH_ENV|ENV|CDPATH|VIRTUAL_ENV.*|CONDA_.*|__PYVENV.*"
    r"|NODE_OPTIONS|PERL5OPT|PERL5LIB|RUBYOPT|RUBYLIB|JAVA_TOOL_OPTIONS|MAKEFLAGS|MFLAGS|INIT_CWD|npm_.*"
)
"""Whoever sets these decides what a test run loads: they come from the command in the policy, where a person wrote
them, or not at all."""


def clean_path(path: str, root: Path, *, keep_workspace: bool = False) -> str:
    """`PATH` without relative entries, without the environment this server runs in and, unless `keep_workspace`,
    without folders of the workspace: a program there would stand in for git."""
    own = Path(sys.prefix) / "bin" if sys.prefix != sys.base_prefix else None
    kept: list[str] = []
    for entry in path.split(os.pathsep):
        folder = Path(entry)
        if not folder.is_absolute() or (folder == own and not folder.is_relative_to(root)):
            continue
        if folder.resolve().is_relative_to(root) and not keep_workspace:
            continue
        kept.append(entry)
    return os.pathsep.join(kept) or os.defpath


def for_tests(root: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What the repository's own tests see: the environment of this server without what steers their tools."""
    kept = {k: v for k, v in environment.items() if not _DROPPED.fullmatch(k)}
    kept["PATH"] = clean_path(environment.get("PATH", os.defpath), root, keep_workspace=True)
    return kept | {"NO_COLOR": "1", "PY_COLORS": "0", "TERM": "dumb"}
