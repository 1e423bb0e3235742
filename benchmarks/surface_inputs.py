"""What `benchmarks.surface_fuzz` sends: arguments by a tool's own input schema, and lines of no protocol.

Arguments are sometimes right, sometimes right but for one field, sometimes of no shape at all; where a field is known
by name, half of its values mean something in the workspace that is fuzzed, so that calls get past the first check.
"""

import json
import random
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Schema: TypeAlias = Mapping[str, Any]
ANY_TEXT = st.text(st.characters(codec=None), max_size=60)
"""Lone surrogates, control characters and NUL are texts, too."""
KEYS = st.sampled_from(["id", "name", "type", "kind", "$ref", "__proto__", "reason", "config", ""]) | st.text(
    max_size=8
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
PATHS = (
    "orders/app.py",
    "orders",
    "api/openapi.yaml",
    "tests/test_app.py",
    "web/src/App.tsx",
    "db/migrations",
    ".",
    "",
    "../outside",
    "/etc/passwd",
    ".git/config",
    "mcp-backend.toml",
    "orders/\u0000.py",
    "a" * 300,
    "link",
)
KNOWN: Mapping[str, tuple[Any, ...]] = {
    "path": PATHS,
    "cwd": PATHS,
    "paths": (["orders"], ["orders/app.py", "web"], ["nowhere"]),
    "file": PATHS,
    "engine": ("main", "broker", "nowhere", "postgresql"),
    "table": ("orders", "public.orders", 'o"r', "lines"),
    "sql": (
        "select 1",
        "select * from orders",
        "insert into orders values (1)",
        "select 1; select 2",
        "explain select 1",
        "select $1::int",
        "select pg_sleep(9)",
        "with x as (delete from orders returning *) select * from x",
        "--",
        "alter table orders add column n int",
        "select '\u0000'",
    ),
    "search": ("orders", "id"),
    "version": ("20260101000000", "1"),
    "base": ("HEAD", "main", "HEAD~1", "nobranch", "-x"),
    "name": ("total", "work", "main", "../x"),
    "onto": ("main", "HEAD", "-i"),
    "destination": ("orders.created", "bench.x", ">", ""),
    "command": ("true", "echo hi", "cat /etc/passwd", "ls web", "echo x > web/src/App.tsx", "exit 3", "(", "sleep 9 &"),
    "query": ("def", "total", "(", "[a-z]+\\("),
    "glob": ("*.py", "**", "["),
    "target": ("http://127.0.0.1:9", "orders", "::"),
    "url": ("http://127.0.0.1:9", "file:///etc/passwd"),
    "operation": ("listOrders", "GET /orders"),
    "id": ("ESC-00000000",),
    "implementation": ("auto", "orders.app:app", "os:system"),
    "after": ("0", "x", "orders"),
    "selection": ("tests", "-x", ["tests"]),
    "content": ("x = 1\n", "key = 'AKIAIOSFODNN7EXAMPLE'\n"),
    "message": ("Work", "\n"),
    "from": ("oldest", "new", "2026-01-01T00:00:00Z"),
}
BOUNDED = {"wait_seconds": 0.02, "timeout_seconds": 3.0, "statement_timeout_seconds": 3.0}
"""What a caller may wait for is cut down: 100,000 calls must end."""
METHODS = (
    "ping",
    "tools/list",
    "tools/call",
    "prompts/get",
    "prompts/list",
    "resources/read",
    "resources/list",
    "resources/subscribe",
    "completion/complete",
    "logging/setLevel",
    "tasks/get",
    "sampling/createMessage",
    "roots/list",
    "server/discover",
    "notifications/initialized",
    "notifications/roots/list_changed",
    "",
    "x" * 500,
)
URIS = (
    "persona://backend-engineer",
    "policy://effective",
    "schema://main",
    "schema://main/orders",
    "schema://x/%00",
    "migrations://main",
    "topology://broker",
    "contract://api/openapi.yaml",
    "receipt://0",
    "escalation://open",
    "decision://1",
    "decision://-1",
    "audit://recent",
    "file:///etc/passwd",
    "rehearsal://../x",
    "x",
    "",
)


def value(schema: Schema, definitions: Schema) -> SearchStrategy[Any]:
    """Values that fit a schema, as far as the schemas of tools go (no conditions, patterns only loosely)."""
    if "$ref" in schema:
        return value(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if options := schema.get("anyOf"):
        return st.one_of([value(option, definitions) for option in options])
    kind, low, high = schema.get("type"), schema.get("minimum"), schema.get("maximum")
    if kind == "boolean":
        return st.booleans()
    if kind == "integer":
        return st.integers(low, high) if high is not None else st.integers(low, 2**40)
    if kind == "number":
        return st.floats(low or 0, high or 1e9, allow_nan=False)
    if kind == "string":
        return st.text(st.characters(codec=None), min_size=schema.get("minLength", 0), max_size=80)
    if kind == "array":
        inner = value(schema.get("items", {}), definitions)
        return st.lists(inner, min_size=schema.get("minItems", 0), max_size=4)
    if kind == "object" and "properties" in schema:
        return arguments(schema, definitions)
    return st.dictionaries(KEYS, JSON, max_size=4) if kind == "object" else JSON


def arguments(schema: Schema, definitions: Schema | None = None) -> SearchStrategy[dict[str, Any]]:
    """Objects that fit a schema of properties."""
    defined: Schema = schema.get("$defs", {}) if definitions is None else definitions
    fields = {name: field(name, part, defined) for name, part in schema["properties"].items()}
    required = {name: fields[name] for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional={n: s for n, s in fields.items() if n not in required})


def field(name: str, schema: Schema, definitions: Schema) -> SearchStrategy[Any]:
    """What fits one field; half of it means something where the field is known."""
    fitting = value(schema, definitions)
    return st.sampled_from(KNOWN[name]) | fitting if name in KNOWN else fitting


@st.composite
def calls(draw: st.DrawFn, schema: Schema) -> Any:
    """Arguments of one call: fitting, with one or more wrong, or anything."""
    shape = draw(st.integers(0, 9))
    if shape == 9:
        return draw(JSON)
    given_ = draw(arguments(schema))
    if shape >= 7 and schema["properties"]:
        given_[draw(st.sampled_from([*schema["properties"], "unknown"]))] = draw(JSON)
    for name, most in BOUNDED.items():
        if isinstance(given_.get(name), int | float):
            given_[name] = min(cast("float", given_[name]), most)
    return given_


def drawn(strategy: SearchStrategy[Any], count: int, number: int) -> list[Any]:
    """So many values of a strategy, the same for the same number."""
    out: list[Any] = []

    @seed(number)
    @settings(
        max_examples=count,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=False,
        suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)),
    )
    @given(strategy)
    def collect(one: Any) -> None:
        out.append(one)

    collect()
    return out


