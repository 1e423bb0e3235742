"""What is known about a write before it is done: whose the path is, with this content in it, and credentials in it.

Standard library only: the judge of a host's own write tool asks the same.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from mcp_backend.facts import Facts, Ownership
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import differences, listing, manifests, ownership, secrets_scan
from mcp_backend.workspace.canonical import canonical
from mcp_backend.workspace.roots import Roots, build

_MANIFESTS = re.compile(
    r"(.*/)?(package\.json|pubspec\.yaml|tauri\.conf\.json|androidmanifest\.xml|project\.pbxproj|angular\.json"
    r"|(vite|next|nuxt|svelte|astro|vue|rsbuild|quasar|remix|react-router)\.config\.\w+|gatsby-config\.\w+)"
)
_BROWSER_CODE = re.compile(
    r"(?m)^\s*(?:import\b[^'\"\n]*|export\b[^'\"\n]*\bfrom\s*|.*\brequire\(\s*)['\"](?:react|react-dom|preact|vue|svelte|solid-js|lit"
    r"|@angular/core|alpinejs|jquery|htmx\.org)(?:/[\w./-]*)?['\"]|^\s*<!doctype html"
)
_EMBEDS = re.compile(r"(?m)^//go:embed\s")


def facts(path: str, before: bytes | None, after: bytes, workspace: Workspace, policy: Policy) -> Facts:
    """The facts for a `WriteFile` of a path relative to the workspace. Reads the repository, changes nothing."""
    owner = _owner(path, before, after, workspace, policy)
    secrets = secrets_scan.scan(path, after, differences.added(before, after))
    if secrets and workspace.repository and listing.ignored(workspace.root, path):
        secrets = []  # What git ignores, such as `.env`, is where credentials belong.
    return Facts(owners=MappingProxyType({path: owner}), secrets=tuple(secrets))


def _owner(path: str, before: bytes | None, after: bytes, workspace: Workspace, policy: Policy) -> Ownership:
    found = ownership.owners([path], workspace, policy)[path]
    if found.owner in ("frontend", "spec", "policy", "git"):
        return found
    text = after.decode("utf-8", "replace")
    if _MANIFESTS.fullmatch(canonical(path)):
        return _by_manifest(path, before, text, found, workspace, policy)
    if found.owner == "grey_embed" and before is None and not (path.endswith(".go") and _EMBEDS.search(text)):
        return Ownership("frontend", f"{found.rule}, and new there")
    if found.owner == "grey_js" and (code := _BROWSER_CODE.search(text)):
        return Ownership("frontend", f"R8: browser code ({code[0].strip()[:60]})")
    return found


def _by_manifest(
    path: str, before: bytes | None, text: str, found: Ownership, workspace: Workspace, policy: Policy
) -> Ownership:
    """The owner once this manifest says so: an agent neither founds a frontend nor turns a folder into one."""
    written: Mapping[str, str] = {path: text}
    files = sorted({*listing.files(workspace), path})
    roots: Roots = build(files, lambda name: written.get(name) or listing.text(workspace.root, name), policy)
    later = ownership.classify(path, roots)
    if later.owner == "frontend":
        return replace(later, rule=f"{later.rule}, as this write would make it")
    had = manifests.dependencies((before or b"").decode("utf-8", "replace")) or frozenset[str]()
    added = (manifests.dependencies(text) or frozenset[str]()) - had
    strong = sorted(added & manifests.STRONG)
    if strong and later.owner == "grey_js":
        return Ownership("frontend", f"R11: adds {', '.join(strong[:3])} to the JavaScript package")
    return found
