"""What an agent does all day, step by step, and what must come of it: the parts of `benchmarks.soak_day`."""

import asyncio
import copy
import json
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from benchmarks.surface_wires import ABOUT, HELLO, VERSION, HttpWire, StdioWire, Wire
from mcp_backend.people.inbox import open_inbox

FILES = ("orders/app.py", "tests/test_app.py", "api/openapi.yaml", "db/migrations/20260101000000_lines.sql")
APP = ("    return sum(lines)\n", "    return sum(line for line in lines)\n")


@dataclass(slots=True)
class Day:
    """One server, and what its agent remembers."""

    wire: Wire
    root: Path
    modern: bool
    dice: random.Random
    calls: int = 0
    away: int = 0
    changed: bool = False
    open: list[str] = field(default_factory=list[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])

    async def ask(self, method: str, params: Mapping[str, Any], *, cancel: bool = False) -> dict[str, Any]:
        """The answer; empty for what was cancelled, and wrong, when none came."""
        self.calls += 1
        try:
            answer = await self.wire.ask(method, {**params, **(ABOUT if self.modern else {})}, cancel=cancel)
        except TimeoutError as error:
            self.wrong.append(f"{method} {json.dumps(params)[:200]}: no answer {error}")
            return {}
        kind = str(params["name"]) if method == "tools/call" else method
        self.kinds["cancelled" if cancel else kind] += 1
        return answer or {}

    async def call(self, tool: str, *expected: str, **arguments: Any) -> dict[str, Any]:
        """The structured result of a tool, which must be good, or one of the errors that are expected."""
        answer = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        body: dict[str, Any] = answer.get("result", {}).get("structuredContent") or answer
        code = str(cast("dict[str, Any]", body.get("error") or {}).get("code", ""))
        away, self.away = self.away > 0, max(0, self.away - 1)
        if (code not in expected if expected else code) and not (away and code == "unavailable"):
            self.wrong.append(f"{tool} {json.dumps(arguments)[:200]}: {json.dumps(body)[:500]}")
        return {} if code else body


async def reading(day: Day) -> None:
    """Some files at once, as hosts ask."""
    looks: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: day.call("read_file", path=day.dice.choice(FILES)),
        lambda: day.call("search_code", query=day.dice.choice(("total", "orders", "create"))),
        lambda: day.call("find_symbol", name="total"),
    )
    await asyncio.gather(*(look() for look in day.dice.choices(looks, (6, 3, 1), k=day.dice.randrange(1, 5))))


async def editing(day: Day) -> None:
    """One line is made another, and back."""
    text = (await day.call("read_file", path="orders/app.py")).get("content", "")
    old, new = APP if APP[0].strip() in text.splitlines()[-1] else APP[::-1]
    await day.call("edit_file", path="orders/app.py", edits=[{"old": old, "new": new}])
    day.changed = True


async def writing(day: Day) -> None:
    """A file of twenty is new, or written over."""
    path, sha = f"orders/part_{day.dice.randrange(20)}.py", {}
    if (day.root / path).exists():
        sha = {"expected_sha256": (await day.call("read_file", path=path)).get("sha256", "")}
    await day.call("write_file", path=path, content=f"PART = {day.dice.randrange(10**6)}\n", **sha)
    day.changed = True


async def looking(day: Day) -> None:
    """What is there."""
    await day.call("git_status", diff=day.dice.random() < 0.5)


async def database(day: Day) -> None:
    """The schema and some rows."""
    choice = day.dice.randrange(6)
    if choice == 0:
        await day.call("db_schema", engine="main")
    elif choice == 1:
        await day.call("db_schema", engine="main", table="orders")
    elif choice == 2:
        await day.call(
            "db_query", engine="main", sql="select * from orders where id = $1", parameters=[1], explain="plan"
        )
    else:
        low = day.dice.randrange(1000)
        sql = "select g, $1::text from generate_series($2::int, $2::int + 49) g"
        body = await day.call("db_query", engine="main", sql=sql, parameters=["é", low])
        if body and body["rows"] != [[low + n, "é"] for n in range(50)]:
            day.wrong.append(f"rows of something else: {body['rows'][:2]}")


async def messaging(day: Day) -> None:
    """A stream is looked at, written to, and read."""
    await day.call("message_topology", engine="broker")
    if day.dice.random() < 0.5:
        message = {"payload": {"id": day.dice.randrange(10**6)}, "message_id": f"{day.dice.randrange(10**12)}"}
        await day.call("publish_message", engine="broker", destination="orders.created", messages=[message],
                       justification="An order was created in the soak of a day.")  # fmt: skip
    else:
        await day.call("peek_messages", engine="broker", destination="orders.created", count=3, wait_seconds=0)


async def contract(day: Day) -> None:
    """The specification."""
    await day.call("api_contract", path="api/openapi.yaml", operation=day.dice.choice(("listOrders", "GET /orders")))
    if day.dice.random() < 0.2:
        await day.call("check_contract", path="api/openapi.yaml", base="HEAD")


async def testing(day: Day) -> None:
    """The tests; now and then with a new one, and what they passed on is committed."""
    ready = day.changed and day.dice.random() < 0.5
    if ready:
        text, path = (day.root / "tests/test_app.py").read_text(), "tests/test_app.py"
        asserts = [line for line in text.splitlines(keepends=True) if "assert" in line][-1]
        new = f"    assert total([{day.calls}]) == {day.calls}\n"
        await day.call("edit_file", path=path, edits=[{"old": asserts, "new": new}])
    if (await day.call("run_tests")) and ready:
        await day.call("git_commit", message="Work on orders", paths=["orders", "tests"])
        day.changed = False