def crossed(dice: random.Random, pool: list[Any]) -> Any:
    """One of the drawn arguments; every other time with the values of others in its fields, which is quicker to have
    than another draw."""
    one = dice.choice(pool)
    if not isinstance(one, dict) or dice.random() < 0.5:
        return cast("Any", one)
    made = dict(cast("dict[str, Any]", one))
    for other_ in dice.choices(pool, k=2):
        if isinstance(other_, dict):
            made |= {name: part for name, part in cast("dict[str, Any]", other_).items() if dice.random() < 0.5}
    return made


def malformed(dice: random.Random, identifier: int, about: Mapping[str, Any]) -> bytes:
    """A line that a client of the protocol would not send."""
    good: dict[str, Any] = {"jsonrpc": "2.0", "id": identifier, "method": dice.choice(METHODS), "params": dict(about)}
    line = json.dumps(good).encode()
    oddities: list[Any] = [None, True, -1, 1.5, 2**80, "", "x" * 2000, [], {}, [[]], {"a": 1}, "\ud800"]
    odd = dice.choice(oddities)
    shape = dice.randrange(12)
    if shape == 0:
        return dice.randbytes(dice.randrange(200)).replace(b"\n", b"")
    if shape == 1:
        return line[: dice.randrange(len(line))]
    if shape == 2:
        at = dice.randrange(len(line))
        return line[:at] + bytes([dice.choice([0, 9, 34, 92, 123, 125, 200, 255])]) + line[at + 1 :]
    if shape == 3:
        return dice.choice([b"[" * 3000, b'{"a":' * 3000, b"[]", b"{}", b"null", b"1e999", b'"x"', b"NaN", b""])
    if shape == 4:
        return json.dumps([good] * dice.randrange(4)).encode()
    if shape == 5:
        return line.replace(
            b'"id"', dice.choice([b'"id": 7, "id"', b'"ID"', b'"result": {}, "id"', b'"error": 1, "id"'])
        )
    if shape == 6:
        return json.dumps({"jsonrpc": "2.0", "id": odd, "result": odd}).encode()
    if shape == 7:
        return json.dumps(
            {**good, "params": {"_meta": {"progressToken": odd, "io.modelcontextprotocol/protocolVersion": odd}}}
        ).encode()
    if shape == 8:
        note = {"requestId": odd, "reason": odd, "progressToken": odd, "progress": odd}
        return json.dumps(
            {"jsonrpc": "2.0", "method": f"notifications/{dice.choice(['cancelled', 'progress', 'x'])}", "params": note}
        ).encode()
    key = dice.choice(["jsonrpc", "id", "method", "params"])
    if shape == 9:
        return json.dumps({name: part for name, part in good.items() if name != key}).encode()
    if shape == 10:
        return line[:-1] + b',"pad":"' + b"x" * dice.randrange(200_000) + b'"}'
    return json.dumps({**good, key: odd}).encode()


def other(dice: random.Random) -> tuple[str, dict[str, Any]]:
    """A request for a resource, a prompt or a completion, with parameters of the right shape."""
    uri, text = dice.choice(URIS), dice.choice(["", "x", "o", "\u0000", "w" * 999])
    prompts = ("backend_engineer", "implement_endpoint", "write_migration", "review_change", "fix_failing_test", "none")
    return dice.choice(
        (
            ("resources/read", {"uri": uri}),
            ("prompts/get", {"name": dice.choice(prompts), "arguments": {"task": text, "base": text, "change": text}}),
            (
                "completion/complete",
                {
                    "ref": {"type": "ref/resource", "uri": "schema://{engine}/{table}"},
                    "argument": {"name": "table", "value": text},
                    "context": {"arguments": {"engine": "main"}},
                },
            ),
            (
                "completion/complete",
                {
                    "ref": {"type": "ref/prompt", "name": dice.choice(prompts)},
                    "argument": {"name": "task", "value": text},
                },
            ),
            ("resources/list", {"cursor": text}),
            ("tools/list", {"cursor": text}),
        )
    )
