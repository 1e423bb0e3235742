"""The door to the fence: `async with around(...) as inside`, start the program as `inside` says, and read afterwards
what it changed and what was taken back."""

import asyncio
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from mcp_backend.errors import FailedPrecondition, Unavailable
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace
from mcp_backend.workspace import supervise
from mcp_backend.workspace.fence import caches, landlock, layout, network, probe, revert, scan
from mcp_backend.workspace.fence.revert import Refused
from mcp_backend.workspace.fence.spec import Handed, Request, build, foreign_sockets, temporary


@dataclass(slots=True)
class Inside:
    """How a program is started in the fence: `python -I -S` with `launcher`, the command after it, `fds` inherited and
    `environment` added. Call `started` when it runs and `confirm` when it has ended. Afterwards, behind the `async
    with`, `changed` are the paths that differ and stay so, `refused` what was taken back."""

    launcher: tuple[str, ...]
    fds: tuple[int, ...]
    environment: Mapping[str, str]
    sandbox: str
    notes: list[str] = field(default_factory=list[str])
    changed: tuple[str, ...] = ()
    refused: tuple[Refused, ...] = ()
    _handed: Handed | None = None
    _caches: caches.Caches | None = None
    _another: "Callable[[], Awaitable[Inside]] | None" = None
    _servers: list[asyncio.Server] = field(default_factory=list[asyncio.Server])
    _answer: str = ""

    async def started(self) -> None:
        """Waits until the fence holds, and serves what is passed on from then on."""
        if self._handed is None:
            return
        self._handed.given()
        self._handed.answers.setblocking(False)
        message, descriptors = await _answered(self._handed.answers)
        self._answer = message
        ports = [int(word) for word in message.split()[1:]] if message.startswith("ready") else []
        await network.pass_on(zip(ports, descriptors, strict=True), self._servers)

    async def another(self) -> "Inside":
        """The same fence once more, for a program that belongs to the first one."""
        assert self._another is not None, "made by around"
        return await self._another()

    def confirm(self) -> None:
        """Raises `Unavailable` when the fence was not made: then nothing of the command has run."""
        if self._handed is not None and not self._answer.startswith("ready"):
            reason = self._answer.removeprefix("failed ") or "its process ended before it could be made"
            raise Unavailable(f"the fence could not be made: {reason}. Nothing was run; repeat this call")


async def _answered(answers: socket.socket) -> tuple[str, list[int]]:
    loop = asyncio.get_running_loop()
    there = loop.create_future()
    loop.add_reader(answers, lambda: there.done() or there.set_result(None))
    try:
        await there
    finally:
        loop.remove_reader(answers)
    try:
        message, descriptors, _, _ = socket.recv_fds(answers, 1000, 64)
    except OSError:
        return "", []
    return message.decode("utf-8", "replace"), descriptors


@asynccontextmanager
async def around(
    workspace: Workspace, policy: Policy, *, cwd: Path, shared: Sequence[Path] = ()
) -> AsyncGenerator[Inside]:
    """The fence round one program. `shared` are folders outside the workspace that the program may write.

    Raises `FailedPrecondition` where no layer of the kernel holds, unless the policy says why programs may run without.
    """
    found = await asyncio.to_thread(probe.found, workspace)
    if found.tier == "none" and not policy.sandbox.unfenced_because:
        raise FailedPrecondition(
            f"no kernel layer that could fence programs in holds here ({found.why()}). A person allows one: user "
            "namespaces, or bubblewrap (apt install bubblewrap), or a kernel and container with Landlock; or says in "
            'mcp-backend.toml, [sandbox] unfenced_because = "…", why programs may run without. `mcp-backend doctor` '
            "shows what was tried"
        )
    seen = await asyncio.to_thread(layout.look, workspace, policy)
    before = await asyncio.to_thread(scan.before, workspace, seen, found.tier)
    made: list[Inside] = []

    async def another() -> Inside:
        made.append(await _prepared(workspace, policy, found, seen, cwd, shared))
        made[-1]._another = another  # pyright: ignore[reportPrivateUsage]
        return made[-1]

    inside = await another()
    try:
        yield inside
    finally:
        with anyio.CancelScope(shield=True):
            for one in made:
                await _closed(one)
            await asyncio.to_thread(_look_back, workspace, policy, before, inside)


async def _prepared(
    workspace: Workspace, policy: Policy, found: probe.Found, seen: layout.Layout, cwd: Path, shared: Sequence[Path]
) -> Inside:
    open_network = bool(policy.sandbox.network_because)
    reach = network.Reach() if open_network else await network.reach(policy, workspace)
    sandbox = words(found, policy)
    if found.tier == "none":
        launcher = (os.path.abspath(supervise.__file__), str(os.getpid()))
        return Inside(launcher, (), {}, sandbox, [f"not fenced: {policy.sandbox.unfenced_because}"])
    tools = caches.opened(workspace)
    places = (*shared, *tools.folders.values())
    request = Request(workspace, seen, cwd, places, reach.ports, open_network, tools.overlays)
    handed = await asyncio.to_thread(lambda: Handed(build(found.tier, found.program, request)))
    environment = {name: str(path) for name, path in tools.folders.items()} | {"UV_LINK_MODE": "copy"}
    environment["TMPDIR"] = str(temporary(workspace)) if found.tier == "landlock" else "/tmp"
    return Inside(
        handed.arguments, handed.descriptors, environment, sandbox, list(reach.notes), _handed=handed, _caches=tools
    )  # fmt: skip


def words(found: probe.Found, policy: Policy) -> str:
    """The tier as results and doctor tell it."""
    if found.tier == "none":
        return "none"
    layers = [found.tier, "seccomp"]
    if found.tier != "landlock" and landlock.version() >= landlock.LEAST:
        layers.insert(1, "landlock")
    reach = "any" if policy.sandbox.network_because else "loopback" if found.tier != "landlock" else _few()
    return f"{'+'.join(layers)}; network: {reach}"


def _few() -> str:
    tcp = "TCP to named and ephemeral ports" if landlock.version() >= 4 else "TCP open"
    return f"{tcp}, no UDP" + (", no unix sockets" if foreign_sockets() else "")


async def _closed(inside: Inside) -> None:
    for server in inside._servers:  # pyright: ignore[reportPrivateUsage]
        server.close()
    if (handed := inside._handed) is not None:  # pyright: ignore[reportPrivateUsage]
        handed.given()
        handed.close()
    if (tools := inside._caches) is not None:  # pyright: ignore[reportPrivateUsage]
        tools.close()


def _look_back(workspace: Workspace, policy: Policy, before: scan.Before, inside: Inside) -> None:
    found = scan.after(workspace, before)
    inside.refused = revert.revert(workspace, policy, before, found)
    taken = {item.path for item in inside.refused}
    inside.changed = tuple(sorted({*found.created, *found.changed, *found.deleted} - taken))
