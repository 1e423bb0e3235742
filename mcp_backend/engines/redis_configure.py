"""Changing streams and groups of Redis: create, trim, move a group's position, delete.

https://redis.io/docs/latest/commands/xgroup-create/ and https://redis.io/docs/latest/commands/xtrim/
"""

import re
from dataclasses import replace
from typing import Any

from mcp_backend.engines.configuring import Planned, Wanted
from mcp_backend.engines.redis import NotSent, Redis, Refused, Unanswered, Word
from mcp_backend.engines.redis_publisher import destination
from mcp_backend.errors import (
    Aborted,
    BackendError,
    FailedPrecondition,
    InvalidArgument,
    Json,
    NotFound,
    OutcomeUnknown,
    PermissionDenied,
)
from mcp_backend.policy import EngineSettings

_START = re.compile(r"\$|0|\d{1,20}(-\d{1,20})?")


class RedisConfigurer:
    """Plans and makes changes of streams and groups."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._redis.settings

    async def plan(self, wanted: Wanted) -> Planned:
        """What the change would do. Raises `InvalidArgument`, `NotFound`, `PermissionDenied`, `Unavailable`."""
        if wanted.kind not in ("stream", "group"):
            raise InvalidArgument(f"kind: Redis has streams and groups, not {wanted.kind!r}")
        if wanted.kind == "group" and not wanted.of:
            raise InvalidArgument("of: a group needs the stream it belongs to")
        destination(wanted.name)
        live = await self._live(wanted)
        if live is None and wanted.verb != "set":
            raise NotFound(f"{wanted.kind} {wanted.name} does not exist; message_topology lists what does")
        planned = self._stream(wanted, live) if wanted.kind == "stream" else self._group(wanted, live)
        return replace(planned, at=_at(live, planned))

    async def apply(self, planned: Planned) -> dict[str, Json]:
        """Makes the change and reads it back. Raises as `Configurer.apply` does."""
        wanted = planned.wanted
        if _at(await self._live(wanted), planned) != planned.at:
            raise Aborted(f"{wanted.kind} {wanted.name} changed since this was planned; look at the new diff first")
        why = ""
        for words in _commands(planned):
            try:
                await self._redis.write(*words)
            except Refused as error:
                kind = PermissionDenied if error.code == "NOPERM" else FailedPrecondition
                raise kind(f"engine {self.settings.name} refuses to {wanted}: {error}") from error
            except NotSent as error:
                raise self._redis.unavailable(str(error), error.cause) from error
            except Unanswered as error:
                await self._redis.drop()
                why = str(error)
                break
        try:
            told = _read_back(planned, await self._live(wanted))
        except BackendError as error:
            raise OutcomeUnknown(f"whether to {wanted} happened is unknown: {why or error.reason}") from error
        if why and not told["verified"]:
            raise OutcomeUnknown(f"whether to {wanted} happened is unknown: {why}; look before you repeat it")
        return told

    async def _live(self, wanted: Wanted) -> dict[str, Any] | None:
        """What there is of it, in plain values."""
        stream = wanted.of or wanted.name
        try:
            kind = _text(await self._redis.ask("TYPE", stream))
            if kind not in ("stream", "none"):
                raise InvalidArgument(f"name: the key {stream} is a {kind}, not a stream")
            if kind == "none":
                return None
            if wanted.kind == "stream":
                told = await self._redis.ask("XINFO STREAM", stream)
                ttl = int(await self._redis.ask("PTTL", stream))
                return {
                    "length": int(told["length"]), "last_id": _text(told["last-generated-id"]),
                    "groups": int(told["groups"]), "expires": ttl >= 0,
                }  # fmt: skip
            for group in await self._redis.ask("XINFO GROUPS", stream):
                if _text(group["name"]) == wanted.name:
                    lag = group.get("lag")
                    return {
                        "last_delivered": _text(group["last-delivered-id"]), "pending": int(group["pending"]),
                        "workers": int(group["consumers"]), "lag": None if lag is None else int(lag),
                    }  # fmt: skip
        except Refused as error:
            if error.code == "NOPERM":
                raise PermissionDenied(f"engine {self.settings.name}: {error}; a person grants it") from error
            raise self._redis.unavailable(str(error), "protocol") from error
        return None

    def _stream(self, wanted: Wanted, live: dict[str, Any] | None) -> Planned:
        length = live["length"] if live else 0
        impact: dict[str, Json] = {"messages": length, "groups": live["groups"]} if live else {}
        if wanted.verb == "reset":
            raise InvalidArgument("action: a stream has no position; reset a group")
        if wanted.verb in ("delete", "purge"):
            groups = f" and {live['groups']} groups" if live and live["groups"] and wanted.verb == "delete" else ""
            lost = f"{length:,} entries{groups}" if length or groups else ""
            return Planned(wanted, True, {}, live, None, lost, impact=impact)
        unknown = wanted.config.keys() - {"max_length", "expires"}
        if unknown:
            raise InvalidArgument(
                f"config.{min(unknown)}: a stream has max_length (trims it now) and expires (null takes a time to live "
                "away)"
            )
        diff: dict[str, tuple[Json, Json]] = {}
        most, lost = wanted.config.get("max_length"), ""
        if most is not None:
            if not isinstance(most, int) or most < 0:
                raise InvalidArgument("config.max_length: expected a number of entries")
            if length > most:
                diff["length"] = (length, most)
                lost = f"the oldest {length - most:,} of {length:,} entries"
        if "expires" in wanted.config:
            if wanted.config["expires"] is not None:
                raise InvalidArgument("config.expires: only null; a stream that expires loses everything at once")
            if live and live["expires"]:
                diff["expires"] = (True, None)
        if live is None:
            diff = {"length": (None, 0)}
        return Planned(wanted, live is not None, diff, live, None, lost, impact=impact)

    def _group(self, wanted: Wanted, live: dict[str, Any] | None) -> Planned:
        impact: dict[str, Json] = {k: live[k] for k in ("lag", "pending", "workers")} if live else {}
        if wanted.verb == "purge":
            raise InvalidArgument("action: a group holds no messages; purge its stream, or reset the group")
        if wanted.verb == "delete":
            assert live is not None
            lag = "an unknown number of" if live["lag"] is None else f"{live['lag']:,}"
            busy = live["pending"] or live["lag"] != 0
            lost = f"the position of the group: {live['pending']:,} pending and {lag} unread entries" if busy else ""
            return Planned(wanted, True, {}, live, None, lost, impact=impact)
        if unknown := wanted.config.keys() - {"start"}:
            raise InvalidArgument(f'config.{min(unknown)}: a group has start: "0" (all), "$" (only new) or an entry id')
        start = str(wanted.config.get("start", "$"))
        if not _START.fullmatch(start):
            raise InvalidArgument('config.start: expected "0" (all), "$" (only new) or an entry id')
        if live is None:
            return Planned(wanted, False, {"start": (None, start)}, live, start)
        start = start if "-" in start or start == "$" else f"{start}-0"
        if "start" not in wanted.config or start == live["last_delivered"]:
            return Planned(wanted, True, {}, live, start, impact=impact)
        if wanted.verb != "reset":
            raise InvalidArgument(
                f'action: the group exists and stands at {live["last_delivered"]}; moving it to {start} is "reset", '
                "which repeats or skips entries"
            )
        if live["workers"]:
            hazard = ("workers_running", f"{live['workers']} workers belong to the group: stop them before it is moved")
        else:
            hazard = ("repeats_or_skips", "entries are handled again or never: handling has to be idempotent")
        lost = f"the position {live['last_delivered']} of the group: from {start} on entries are repeated or skipped"
        diff = {"last_delivered": (live["last_delivered"], start)}
        return Planned(wanted, True, diff, live, start, lost, (hazard,), impact)


def _commands(planned: Planned) -> list[tuple[Word, ...]]:
    wanted = planned.wanted
    if wanted.kind == "group":
        if wanted.verb == "delete":
            return [("XGROUP DESTROY", wanted.of, wanted.name)]
        verb = "XGROUP SETID" if planned.exists else "XGROUP CREATE"
        return [(verb, wanted.of, wanted.name, planned.desired)] if not planned.nothing else []
    if wanted.verb == "delete":
        return [("DEL", wanted.name)]
    if wanted.verb == "purge":
        return [("XTRIM", wanted.name, "MAXLEN", 0)]
    if not planned.exists:
        # Nothing else makes an empty stream: a group is made with it and taken away again.
        own = "mcp-backend-new"
        return [("XGROUP CREATE", wanted.name, own, "0", "MKSTREAM"), ("XGROUP DESTROY", wanted.name, own)]
    commands: list[tuple[Word, ...]] = []
    if "length" in planned.diff:
        commands.append(("XTRIM", wanted.name, "MAXLEN", int(wanted.config["max_length"])))
    if "expires" in planned.diff:
        commands.append(("PERSIST", wanted.name))
    return commands


def _read_back(planned: Planned, now: dict[str, Any] | None) -> dict[str, Json]:
    wanted = planned.wanted
    if wanted.verb == "delete":
        return {"verified": now is None}
    if now is None:
        return {"verified": False}
    if wanted.kind == "group":
        moved = planned.desired in ("$", now["last_delivered"])
        return {
            "verified": bool(not planned.exists or planned.nothing or moved),
            "last_delivered": now["last_delivered"],
        }
    most = 0 if wanted.verb == "purge" else wanted.config.get("max_length")
    return {"verified": (most is None or now["length"] <= most) and not ("expires" in planned.diff and now["expires"]),
            "messages": now["length"]}  # fmt: skip


def _at(live: dict[str, Any] | None, planned: Planned) -> Any:
    """What has to be the same when the change is made: that it is there, and what would be lost."""
    if live is None:
        return None
    return live if planned.destroys else {key: live[key] for key in ("expires", "last_delivered") if key in live}


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
