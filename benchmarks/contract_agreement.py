"""Our judgement of revisions beside that of buf, graphql-core and the rules oasdiff publishes: `python -m
benchmarks.contract_agreement`.

buf is looked for on the PATH (`pip install buf-bin`), the rules of oasdiff in the checkout that MCP_BACKEND_OASDIFF
names; what is not there is said and left out. Levels: oasdiff's ERR is our breaking, its WARN our risky.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from mcp_backend.contracts import revisions, sources, specs
from mcp_backend.contracts.openapi import rules
from mcp_backend.settings import Workspace

OASDIFF = "MCP_BACKEND_OASDIFF"
Edit = tuple[str, str, str]
PROTO = """\
syntax = "proto3";
package shop.v1;
option go_package = "example.com/shop/v1;shopv1";
import "google/protobuf/timestamp.proto";
enum State { reserved 9; STATE_UNSPECIFIED = 0; STATE_DRAFT = 1; STATE_LIVE = 2; }
message Item {
  reserved 20 to 29;
  reserved "legacy";
  int64 id = 1;
  string name = 2;
  State state = 3;
  repeated string tags = 4;
  optional int32 stock = 5;
  oneof price { string text = 6; int64 cents = 7; }
  map<string, int32> sizes = 8;
  google.protobuf.Timestamp made = 10;
  message Part { int32 number = 1; }
  Part part = 11;
}
message Query { int64 id = 1; }
service Items {
  rpc Get(Query) returns (Item);
  rpc Watch(Query) returns (stream Item);
  rpc Put(Item) returns (Item);
}
"""
PROTO_EDITS: list[Edit] = [
    ("a field is gone", "  string name = 2;\n", ""),
    ("a field is gone, its number reserved", "  string name = 2;\n", "  reserved 2;\n"),
    ("a field has another name", "string name = 2", "string title = 2"),
    ("a field has another number", "string name = 2", "string name = 12"),
    ("a wider integer", "optional int32 stock", "optional int64 stock"),
    ("an integer for an enum", "State state = 3", "int32 state = 3"),
    ("one for many", "repeated string tags", "string tags"),
    ("presence is gone", "optional int32 stock", "int32 stock"),
    ("out of a oneof", " int64 cents = 7; }", " }\n  int64 cents = 7;"),
    ("into a oneof", "  optional int32 stock = 5;\n  oneof price {", "  oneof price { int32 stock = 5;"),
    ("another value of a map", "map<string, int32>", "map<string, int64>"),
    ("a value is gone", " STATE_LIVE = 2;", ""),
    ("a value has another name", "STATE_LIVE", "STATE_SOLD"),
    ("an enum has another name", "State", "Condition"),
    ("a reserved number is free", "reserved 20 to 29;", "reserved 20 to 28;"),
    ("a reserved name is free", '  reserved "legacy";\n', ""),
    ("more is reserved", "reserved 20 to 29;", "reserved 20 to 40;"),
    ("an rpc is gone", "  rpc Put(Item) returns (Item);\n", ""),
    ("an rpc takes something else", "rpc Put(Item)", "rpc Put(Query)"),
    ("an rpc gives something else", "Get(Query) returns (Item)", "Get(Query) returns (Query)"),
    ("a stream is none any more", "stream Item", "Item"),
    ("a service has another name", "service Items", "service Things"),
    ("a nested message is gone", "  message Part { int32 number = 1; }\n  Part part = 11;\n", ""),
    ("another Go package", "shopv1", "shopv2"),
    ("a comment", "message Query", "// asks\nmessage Query"),
    ("a new field", "message Query { int64 id = 1; }", "message Query { int64 id = 1; string q = 2; }"),
    ("a new rpc", "service Items {", "service Items {\n  rpc Drop(Query) returns (Query);"),
]
SDL = """\
directive @cost(n: Int = 1) repeatable on FIELD_DEFINITION | OBJECT
scalar Time
interface Node { id: ID! }
enum State { NEW DONE }
union Hit = Job | Person
input JobIn { title: String! state: State = NEW tags: [String!] }
type Job implements Node { id: ID! title: String! tags: [String!]! done(at: Time, force: Boolean = false): Boolean! }
type Person implements Node { id: ID! name: String }
type Query { job(id: ID!): Job jobs(first: Int = 10, state: State): [Job!]! search(q: String!): [Hit!] node: Node }
"""
SDL_EDITS: list[Edit] = [
    ("a field is gone", "title: String! tags: [String!]! ", "tags: [String!]! "),
    ("an argument is required", "at: Time,", "at: Time!,"),
    ("a new required argument", "search(q: String!)", "search(q: String!, lang: String!)"),
    ("a new optional argument", "search(q: String!)", "search(q: String!, lang: String)"),
    ("an argument is gone", ", force: Boolean = false", ""),
    ("another default", "first: Int = 10", "first: Int = 20"),
    ("a value is gone", "NEW DONE", "NEW"),
    ("a new value", "NEW DONE", "NEW DONE OLD"),
    ("a union is smaller", "Job | Person", "Job"),
    ("an interface is gone", "type Person implements Node", "type Person"),
    ("a new required input field", "tags: [String!] }", "tags: [String!] due: Time! }"),
    ("a new optional input field", "tags: [String!] }", "tags: [String!] due: Time }"),
    ("another default of an input field", "state: State = NEW", "state: State = DONE"),
    ("weaker output", "tags: [String!]! done", "tags: [String] done"),
    ("stronger output", "name: String }", "name: String! }"),
    ("stronger input", "tags: [String!] }", "tags: [String!]! }"),
    ("a directive is gone", "directive @cost(n: Int = 1) repeatable on FIELD_DEFINITION | OBJECT\n", ""),
    ("a directive has fewer places", " | OBJECT", ""),
    ("a directive is not repeatable", " repeatable", ""),
    ("another kind", "union Hit = Job | Person", "interface Hit { id: ID! }"),
    ("a description", "type Query", '"all"\ntype Query'),
]
PREFIXES = ("request-property", "request-parameter", "response-property")
WORDS = (
    "type-changed", "type-generalized", "became-nullable", "became-not-nullable", "enum-value-removed",
    "enum-value-added", "became-enum", "pattern-added", "pattern-changed", "one-of-removed", "one-of-added",
    *(f"{word}-{end}" for word in rules.LIMIT_WORDS.values() for end in ("set", "unset", "increased", "decreased")),
    *(f"{word}-changed" for word in rules.OTHERS.values()),
)  # fmt: skip
NORMALISED = (
    (r"^(request|response)-(body|header)-", r"\1-property-"),
    (r"parameter-property|property-property(?!-names)", "property"),
    (r"request-header-property", "request-property"), (r"exclusive-", ""),
    (r"request-default-parameter-to-existing-path", "request-parameter"),
    (r"media-type-name-generalized", "media-type-removed"),
    (r"^request-(body|property)-unevaluated-properties-added", "request-property-additional-properties-forbidden"),
    (r"become-", "became-"),
    (r"list-of-types-(narrowed|widened)", "type-changed"), (r"type-specialized", "type-changed"),
    (r"any-of", "one-of"), (r"const-(added|changed)", "enum-value-removed"), (r"const-removed", "enum-value-added"),
    (r"pattern-property-", "pattern-properties-"), (r"dependent-schema-", "dependent-schemas-"),
    (r"property-(multiple-of|unique-items|not|if|then|else|prefix-items|contains|property-names|pattern-properties|"
     r"dependent-required|dependent-schemas|unevaluated-items|min-contains|max-contains|content-[a-z]+(?:-type)?)"
     r"(?!.*nullable)(-\w+)+$", r"property-\1-changed"),
    (r"^response-property-wrapped-in-one-of", "response-property-one-of-added"),
)  # fmt: skip
"""What oasdiff tells apart and we do not: the body as a whole from its properties, exclusive limits, `const`."""
WHY = (
    (r"sunset|deprecat|stability", "a policy of deprecation, read only where an operation is removed"),
    (r"x-extensible", "an extension of one company"),
    (r"path-parameter", "a path with one more parameter is another path: api-path-removed and endpoint-added"),
    (r"write-only", "a field that is received now breaks nobody"),
    (r"all-of", "allOf is worked out before comparing: what it changes is said by what it changes"),
    (r"unevaluated", "fields that come in addition are safe to receive"),
)


def main() -> None:
    """Prints the three tables."""
    with tempfile.TemporaryDirectory(prefix="agree-") as name:
        for line in (*_proto(Path(name)), *_graphql(Path(name)), *_openapi()):
            print(line)


def _proto(root: Path) -> Iterator[str]:
    buf = shutil.which("buf")
    yield f"protobuf beside buf FILE: {'no buf on the PATH (pip install buf-bin)' if buf is None else 'rule ids'}"
    if buf is None:
        return
    rows: list[tuple[str, set[str], set[str]]] = []
    for name, old, new in PROTO_EDITS:
        ours, folders = _ours(root, "shop/v1/shop.proto", PROTO, PROTO.replace(old, new), ("breaking",))
        config = '{"version":"v1","breaking":{"use":["FILE"]}}'
        command = [buf, "breaking", str(folders[1]), "--against", str(folders[0]), "--error-format", "json"]
        done = subprocess.run([*command, "--config", config], capture_output=True, text=True, check=False)
        theirs = {json.loads(line)["type"] for line in done.stdout.splitlines() if line.startswith("{")}
        rows.append((name, ours, theirs))
    yield from _rows(rows)


def _graphql(root: Path) -> Iterator[str]:
    from graphql import build_schema
    from graphql.utilities import find_breaking_changes, find_dangerous_changes

    yield "GraphQL beside graphql-core: breaking and dangerous"
    rows: list[tuple[str, set[str], set[str]]] = []
    for name, old, new in SDL_EDITS:
        ours, _ = _ours(root, "schema.graphql", SDL, SDL.replace(old, new), ("breaking", "risky"))
        pair = build_schema(SDL), build_schema(SDL.replace(old, new))
        rows.append(
            (name, ours, {c.type.name for c in (*find_breaking_changes(*pair), *find_dangerous_changes(*pair))})
        )
    yield from _rows(rows)


def _ours(root: Path, file: str, old: str, new: str, levels: Sequence[str]) -> tuple[set[str], tuple[Path, Path]]:
    found: list[tuple[sources.Source, specs.Spec]] = []
    folders = root / "old", root / "new"
    for folder, text in zip(folders, (old, new), strict=True):
        shutil.rmtree(folder, ignore_errors=True)
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(text)
        source = sources.work_tree(Workspace(folder, root, False))
        found.append((source, specs.find(source)[0]))
    (one, before), (two, after) = found
    changes = revisions.between(one, before, two, after, date(2026, 1, 1))
    return {c.id for c in changes if c.level in levels}, folders


def _rows(rows: Sequence[tuple[str, set[str], set[str]]]) -> Iterator[str]:
    same = sum(ours == theirs for _, ours, theirs in rows)
    yield f"  the same in {same} of {len(rows)}"
    for name, ours, theirs in rows:
        if ours != theirs:
            yield f"  {name} | ours {', '.join(sorted(ours)) or '-'} | theirs {', '.join(sorted(theirs)) or '-'}"


def _openapi() -> Iterator[str]:
    given = os.environ.get(OASDIFF)
    yield f"OpenAPI beside the rules of oasdiff: {'levels ERR and WARN' if given else f'{OASDIFF} names no checkout'}"
    if not given:
        return
    checker = Path(given) / "checker"
    texts = [path.read_text() for path in checker.glob("*.go") if not path.name.endswith("_test.go")]
    names = dict(pair for text in texts for pair in re.findall(r'(\w+Id)\s*=\s*"([a-z0-9-]+)"', text))
    levels = dict(
        re.findall(r"newBackwardCompatibilityRule\((\w+Id),\s*(ERR|WARN)", (checker / "rules.go").read_text())
    )
    own = _own()
    counts: Counter[tuple[str, str]] = Counter()
    missing: dict[str, list[str]] = {}
    for constant, level in levels.items():
        rule = names.get(constant, constant)
        if rule in own:
            counts[level, "by the same id"] += 1
        elif _normalised(rule) in own:
            counts[level, "by a wider id"] += 1
        else:
            counts[level, "not"] += 1
            why = next((why for pattern, why in WHY if re.search(pattern, rule)), "not looked at")
            missing.setdefault(why, []).append(rule)
    for level in ("ERR", "WARN"):
        told = ", ".join(f"{n} {how}" for (kind, how), n in sorted(counts.items()) if kind == level)
        yield f"  {level}: covered {told}"
    for why, some in sorted(missing.items(), key=lambda pair: -len(pair[1])):
        yield f"  not covered, {why} ({len(some)}): {', '.join(sorted(some))}"


def _normalised(rule: str) -> str:
    for pattern, new in NORMALISED:
        rule = re.sub(pattern, new, rule)
    return rule


def _own() -> set[str]:
    """Every id that the comparison can give: those written whole in its source, and those put together."""
    folder = Path(rules.__file__).parent
    texts = [(folder / name).read_text() for name in ("changes.py", "comparing.py", "rules.py")]
    whole = {word for text in texts for word in re.findall(r'"([a-z]+(?:-[a-z0-9]+)+)"', text)}
    made = {f"{prefix}-{word}" for prefix in PREFIXES for word in WORDS}
    removed = {
        f"api{path}-removed-{how}"
        for path in ("", "-path") for how in ("without-deprecation", "before-sunset", "with-deprecation")
    }  # fmt: skip
    told = {f"{kind}-response-header-removed" for kind in ("required", "optional")}
    told |= {f"request-property-became-required{end}" for end in ("", "-with-default")}
    told |= {f"{kind}-removed" for kind in ("webhook", "callback")}
    told |= {f"request-parameter-default-value-{word}" for word in ("changed", "removed")}
    told |= {f"new-required-request-property{end}" for end in ("", "-with-default")} | {"request-body-added-required"}
    return whole | made | removed | told


if __name__ == "__main__":
    main()