async def commanding(day: Day) -> None:
    """A command that reads."""
    await day.call("run_command", command="ls orders && cat api/openapi.yaml")


async def rehearsing(day: Day) -> None:
    """A migration on the shadow."""
    await day.call("rehearse_migration", engine="main", sql="alter table orders add column note text",
                   down_sql="alter table orders drop column note")  # fmt: skip


async def asking(day: Day) -> None:
    """A question; a person answers the oldest that is open."""
    details = {"spec": "api/openapi.yaml", "ambiguity": "None is given.", "options": ["half even", "half up"],
               "known": "The specification does not say.", "tried": "search", "would_unblock": "The rule."}  # fmt: skip
    body = await day.call("escalate", kind="unknown", title=f"Rounding of {day.calls}", blocking=False,
                          question="Which rounding do orders take?", details=details)  # fmt: skip
    day.open += [str(body["id"])] if "id" in body else []
    await day.call("check_escalation")
    if len(day.open) > 3:
        identifier = day.open.pop(0)
        now = datetime.now(UTC).timestamp()
        with open_inbox(day.root) as people:
            await people.decide(
                await people.one(identifier), status="answered", answer="half even", channel="cli", now=now
            )
        if (await day.call("check_escalation", id=identifier)).get("status") != "answered":
            day.wrong.append(f"the answer to {identifier} did not arrive")


async def refused(day: Day) -> None:
    """What the engineer must not do, or gets wrong."""
    choice = day.dice.randrange(6)
    if choice == 0:
        edits = [{"old": "null", "new": "0"}]
        await day.call("edit_file", "permission_denied", path="web/src/App.tsx", edits=edits)
    elif choice == 1:
        await day.call("db_query", "permission_denied", engine="main", sql="delete from orders")
    elif choice == 2:
        await day.call("run_command", "permission_denied", "", command="echo x > web/src/App.tsx")
    elif choice == 3:
        await day.call("read_file", "invalid_argument", "permission_denied", "not_found", path="../outside")
    elif choice == 4:
        await day.call("db_query", "invalid_argument", engine="main", sql="select nothing from orders")
    else:
        await day.call("read_file", "not_found", path=f"orders/none_{day.calls}.py")


async def protocol(day: Day) -> None:
    """Resources, prompts, lists."""
    uris = (
        "persona://backend-engineer",
        "policy://effective",
        "schema://main/orders",
        "audit://recent",
        "escalation://open",
    )
    for method, params in (
        ("resources/read", {"uri": day.dice.choice(uris)}),
        ("prompts/get", {"name": "backend_engineer", "arguments": {"task": "Orders"}}),
        ("tools/list", {}),
    ):
        if "result" not in (answer := await day.ask(method, params)):
            day.wrong.append(f"{method} {params}: {answer}")


async def cancelled(day: Day) -> None:
    """Work that nobody waits for any more; the next call finds all well."""
    sql = "select count(*) from generate_series(1, 3000) a, generate_series(1, 3000) b"
    work = {"name": "db_query", "arguments": {"engine": "main", "sql": sql, "timeout_seconds": 5}}
    if day.dice.random() < 0.5:
        work = {"name": "run_command", "arguments": {"command": "sleep 5", "timeout_seconds": 8}}
    await day.ask("tools/call", work, cancel=True)
    await day.call("read_file", path="orders/app.py")


async def subscribing(day: Day) -> None:
    """Somebody wants to hear of a schema, and no longer."""
    if day.modern:
        wanted = {"notifications": {"resourceSubscriptions": ["schema://main"]}}
        await day.ask("subscriptions/listen", wanted, cancel=True)
    else:
        await day.ask("resources/subscribe", {"uri": "schema://main"})
        await day.ask("resources/unsubscribe", {"uri": "schema://main"})


async def visiting(day: Day) -> None:
    """Another client of the workspace: a process of its own over stdio, a session over HTTP."""
    if isinstance(day.wire, StdioWire):
        visitor: Wire = await StdioWire.open(day.root, VERSION if day.modern else "2025-11-25", os.environ)
    else:
        visitor = copy.copy(cast("HttpWire", day.wire))
        visitor.session, visitor.idle = "", []
    guest = Day(visitor, day.root, day.modern, day.dice)
    if isinstance(visitor, HttpWire) and not day.modern:
        await visitor.ask("initialize", HELLO, cancel=False)
        await guest.ask("resources/subscribe", {"uri": "schema://main"})
    await guest.call("read_file", path="orders/app.py")
    await guest.call("db_schema", engine="main")
    day.calls += guest.calls
    day.wrong += guest.wrong
    if isinstance(visitor, HttpWire):
        await visitor.leave(said=day.dice.random() < 0.5)
    elif day.dice.random() < 0.5:
        await visitor.close()
    else:
        visitor.process.kill()
        await visitor.close()


STEPS: tuple[tuple[Callable[[Day], Awaitable[None]], float], ...] = (
    (reading, 30), (editing, 14), (writing, 5), (looking, 8), (database, 20), (messaging, 5), (contract, 3),
    (testing, 1), (commanding, 2), (rehearsing, 0.4), (asking, 1), (refused, 5), (protocol, 1.5), (cancelled, 1),
    (subscribing, 1), (visiting, 0.3),
)  # fmt: skip
"""What a session is made of, and how often."""
