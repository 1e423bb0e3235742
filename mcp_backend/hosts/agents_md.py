"""AGENTS.md: plain Markdown that many hosts read (https://agents.md). Ours is only what stands between two markers."""

from mcp_backend.hosts.site import Rendered, Site


def files(site: Site) -> list[Rendered]:
    """The block."""
    return [block(site)]


def block(site: Site) -> Rendered:
    """The role and whose the folders are, one heading deeper than a file's own."""
    lines = [f"#{line}" if line.startswith("#") else line for line in site.role().splitlines()]
    guarded = "\n".join(f"- `{glob}`" for glob in (*site.frontend, *site.spec))
    folders = f"\n\n### Not the backend's\n\n{guarded}\n" if guarded else "\n"
    return Rendered("AGENTS.md", "block", "## Backend Engineer\n\n" + "\n".join(lines).strip() + folders)
