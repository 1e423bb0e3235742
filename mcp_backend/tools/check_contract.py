"""check_contract: what changed in the specifications since a revision, and where an implementation deviates."""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic import Field, NonNegativeInt

from mcp_backend import telling
from mcp_backend.actions import Action, CallApi, RunCommand
from mcp_backend.app import App
from mcp_backend.errors import FailedPrecondition, InvalidArgument, Json
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.contracts.revisions import Compared
    from mcp_backend.contracts.service.checking import Checked
    from mcp_backend.contracts.words import Change

BYTES = 9_000
"""Of the changes or deviations of one page."""
OPERATIONS = 6
"""Operations that one change lists; the rest is counted."""
UNVERIFIED = 30
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class _Prepared:
    path: str
    headers: dict[str, str]


class CheckContract(Tool):
    """Check API specifications: what changed or breaks clients since a git revision (base), or where an implementation
    or service does not match: endpoints missing, different or extra.

    implementation: module:object, app.py:object, a Go folder, a gRPC server's file, or auto; url: a running service.
    """

    name = "check_contract"
    title = "Check an API contract"
    toolset = "contracts"
    read_only = True
    idempotent = True
    deadline = 600.0

    path: str | None = None
    base: str | None = None
    implementation: str | None = None
    url: str | None = None
    headers: dict[str, str] | None = Field(default=None, description="values or env:NAME")
    after: NonNegativeInt | None = None

    async def plan(self, app: App) -> Plan:
        from mcp_backend.contracts.calling.headers import References
        from mcp_backend.workspace import naming

        given = [name for name in ("base", "implementation", "url") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidArgument(
                "base, implementation, url: expected exactly one of a git revision, an application, or the URL of a "
                f"running service; got {' and '.join(given) or 'none'}"
            )
        path = (naming.readable(self.path, app.workspace.root) or ".") if self.path else ""
        references = References(app.policy, app.workspace, None)
        headers = {
            n: references.read(f"headers.{n}", v) if v.startswith(("env:", "file:")) else v
            for n, v in (self.headers or {}).items()
        }
        actions: tuple[Action, ...] = ()
        if self.implementation is not None:
            _application(self.implementation)
            if not self.implementation.endswith(".go"):
                from mcp_backend.contracts.service.talking import CHILD, interpreter

                command = (interpreter(app.workspace.root), CHILD.name, self.implementation)
                actions = (RunCommand(command, "."),)
        if self.url is not None:
            actions = (CallApi("GET", _local(self.url)),)
            if app.policy.deep_seconds:
                actions += (RunCommand(("schemathesis", "run", path or ".", "--url", self.url), "."),)
        runs = any(isinstance(action, RunCommand) for action in actions)
        return Plan(
            actions=actions, preview=f"check {path or 'the specifications'} against {given[0]}",
            prepared=_Prepared(path, headers), recorded=app.policy.sandbox.loosened() if runs else {},
        )  # fmt: skip

    async def run(self, app: App, plan: Plan) -> Result:
        prepared: _Prepared = plan.prepared
        if self.base is not None:
            return await asyncio.to_thread(_revisions, app, prepared.path, self.base, self.after or 0)
        return await _implementation(app, prepared, self.implementation, self.url, self.after or 0)


def _application(text: str) -> None:
    if text.startswith("-") or not re.fullmatch(r"[\w./()-]+(:[\w.]+(\(\))?)?", text):
        raise InvalidArgument("implementation: expected module:object, path/app.py:object, a folder with Go, or auto")


def _local(url: str) -> str:
    """The URL of a service on this machine. Redirects are not followed, names are not looked up."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "grpc", "grpcs", "ws", "wss") or not parts.hostname or parts.username:
        raise InvalidArgument(
            "url: expected http://127.0.0.1:PORT of a running development service, without a password"
        )
    if parts.hostname not in LOOPBACK:
        raise InvalidArgument(
            f"url: only services on this machine are asked ({', '.join(LOOPBACK)}), not {parts.hostname}"
        )
    return url


async def _implementation(
    app: App, prepared: _Prepared, implementation: str | None, url: str | None, after: int
) -> Result:
    from mcp_backend.contracts import sources, specs
    from mcp_backend.contracts.documents import Broken
    from mcp_backend.contracts.service import checking
    from mcp_backend.tools.api_contract import missing, one

    source = await asyncio.to_thread(sources.work_tree, app.workspace)
    found = await asyncio.to_thread(specs.find, source, prepared.path)
    if not found:
        raise missing(source, prepared.path or ".")
    spec = one(found, prepared.path)
    if spec is None:
        raise InvalidArgument(
            f"path: several specifications are here; name one: {', '.join(s.path for s in found[:10])}"
        )
    await telling.tell(f"asking {url}" if url is not None else "starting the application to ask it what it serves")
    try:
        if url is not None:
            checked = await checking.check_url(source, spec, app.workspace, app.policy, url, prepared.headers)
        else:
            checked = await checking.check(
                source, spec, app.workspace, app.policy, implementation or "auto", prepared.headers
            )
    except Broken as error:
        raise FailedPrecondition(f"{spec.path} cannot be read: {error}") from error
    return {"path": spec.path, "kind": spec.kind, **_checked(checked, after)}


def _checked(checked: "Checked", after: int) -> Result:
    order = ("missing", "different", "extra")
    every = sorted(checked.deviations, key=lambda d: order.index(d.kind))
    shown: list[Json] = []
    room = BYTES
    for deviation in every[after:]:
        entry: dict[str, Json] = {
            "id": deviation.id, "kind": deviation.kind, "where": deviation.where, "expected": deviation.expected,
            "actual": deviation.actual, "source": deviation.source,
        }  # fmt: skip
        room -= len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if room < 0 and shown:
            break
        shown.append(entry)
    verdict = (
        "deviates"
        if every
        else "unverified"
        if any(u.where == "*" for u in checked.unverified) and not (checked.requests and checked.sources)
        else "matches"
    )
    unverified: list[Json] = [{"where": u.where, "why": u.why} for u in checked.unverified[:UNVERIFIED]]
    result: Result = {
        "implementation": checked.implementation, "verdict": verdict, "sources": [*checked.sources],
        "deviations": shown, "deviations_total": len(every), "unverified": unverified,
        "unverified_total": len(checked.unverified), "truncated": after + len(shown) < len(every),
    }  # fmt: skip
    if checked.requests:
        result["requests"] = checked.requests
    if checked.sandbox:
        result["sandbox"] = checked.sandbox
    if result["truncated"]:
        result["next"] = after + len(shown)
    return result


def _revisions(app: App, path: str, base: str, after: int) -> Result:
    from mcp_backend.contracts import revisions, sources
    from mcp_backend.tools.api_contract import missing
    from mcp_backend.workspace import git
    from mcp_backend.workspace.git_environment import open_repository

    commit = git.resolve(open_repository(app.workspace), base, name="base")
    new = sources.work_tree(app.workspace)
    found = revisions.compared(sources.committed(app.workspace, commit), new, path, app.clock().date())
    if path and not found:
        raise missing(new, path)
    return {"base": commit[:12], **_page(found, after)}


def _page(found: "list[Compared]", after: int) -> Result:
    from mcp_backend.contracts import revisions
    from mcp_backend.contracts.words import LEVELS

    counts = revisions.counted(found)
    every = [(one, change) for one in found for change in one.changes]
    every.sort(key=lambda pair: LEVELS.index(pair[1].level))
    shown: list[Json] = []
    room = BYTES
    for one, change in every[after:]:
        entry = _entry(one, change, many=len(found) > 1)
        room -= len(json.dumps(entry, ensure_ascii=False).encode()) + 2
        if room < 0 and shown:
            break
        shown.append(entry)
    result: Result = {
        "compatible": counts["breaking"] == 0 and not any(one.problem for one in found),
        "counts": {level: counts[level] for level in LEVELS},
        "specs": [_spec(one) for one in found[:40]],
        "changes": shown,
        "truncated": after + len(shown) < len(every),
    }
    if result["truncated"]:
        result["next"] = after + len(shown)
    return result


def _spec(one: "Compared") -> Json:
    entry: dict[str, Json] = {"path": one.path, "kind": one.kind, "changes": len(one.changes)}
    if one.kind == "protobuf":
        entry["rules"] = "buf FILE"
    return entry | ({"problem": one.problem[:300]} if one.problem else {})


def _entry(one: "Compared", change: "Change", *, many: bool) -> dict[str, Json]:
    entry: dict[str, Json] = {"id": change.id, "level": change.level, "where": change.where}
    if many:
        entry["spec"] = one.path
    entry |= {"before": change.before, "after": change.after, "operations": [*change.operations[:OPERATIONS]]}
    if len(change.operations) > OPERATIONS:
        entry["operations_more"] = len(change.operations) - OPERATIONS
    return entry
