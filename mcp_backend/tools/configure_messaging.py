"""configure_messaging: create, change or remove streams, consumers and groups; the diff first, then exactly that."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from mcp_backend.actions import ConfigureMessaging as Configure
from mcp_backend.actions import where
from mcp_backend.app import App
from mcp_backend.errors import Aborted, BackendError, InvalidArgument, Json, OutcomeUnknown
from mcp_backend.facts import Facts, MessagingChange
from mcp_backend.tools.base import Plan, Result, Tool

if TYPE_CHECKING:
    from mcp_backend.engines.configuring import Configurer, Planned, Wanted


class OneChange(BaseModel):
    """One change of a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["stream", "consumer", "group", "topic"]
    name: str = Field(min_length=1, max_length=249)
    of: str = Field(default="", max_length=249)
    action: Literal["set", "delete", "purge", "reset"] = "set"
    config: dict[str, Any] = Field(default={})


SCHEMA = {
    "type": "array", "items": {"type": "object"},
    "description": "{kind: stream|topic|consumer|group, name, of: its stream, action: set|delete|purge|reset, config: "
    "fields of that system, such as {max_age: 7d}}",
}  # fmt: skip
"""The fields in a sentence: spelled out they would cost every host four times that."""


class ConfigureMessaging(Tool):
    """Create, change, purge or delete streams, topics, consumers, groups, dead letter queues (partitions, how long they
    keep messages): shows diff and hazards; `apply` makes exactly that.

    Give the `at_version` shown with apply. What destroys messages or positions goes alone and waits for a person.
    """

    name = "configure_messaging"
    title = "Configure messaging"
    toolset = "messaging"
    read_only = False
    destructive = True

    changes: Annotated[tuple[OneChange, ...], WithJsonSchema(SCHEMA)] = Field(default=(), max_length=50)
    file: str | None = Field(default=None, max_length=200, description="instead: messaging/NAME.toml, what should be")
    engine: str | None = Field(default=None, max_length=100)
    apply: bool = False
    at_version: str | None = Field(default=None, max_length=64)

    async def plan(self, app: App) -> Plan:
        from mcp_backend.engines.configuring import version

        if bool(self.changes) == bool(self.file):
            raise InvalidArgument("changes: expected one change or more, or file instead")
        planned, later, target = await self._planned(app)
        at_version = version(planned)
        if self.at_version is not None and self.at_version != at_version:
            raise Aborted(
                f"at_version: what is there changed since {self.at_version} was shown (now {at_version}); look at the "
                "new diff, then give its at_version"
            )
        if not self.apply:
            return Plan(prepared=(target, planned, later), at_version=at_version)
        todo = [one for one in planned if not one.nothing]
        facts = Facts(changes=tuple(MessagingChange(str(one.wanted), one.destroys) for one in todo))
        settings = target.settings
        action = Configure(settings.name, settings.environment, tuple(one.text() for one in todo))
        preview = "\n".join(f"{one.wanted}: {_words(one)}" for one in todo)
        at = where(settings.name, settings.environment)
        evidence: dict[str, Json] = {"changes": [one.shown() for one in todo]}
        actions = (action,) if todo else ()
        return Plan(actions, facts, f"{at}\n{preview}", at_version, (target, planned, later), evidence=evidence)

    async def run(self, app: App, plan: Plan) -> Result:
        planned: list[Planned]
        target: Configurer
        later: list[Wanted]
        target, planned, later = plan.prepared
        entries: list[dict[str, Json]] = [one.shown() for one in planned]
        if self.apply:
            for index, one in enumerate(planned):
                if not one.nothing:
                    entries[index] |= await _applied(target, planned, index)
        told: Result = {
            "engine": target.settings.name, "kind": target.settings.kind, "environment": target.settings.environment,
            "applied": self.apply, "at_version": plan.at_version, "changes": [*entries],
        }  # fmt: skip
        if later:
            names = ", ".join(f"{one.kind} {one.of}/{one.name}" for one in later)
            told["notes"] = [f"left out until its stream is there, so repeat the call after it: {names}"]
        return told

    async def _planned(self, app: App) -> "tuple[list[Planned], list[Wanted], Configurer]":
        """What is planned, and what of a file has to wait for it."""
        from mcp_backend.engines import desired
        from mcp_backend.engines.configuring import configurer

        if self.file:
            found = desired.read(app.workspace.root, self.file)
            target = configurer(app.engines, self.engine or found.engine or None)
            return *await desired.plan(target, found), target
        target = configurer(app.engines, self.engine)
        wanted = [_wanted(change) for change in self.changes]
        if len({(w.kind, w.of, w.name) for w in wanted}) < len(wanted):
            raise InvalidArgument("changes: the same thing is named twice; put its changes into one")
        return [await _planned(target, one, index) for index, one in enumerate(wanted)], [], target


def _wanted(change: OneChange) -> "Wanted":
    from mcp_backend.engines.configuring import Wanted

    return Wanted(change.kind, change.name, change.of, change.action, change.config)


async def _planned(target: "Configurer", wanted: "Wanted", index: int) -> "Planned":
    try:
        return await target.plan(wanted)
    except InvalidArgument as error:
        raise InvalidArgument(f"changes.{index}.{error.reason}", details=error.details) from error


async def _applied(target: "Configurer", planned: "list[Planned]", index: int) -> dict[str, Json]:
    """What became of one change. When one fails, the error says which of those before it were made."""
    try:
        return await target.apply(planned[index])
    except BackendError as error:
        if not index:
            raise
        done = ", ".join(str(one.wanted) for one in planned[:index] if not one.nothing) or "nothing"
        left = ", ".join(str(one.wanted) for one in planned[index:])
        kind = OutcomeUnknown if isinstance(error, OutcomeUnknown) else type(error)
        raise kind(f"{error.reason} (made before it: {done}; not made: {left})", details=error.details) from error


def _words(planned: "Planned") -> str:
    parts = [f"{name} {before} -> {after}" for name, (before, after) in planned.diff.items()]
    parts += [f"DESTROYS {planned.destroys}"] if planned.destroys else []
    return "; ".join([*parts, *(reason for _, reason in planned.hazards)]) or "nothing is lost"
