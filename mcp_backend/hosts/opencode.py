"""opencode. Plugins: https://opencode.ai/docs/plugins. Settings: https://opencode.ai/docs/config

Its hooks are functions of a plugin; ours hands the call to `mcp-backend hook opencode` and throws what that refuses.
"""

import json
import posixpath
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mcp_backend.hosts.intents import Intent, arguments, patched, shell, text, written

if TYPE_CHECKING:
    from mcp_backend.hosts.site import Rendered, Site


_WRITES = frozenset(("write", "edit", "multiedit"))
_PATCH = frozenset(("patch", "apply_patch"))


def intent(event: Mapping[str, Any], environment: Mapping[str, str]) -> Intent | None:
    """What the tool is about to do; `None` for tools that change no file."""
    del environment
    tool, cwd, root = text(event, "tool"), text(event, "cwd"), text(event, "root")
    if tool == "bash":
        given = arguments(event, "args")
        return Intent(tool, posixpath.join(cwd, text(given, "workdir")), root, command=shell(given))
    if tool in _WRITES:
        return Intent(tool, cwd, root, written(arguments(event, "args")))
    if tool in _PATCH:
        given = arguments(event, "args")
        return Intent(tool, cwd, root, patched(text(given, "patchText") or text(given, "patch")))
    return None


def denied(reason: str, event: Mapping[str, Any]) -> str:
    """The answer that refuses, for the plugin."""
    del event
    return json.dumps({"deny": reason})


PLUGIN = """// mcp-backend render
// Hands every call of a tool that writes to the hook of the backend engineer, before it runs. What cannot be judged is
// refused.
import { spawn } from "node:child_process";

const HOOK = %(hook)s;
const TOOLS = new Set(["bash", "write", "edit", "multiedit", "patch", "apply_patch"]);

const judged = (event) =>
  new Promise((resolve, reject) => {
    const child = spawn(HOOK, { shell: true, stdio: ["pipe", "pipe", "pipe"], timeout: 30000 });
    let said = "";
    let why = "";
    child.stdout.on("data", (chunk) => (said += chunk));
    child.stderr.on("data", (chunk) => (why += chunk));
    child.on("error", reject);
    child.stdin.on("error", () => {});
    child.on("close", (code) => (code === 0 ? resolve(said.trim()) : reject(new Error(why.trim() || HOOK))));
    child.stdin.end(JSON.stringify(event));
  });

export const BackendEngineer = async ({ directory, worktree }) => ({
  "tool.execute.before": async (input, output) => {
    if (!TOOLS.has(input.tool)) return;
    // Outside a git repository opencode calls the root of the file system the work tree.
    const root = worktree && worktree !== "/" ? worktree : directory;
    const said = await judged({ tool: input.tool, args: output.args, cwd: directory, root });
    if (said) throw new Error(JSON.parse(said).deny);
  },
});
"""


def files(site: "Site") -> "list[Rendered]":
    """The server, the plugin that refuses, and the agent."""
    from mcp_backend.hosts.site import MARK, Rendered

    server = site.server()
    command = [server["command"], *server["args"]]
    settings = {
        "$schema": "https://opencode.ai/config.json",
        "mcp": {"backend": {"type": "local", "command": command, "enabled": True}},
    }
    head = f"---\ndescription: {json.dumps(site.persona.role.description)}\nmode: all\n---\n\n"
    return [
        Rendered("opencode.json", "json", settings),
        Rendered(".opencode/plugin/mcp-backend.js", "whole", PLUGIN % {"hook": json.dumps(site.hook("opencode"))}),
        Rendered(".opencode/agent/backend-engineer.md", "whole", f"{head}{site.role().rstrip()}\n\n<!-- {MARK} -->\n"),
    ]
