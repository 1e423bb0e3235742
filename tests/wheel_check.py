"""Builds the wheel, installs it with its core dependencies in an empty environment, and starts it there.

Run by `make check`. Proves that the wheel carries the persona, that the core alone is enough to answer, and that
the entry point works outside the source tree.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("mcp_backend/_persona/role.md", "mcp_backend/_persona/constraints.toml", "mcp_backend/store/schema.sql")


def run(*command: str, cwd: Path) -> None:
    """Runs a command; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=cwd, check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def install(folder: Path) -> Path:
    """The interpreter of a new environment that holds only the wheel and its core dependencies."""
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder / "dist"), str(ROOT), cwd=folder)
    wheel = next((folder / "dist").glob("*.whl"))
    missing = set(NEEDED) - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}")
    python = folder / "env/bin/python"
    if uv := shutil.which("uv"):
        run(uv, "venv", "--quiet", "--python", sys.executable, str(folder / "env"), cwd=folder)
        run(uv, "pip", "install", "--quiet", "--python", str(python), str(wheel), cwd=folder)
    else:
        run(sys.executable, "-m", "venv", str(folder / "env"), cwd=folder)
        run(str(python), "-m", "pip", "install", "--quiet", str(wheel), cwd=folder)
    return python


def talk(folder: Path, python: Path) -> list[str]:
    """The names of the tools the installed server lists over stdio."""
    workspace = folder / "empty workspace"
    workspace.mkdir()
    server = subprocess.Popen(
        [str(python.parent / "mcp-backend"), "serve"],
        cwd=workspace,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "MCP_BACKEND_STATE": str(folder / "state")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "wheel-check", "version": "1"},
    }
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
        {"jsonrpc": "2.0", "id": 3, "method": "prompts/get"}
        | {"params": {"name": "backend_engineer", "arguments": {"task": "check the wheel"}}},
    ]
    answers: dict[int, dict[str, object]] = {}
    for message in asked:
        server.stdin.write(json.dumps(message) + "\n")
        server.stdin.flush()
        if "id" in message:
            answer = json.loads(server.stdout.readline())
            answers[answer["id"]] = answer
    server.stdin.close()
    if server.wait(20) != 0:
        sys.exit(f"the server ended with {server.returncode}")
    if "check the wheel" not in json.dumps(answers[3]):
        sys.exit(f"the persona was not served: {answers[3]}")
    listed: dict[str, list[dict[str, str]]] = answers[2]["result"]  # type: ignore[assignment]
    return [tool["name"] for tool in listed["tools"]]


def main() -> None:
    """Prints one line, or ends with what went wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tools = talk(folder, install(folder))
    print(f"wheel: installs alone and lists {len(tools)} tools")


if __name__ == "__main__":
    main()
