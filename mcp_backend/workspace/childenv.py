"""The environment of a child process: the user's own, without what steers interpreters, loaders and test runners."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from mcp_backend.workspace import environments

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
    own = os.path.join(sys.prefix, "bin") if sys.prefix != sys.base_prefix else None
    below = os.path.join(root, "")
    kept: list[str] = []
    for entry in path.split(os.pathsep):
        folder = os.path.join(os.path.normpath(entry), "") if entry else ""
        if not folder.startswith("/") or (folder[:-1] == own and not folder.startswith(below)):
            continue
        if not keep_workspace and os.path.join(os.path.realpath(entry), "").startswith(below):
            continue
        kept.append(entry)
    return os.pathsep.join(kept) or os.defpath


def for_tests(root: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """What the repository's own tests see: the environment of this server without what steers their tools."""
    kept = {k: v for k, v in environment.items() if not _DROPPED.fullmatch(k)}
    kept["PATH"] = clean_path(environment.get("PATH", os.defpath), root, keep_workspace=True)
    return kept | {"NO_COLOR": "1", "PY_COLORS": "0", "TERM": "dumb"}


_USUAL = re.compile(
    r"HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|GOROOT|GOPATH|GOMODCACHE|GOTOOLCHAIN|JAVA_HOME|CARGO_HOME|RUSTUP_HOME"
    r"|PYENV_ROOT|PYENV_VERSION|NVM_DIR|NODE_ENV|SSL_CERT_FILE|SSL_CERT_DIR|NIX_PATH|XDG_DATA_DIRS|SOURCE_DATE_EPOCH|CI"
)
"""What a shell line sees of this server's environment: where things lie and how people write, never a credential."""


def for_commands(root: Path, environment: Mapping[str, str], named: Iterable[str]) -> dict[str, str]:
    """What a shell line of the agent sees: an allow-list and the variables `named` by the policy; the programs of the
    project's own `.venv` come first."""
    wanted = set(named)
    kept = {k: v for k, v in environment.items() if _USUAL.fullmatch(k) or k in wanted}
    kept["PATH"] = clean_path(environment.get("PATH", os.defpath), root, keep_workspace=True)
    venv = next(environments.near(root, root), None)
    if venv is not None:
        kept["VIRTUAL_ENV"] = str(venv)
        kept["PATH"] = os.pathsep.join((str(venv / "bin"), kept["PATH"]))
    # No pager and no editor waits for somebody at a terminal that is not there.
    quiet = {"NO_COLOR": "1", "TERM": "dumb", "PAGER": "cat", "GIT_PAGER": "cat", "GIT_EDITOR": "false",
             "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "DEBIAN_FRONTEND": "noninteractive"}  # fmt: skip
    return kept | {k: v for k, v in quiet.items() if k not in wanted}
