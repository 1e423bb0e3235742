"""Documentation that is proved: links lead somewhere, tables are what the code says, every command has its place.

python docs/check.py           # what CI runs
python docs/check.py --write   # renews the generated tables
python docs/check.py --registry-schema FILE   # and holds server.json against the schema that it names
"""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp_backend import __version__, persona
from mcp_backend.cli import parser
from mcp_backend.guards import GUARDS
from mcp_backend.tools import TOOLS
from mcp_backend.workspace.code import rules

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PROOF = re.compile(r'proves\("([\w-]+)", "(refused|allowed)"\)')


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


def kept_table() -> str:
    """Every constraint of the persona with what a breach of it meets, who decides, and the tests that prove it."""
    proofs: dict[tuple[str, str], dict[str, None]] = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for promise, outcome in PROOF.findall(path.read_text("utf-8")):
            if path.name != "test_promises.py":
                proofs.setdefault((promise, outcome), {})[path.name] = None
    rows: list[str] = []
    for c in persona.load().constraints:
        meets = "is refused" if c.outcome == "deny" else "waits for a person"
        meets += f" on {' and '.join(c.environments)}" if c.environments else ""
        cells = [
            ", ".join(f"[{name[5:-3]}](../tests/{name})" for name in proofs.get((c.id, outcome), ()))
            for outcome in ("refused", "allowed")
        ]
        rows.append(f"| `{c.id}` | {meets} | {c.owner} | {cells[0]} | {cells[1]} |")
    head = ["| promise | a breach | whose it is | refused in | allowed in |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows])


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


def reference() -> str:
    """Every tool in full: what it is for, its hints, and each parameter with its type, limits and default."""
    parts: list[str] = []
    for tool in TOOLS:
        hints = {"reads only": tool.read_only, "destructive": tool.destructive, "idempotent": tool.idempotent,
                 "open world": tool.open_world}  # fmt: skip
        said = ", ".join(hint for hint, holds in hints.items() if holds)
        parts += [
            f"### `{tool.name}`",
            "",
            tool.description(),
            "",
            f"Toolset `{tool.toolset}`; {said or 'changes'}.",
            "",
        ]
        schema = tool.input_schema()
        required: list[str] = schema.get("required", [])
        rows = [
            f"| `{name}`{' (required)' if name in required else ''} | {_cell(_type(part))} "
            f"| {_cell(str(part.get('description', '')))} |"
            for name, part in schema["properties"].items()
        ]
        parts += ["| parameter | type | meaning |", "|---|---|---|", *rows, ""] if rows else []
    return "\n".join(parts).rstrip()


def _type(part: Mapping[str, Any]) -> str:
    """A JSON schema in one cell."""
    options = [_type(option) for option in part.get("anyOf", ())]
    kind = (
        " or ".join(options)
        or ", ".join(f"`{value}`" for value in part.get("enum", ()))
        or str(part.get("type", "any"))
    )
    if "items" in part:
        kind += f" of {_type(part['items'])}" if part["items"] else ""
    if "$ref" in part:
        kind = part["$ref"].rpartition("/")[2]
    names = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "minLength": "at least",
             "maxLength": "at most", "minItems": "at least", "maxItems": "at most"}  # fmt: skip
    limits = [f"{word} {part[key]:,}" for key, word in names.items() if key in part]
    default = f"; `{json.dumps(part['default'])}` by default" if part.get("default") is not None else ""
    return kind + (f" ({', '.join(limits)})" if limits else "") + default


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


GENERATED = {
    "tools": tools_table,
    "promises": promises_table,
    "kept": kept_table,
    "rules": rules_table,
    "reference": reference,
}


def documents() -> list[Path]:
    """Every Markdown file git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def anchors(text: str) -> set[str]:
    """What headings are linked by: lower case, blanks as hyphens, without punctuation."""
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def broken_links(document: Path) -> list[str]:
    """Relative links of the document that lead nowhere."""
    found: list[str] = []
    for target in LINK.findall(document.read_text("utf-8")):
        path = target.split("#")[0]
        if "://" in target or target.startswith("mailto:"):
            continue
        page = document.parent / path if path else document
        anchor = target.partition("#")[2]
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors(page.read_text("utf-8"))):
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


def registry(schema: Path | None) -> list[str]:
    """What server.json lacks of the registry's schema, a file that the `$schema` of server.json leads to."""
    if schema is None:
        return []
    import jsonschema_rs

    rules, entry = json.loads(schema.read_text("utf-8")), json.loads((ROOT / "server.json").read_text("utf-8"))
    errors = jsonschema_rs.validator_for(rules, validate_formats=True).iter_errors(entry)
    found = [f"server.json: {'/'.join(map(str, error.instance_path))}: {error.message}" for error in errors]
    if rules.get("$id") != entry["$schema"]:
        found.append(f"server.json: $schema is {entry['$schema']}, held against {rules.get('$id')}")
    return found


def main() -> int:
    """Prints each problem; the exit code is 1 when there is any."""
    options = argparse.ArgumentParser(description="Proves the documentation.")
    options.add_argument("--write", action="store_true", help="renew the generated tables")
    options.add_argument("--registry-schema", type=Path, metavar="FILE", help="the registry's server.schema.json")
    given = options.parse_args()
    write: bool = given.write
    problems = [*commands(), *changelog(), *registry(given.registry_schema)]
    for document in documents():
        problems += broken_links(document)
        problems += tables(document, write=write)
    print("\n".join(problems) or f"docs: {len(documents())} pages hold")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
