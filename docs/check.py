"""Documentation that is proved: links lead somewhere, tables are what the code says, every command has its place.

python docs/check.py           # what CI runs
python docs/check.py --write   # renews the generated tables
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from mcp_backend import __version__, persona
from mcp_backend.cli import parser
from mcp_backend.guards import GUARDS
from mcp_backend.tools import TOOLS
from mcp_backend.workspace.code import rules

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def tools_table() -> str:
    """Every tool with the sentence it is chosen by."""
    rows = [f"| `{tool.name}` | {tool.toolset} | {tool.description().splitlines()[0]} |" for tool in TOOLS]
    return "\n".join(["| tool | toolset | what it does |", "|---|---|---|", *rows])


def promises_table() -> str:
    """Every constraint of the persona with what keeps it."""
    rows = [
        f"| {c.statement} | {f'`{c.guard}`' if c.guard in GUARDS else 'not yet kept'}{_planned(c.planned)} |"
        for c in persona.load().constraints
    ]
    return "\n".join(["| promise | kept by |", "|---|---|", *rows])


def _planned(text: str) -> str:
    return f". {text}" if text else ""


def rules_table() -> str:
    """Every rule about changed code with what it does and what to write instead."""
    rows = [
        f"| `{rule.id}` | {rule.constraint} | {'refuses' if rule.sure else 'warns'} "
        f"| {_cell(rule.problem)} | {_cell(rule.instead)} |"
        for rule in rules.every()
    ]
    head = ["| rule | promise | a commit | what is wrong | instead |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


GENERATED = {"tools": tools_table, "promises": promises_table, "rules": rules_table}


def documents() -> list[Path]:
    """Every Markdown file git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def broken_links(document: Path) -> list[str]:
    """Relative links of the document that lead nowhere."""
    found: list[str] = []
    for target in LINK.findall(document.read_text("utf-8")):
        path = target.split("#")[0]
        if path and "://" not in target and not target.startswith("mailto:") and not (document.parent / path).exists():
            found.append(f"{document.relative_to(ROOT)}: {target} leads nowhere")
    return found


def tables(document: Path, *, write: bool) -> list[str]:
    """Generated tables of the document that are not what the code says; written anew when asked."""
    text = document.read_text("utf-8")
    stale: list[str] = []
    for name, table in GENERATED.items():
        block = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not block.search(text):
            continue
        before, after = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        renewed = block.sub(lambda _, made=f"{before}{table()}\n{after}": made, text)  # noqa: B008
        if renewed != text:
            stale.append(f"{document.relative_to(ROOT)}: table {name} is stale (python docs/check.py --write)")
            text = renewed
    if write and stale:
        document.write_text(text, "utf-8")
        return []
    return stale


def commands() -> list[str]:
    """Commands of the program that no page mentions."""
    pages = "\n".join(path.read_text("utf-8") for path in documents())
    top = next(action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))  # pyright: ignore
    names = [str(name) for name in top.choices]  # pyright: ignore
    return [f"no page mentions `mcp-backend {name}`" for name in names if f"mcp-backend {name}" not in pages]


def changelog() -> list[str]:
    """The version has an entry."""
    known = (ROOT / "CHANGELOG.md").read_text("utf-8")
    return [] if f"## {__version__}" in known else [f"CHANGELOG.md has no entry for {__version__}"]


def main() -> int:
    """Prints each problem; the exit code is 1 when there is any."""
    write = "--write" in sys.argv[1:]
    problems = [*commands(), *changelog()]
    for document in documents():
        problems += broken_links(document)
        problems += tables(document, write=write)
    print("\n".join(problems) or f"docs: {len(documents())} pages hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
