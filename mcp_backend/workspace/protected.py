"""Files that decide what an agent, a host or a build machine may do: a person edits them.

An agent that can write its own rules has none. So besides the policy itself: settings and instructions of AI hosts
(they grant permissions, start MCP servers, run hooks, and steer every later session: CVE-2025-54135, CVE-2025-53773),
CI definitions (they run with the repository's secrets), files from which git or an editor runs programs, and the list
of code owners. Guard `protected_files` refuses them; a policy loosens that only by `guarded-settings` with a reason,
never by a path pattern.
"""

from mcp_backend.expressions import Expression
from mcp_backend.workspace.canonical import words

_HOSTS = words(
    ".claude .claude-plugin .cursor .codex .gemini .vscode .idea .windsurf .continue .roo .kiro .zed .amazonq "
    ".augment .opencode .junie .qwen .copilot .agents .aider .clinerules .devcontainer .trae"
)
_HOST_FILES = words(
    ".mcp.json mcp.json .mcpb.json .claude.json .cursorrules .cursorignore .windsurfrules .clinerules .roomodes "
    ".aider.conf.yml .goosehints opencode.json opencode.jsonc .claudeignore .geminiignore .codexignore "
    ".devcontainer.json copilot-instructions.md"
)
_INSTRUCTIONS = words("agents.md agent.md claude.md claude.local.md gemini.md qwen.md agents.override.md")
_CI = words(
    ".ci .circleci .gitlab .buildkite .woodpecker .semaphore .tekton .teamcity .azure-pipelines .harness .builds "
    ".gitlab-ci"
)
_CI_FILES = Expression(
    r"jenkinsfile([.-].*)?|\.gitlab-ci([.-].*)?\.ya?ml|\.travis\.yml|\.?appveyor\.yml|azure-pipelines([.-].*)?\.ya?ml"
    r"|bitbucket-pipelines\.yml|\.drone\.(ya?ml|star|jsonnet)|\.woodpecker\.ya?ml|\.cirrus\.(ya?ml|star)|\.build\.yml"
    r"|cloudbuild\.ya?ml|buildspec\.ya?ml|\.earthly\.yml"
)
_FORGES = words(".github .forgejo .gitea")
_FORGE_PARTS = words("workflows actions hooks instructions prompts agents chatmodes skills copilot-instructions.md")
_HOOKS = words(".husky .githooks .git-hooks .lefthook")
_HOOK_FILES = Expression(r"\.pre-commit-config\.ya?ml|\.?lefthook(-local)?\.(ya?ml|toml|json)|\.overcommit\.yml")
_GIT_FILES = frozenset((".gitmodules", ".gitattributes", ".lfsconfig"))
_PERSONA = words("role.md constraints.toml escalations.toml instructions.md")
_TEST_DATA = frozenset(("testdata", "fixtures", "__fixtures__"))
"""Hosts, forges and hooks do not look into test data; git does."""
_GUARD = Expression(r"\.[\w-]*guard(rail)?s?\.(toml|ya?ml|json)|\.?mcp-backend\.(toml|ya?ml|json)")
_GIT = Expression(r"\.git|git~\d+")


def git_internal(parts: list[str]) -> bool:
    """Whether a canonical path lies in a `.git`, under any of the names a file system takes for it."""
    return any(_GIT.fullmatch(part.partition(":")[0].rstrip(". ")) for part in parts)


def protected(parts: list[str]) -> str | None:
    """What a protected file is, in words for people; `None` for every other path. `parts` are canonical."""
    name, folders = parts[-1], parts[:-1]
    if _GUARD.fullmatch(name):
        return "the policy of this server or of another guard"
    if name in _GIT_FILES:
        return "git reads it to run filters, drivers or other repositories"
    if any(folder in _TEST_DATA for folder in folders):
        return None
    host = name if name in _HOST_FILES else next((part for part in parts if part in _HOSTS), None)
    if host is not None:
        return f"settings of an AI host or editor ({host})"
    if name in _INSTRUCTIONS:
        return "instructions that steer agents"
    if _CI_FILES.fullmatch(name) or parts[0] in _CI:
        return "a CI definition"
    if parts[0] in _FORGES and len(parts) > 1 and parts[1] in _FORGE_PARTS:
        return "a CI definition" if parts[1] in ("workflows", "actions") else "instructions or hooks for agents"
    if name in _PERSONA and folders[-1:] == ["persona"]:
        return "the persona of a guarded agent"
    if _HOOK_FILES.fullmatch(name) or any(folder in _HOOKS for folder in folders):
        return "hooks that git runs"
    if name == "codeowners":
        return "who must review what"
    return None
