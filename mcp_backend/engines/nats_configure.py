"""Changing streams and consumers of NATS as raw JSON, so that settings a newer server has are never lost.

https://docs.nats.io/nats-concepts/jetstream/streams#configuration and …/consumers#configuration
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

from mcp_backend.engines.configuring import Planned, Wanted, difference, nanoseconds
from mcp_backend.engines.nats import NANOSECONDS, JetStreamError, Nats, NoJetStream
from mcp_backend.engines.nats_connection import Denied, NoResponders, NotSent, Unanswered
from mcp_backend.engines.nats_findings import MEANING, of_consumer, of_stream
from mcp_backend.engines.nats_topology import Consumer, Held
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

WRITE_SECONDS = 5.0
_DURATIONS = frozenset({
    "max_age", "duplicate_window", "ack_wait", "inactive_threshold", "idle_heartbeat", "max_expires",
    "subject_delete_marker_ttl", "backoff",
})  # fmt: skip
_NAME = re.compile(r"[^\s.*>/\\]{1,200}")
_LIMITS = ("max_msgs", "max_bytes", "max_age", "max_msgs_per_subject")
_STREAM_DEFAULTS: dict[str, Any] = {"retention": "limits", "storage": "file", "num_replicas": 1, "discard": "old"}
_CONSUMER_DEFAULTS: dict[str, Any] = {"ack_policy": "explicit", "deliver_policy": "all", "replay_policy": "instant"}


class NatsConfigurer:
    """Plans and makes changes of streams and consumers."""

    def __init__(self, nats: Nats) -> None:
        self._nats = nats

    @property
    def settings(self) -> EngineSettings:
        """The engine's entry of the policy."""
        return self._nats.settings

    async def plan(self, wanted: Wanted) -> Planned:
        """What the change would do. Raises `InvalidArgument`, `NotFound`, `PermissionDenied`, `Unavailable`."""
        if wanted.kind not in ("stream", "consumer"):
            raise InvalidArgument(f"kind: NATS has streams and consumers, not {wanted.kind!r}")
        if wanted.kind == "consumer" and not wanted.of:
            raise InvalidArgument("of: a consumer needs the stream it belongs to")
        for name in (wanted.name, *([wanted.of] if wanted.kind == "consumer" else [])):
            if not _NAME.fullmatch(name) or name.startswith("$"):
                raise InvalidArgument("name: expected letters, digits, - and _ (no dots, spaces, wildcards)")
        if wanted.verb == "reset":
            raise InvalidArgument(
                'action: a consumer cannot be moved in place; make another with "deliver_policy": "by_start_sequence" '
                'and "opt_start_seq", then delete this one'
            )
        live = await self._live(wanted)
        if live is None and (wanted.verb != "set"):
            raise NotFound(f"{wanted.kind} {wanted.name} does not exist; message_topology lists what does")
        planned = await (self._stream(wanted, live) if wanted.kind == "stream" else self._consumer(wanted, live))
        return replace(planned, at=_version(live, planned))

    async def apply(self, planned: Planned) -> dict[str, Json]:
        """Makes the change and reads it back. Raises as `Configurer.apply` does."""
        wanted = planned.wanted
        if _version(await self._live(wanted), planned) != planned.at:
            raise Aborted(f"{wanted.kind} {wanted.name} changed since this was planned; look at the new diff first")
        verb, request = _request(planned)
        try:
            answer = json.loads(await self._nats.ask(f"$JS.API.{verb}", request, seconds=WRITE_SECONDS))
        except (NotSent, NoResponders) as error:
            raise self._nats.unavailable(str(error), "timeout") from error
        except Denied as error:
            raise PermissionDenied(f"engine {self.settings.name}: {error}; nothing was changed") from error
        except Unanswered as error:
            return await self._settle(planned, str(error))
        if isinstance(answer.get("error"), dict):
            refusal = JetStreamError(cast("dict[str, Any]", answer["error"]))
            kind = InvalidArgument if refusal.code == 400 else FailedPrecondition
            raise kind(
                f"engine {self.settings.name} refuses to {wanted}: {refusal}. Nothing was changed; correct the change",
                details={"err_code": refusal.err_code},
            )
        told: dict[str, Json] = {"purged": int(answer["purged"])} if "purged" in answer else {}
        return told | self._read_back(planned, await self._live(wanted))

    async def _settle(self, planned: Planned, why: str) -> dict[str, Json]:
        """The answer got lost: what is there now tells whether the change was made."""
        try:
            now = await self._live(planned.wanted)
        except BackendError as error:
            raise OutcomeUnknown(f"whether to {planned.wanted} happened is unknown: {why}; {error.reason}") from error
        told = self._read_back(planned, now)
        if not told["verified"]:
            raise OutcomeUnknown(f"whether to {planned.wanted} happened is unknown: {why}; look before you repeat it")
        return told

    def _read_back(self, planned: Planned, now: dict[str, Any] | None) -> dict[str, Json]:
        wanted = planned.wanted
        if wanted.verb == "delete":
            return {"verified": now is None}
        if now is None:
            return {"verified": False}
        if wanted.verb == "purge":
            return {"verified": True, "messages": int(now["state"]["messages"])}
        after = _config(now)
        missed = [name for name, (_, value) in planned.diff.items() if after.get(name) != value]
        told: dict[str, Json] = {"verified": not missed}
        if missed:
            told["not_taken"] = {name: after.get(name) for name in missed}
        before = _config(planned.live) if planned.live else {}
        moved = [name for name in difference(before, after) if planned.live and name not in planned.diff]
        if moved:
            told["moved_unasked"] = {name: [before.get(name), after.get(name)] for name in moved}
        return told

    async def _live(self, wanted: Wanted) -> dict[str, Any] | None:
        verb = f"STREAM.INFO.{wanted.name}"
        if wanted.kind == "consumer":
            verb = f"CONSUMER.INFO.{wanted.of}.{wanted.name}"
        try:
            return await self._nats.api(verb)
        except NoJetStream as error:
            raise FailedPrecondition(f"engine {self.settings.name}: no JetStream, so there are no streams") from error
        except Denied as error:
            raise PermissionDenied(f"engine {self.settings.name}: {error}; a person grants it") from error
        except JetStreamError as error:
            if error.err_code == 10059 and wanted.kind == "consumer":
                raise NotFound(f"of: there is no stream {wanted.of}; message_topology lists what exists") from error
            if error.code == 404:
                return None
            raise self._nats.unavailable(f"JetStream: {error}", "protocol") from error

    async def _stream(self, wanted: Wanted, live: dict[str, Any] | None) -> Planned:
        state = cast("dict[str, Any]", live["state"]) if live else {}
        messages = int(state.get("messages", 0))
        consumers = int(state.get("consumer_count", 0))
        impact: dict[str, Json] = (
            {"messages": messages, "bytes": state.get("bytes", 0), "consumers": consumers} if live else {}
        )
        if wanted.verb in ("delete", "purge"):
            lost = f"{messages:,} messages"
            if wanted.verb == "delete":
                lost += f" and {consumers} consumers" if consumers else ""
            destroys = lost if messages or (wanted.verb == "delete" and consumers) else ""
            return Planned(wanted, True, {}, live, None, destroys, impact=impact)
        before = _config(live) if live else {}
        desired = _merged(before or {"name": wanted.name, **_STREAM_DEFAULTS}, wanted.config)
        if not live and "duplicate_window" not in desired:
            desired["duplicate_window"] = min(120 * NANOSECONDS, int(desired.get("max_age") or 120 * NANOSECONDS))
        if not live and not desired.get("subjects") and not desired.get("mirror") and not desired.get("sources"):
            raise InvalidArgument('config.subjects: a new stream needs subjects, such as ["orders.>"]')
        diff = difference(before, desired)
        destroys = "; ".join(self._losses(before, desired, state)) if live else ""
        info = {"config": desired, "state": state, "cluster": live.get("cluster") if live else None}
        held = Held("stream", wanted.name, wanted.name, tuple(desired.get("subjects") or ()), info)
        old = Held("stream", wanted.name, wanted.name, tuple(before.get("subjects") or ()), {**info, "config": before})
        known = {f.id for f in of_stream(old, self.settings.environment)} if live else set[str]()
        hazards = [
            (f.id, MEANING[f.id][1]) for f in of_stream(held, self.settings.environment)
            if f.id not in known and f.id != "no_consumer"
        ]  # fmt: skip
        hazards += _tightened(before, desired) if live else ()
        gone = [s for s in before.get("subjects") or () if s not in (desired.get("subjects") or ())]
        if gone:
            hazards.append(
                ("uncaptured_subjects", f"nothing stores {', '.join(gone[:5])} any more: publishing there is lost")
            )
        return Planned(wanted, live is not None, diff, live, desired, destroys, tuple(hazards), impact)

    def _losses(self, before: Mapping[str, Any], after: Mapping[str, Any], state: Mapping[str, Any]) -> Iterator[str]:
        """What a stricter limit deletes at once."""
        messages, size = int(state.get("messages", 0)), int(state.get("bytes", 0))
        if not messages:
            return
        if _stricter(before, after, "max_msgs") and messages > int(after["max_msgs"]):
            yield f"the oldest {messages - int(after['max_msgs']):,} of {messages:,} messages (max_msgs)"
        if _stricter(before, after, "max_bytes") and size > int(after["max_bytes"]):
            yield f"the oldest {size - int(after['max_bytes']):,} of {size:,} bytes (max_bytes)"
        if _stricter(before, after, "max_msgs_per_subject") and messages > int(state.get("num_subjects", 1)):
            yield f"older messages of each subject beyond {after['max_msgs_per_subject']} (max_msgs_per_subject)"
        if _stricter(before, after, "max_age"):
            limit = datetime.now(UTC).timestamp() - int(after["max_age"]) / NANOSECONDS
            first = datetime.fromisoformat(str(state["first_ts"])[:19]).replace(tzinfo=UTC).timestamp()
            if first < limit:
                yield f"messages older than {int(after['max_age']) / NANOSECONDS:,.0f} s (max_age)"
        if before.get("retention") != after.get("retention"):
            yield f"what no consumer waits for (retention {before.get('retention')} to {after.get('retention')})"

    async def _consumer(self, wanted: Wanted, live: dict[str, Any] | None) -> Planned:
        stream = await self._nats.api(f"STREAM.INFO.{wanted.of}") if live is None else None
        if stream is None and live is None:
            raise NotFound(f"of: there is no stream {wanted.of}")
        if wanted.verb == "purge":
            raise InvalidArgument("action: a consumer holds no messages; purge its stream, or delete the consumer")
        waiting = int(live.get("num_pending", 0)) + int(live.get("num_ack_pending", 0)) if live else 0
        impact: dict[str, Json] = {"lag": waiting} if live else {}
        if wanted.verb == "delete":
            lost = f"the position of the consumer: {waiting:,} messages it has not acknowledged" if waiting else ""
            return Planned(wanted, True, {}, live, None, lost, impact=impact)
        before = _config(live) if live else {}
        fresh = {"durable_name": wanted.name, "name": wanted.name, **_CONSUMER_DEFAULTS}
        desired = _merged(before or fresh, wanted.config)
        diff = difference(before, desired)
        info: dict[str, Any] = {"name": wanted.name, "stream_name": wanted.of, "config": desired}
        held = Held("stream", wanted.of, wanted.of, (), {"config": {}, "state": {}})
        now = datetime.now(UTC)
        known = (
            {f.id for f in of_consumer(Consumer(wanted.of, wanted.name, 0, {**info, "config": before}), held, (), now)}
            if live
            else set[str]()
        )
        found = of_consumer(Consumer(wanted.of, wanted.name, 0, info), held, (), now)
        hazards = tuple((f.id, MEANING[f.id][1]) for f in found if f.id not in known)
        if desired.get("ack_policy") == "none":
            hazards += (
                ("no_acknowledgement", "ack_policy none: a message is gone once it was handed over, handled or not"),
            )
        return Planned(wanted, live is not None, diff, live, desired, "", hazards, impact)


def _tightened(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a stream keeps less of from now on, whether or not a message goes at once."""
    if cut := [name for name in _LIMITS if _stricter(before, after, name)]:
        yield "retention_cut", f"keeps less than before ({', '.join(cut)}): who is behind misses what goes sooner"
    if before.get("discard", "old") != (kind := after.get("discard", "old")):
        meant = "the newest are refused at the limit" if kind == "new" else "the oldest go at the limit, read or not"
        yield "discard_policy", f"discard {kind}: {meant}"
    if int(after.get("num_replicas", 1)) < int(before.get("num_replicas", 1)):
        yield "fewer_replicas", "fewer replicas than before: fewer nodes may be lost until it stops or is lost"


def _request(planned: Planned) -> tuple[str, bytes]:
    wanted = planned.wanted
    if wanted.kind == "stream":
        if wanted.verb in ("delete", "purge"):
            return f"STREAM.{wanted.verb.upper()}.{wanted.name}", b""
        verb = "UPDATE" if planned.exists else "CREATE"
        return f"STREAM.{verb}.{wanted.name}", json.dumps(planned.desired).encode()
    if wanted.verb == "delete":
        return f"CONSUMER.DELETE.{wanted.of}.{wanted.name}", b""
    body = {"stream_name": wanted.of, "config": planned.desired, "action": "update" if planned.exists else "create"}
    filtered = planned.desired.get("filter_subject")
    place = f"CONSUMER.CREATE.{wanted.of}.{wanted.name}" + (f".{filtered}" if filtered else "")
    return place, json.dumps(body).encode()


def _merged(before: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the wanted fields; `null` takes one away."""
    merged = dict(before)
    for name, value in config.items():
        if name in ("name", "durable_name") and value != before.get(name, value):
            raise InvalidArgument(f"config.{name}: a name cannot be changed")
        if value is None:
            merged.pop(name, None)
        elif name in _DURATIONS and isinstance(value, list):
            merged[name] = [nanoseconds(f"config.{name}", item) for item in cast("list[Any]", value)]
        else:
            merged[name] = nanoseconds(f"config.{name}", value) if name in _DURATIONS else value
    return merged


def _config(info: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration, without the metadata that the server itself writes into it."""
    config = dict(cast("dict[str, Any]", info["config"]))
    written = cast("dict[str, str]", config.pop("metadata", None) or {})
    metadata = {name: value for name, value in written.items() if not name.startswith("_nats.")}
    return config | ({"metadata": metadata} if metadata else {})


def _stricter(before: Mapping[str, Any], after: Mapping[str, Any], name: str) -> bool:
    """Whether a limit is lower than before; none, 0 and -1 are no limit."""
    old, new = int(before.get(name) or -1), int(after.get(name) or -1)
    return new > 0 and (old <= 0 or new < old)


def _version(live: dict[str, Any] | None, planned: Planned) -> Any:
    """What has to be the same when the change is made: the configuration, and what would be destroyed."""
    if live is None:
        return None
    state = cast("dict[str, Any]", live.get("state") or {})
    counts = [state.get(key) for key in ("first_seq", "last_seq", "messages", "consumer_count")]
    return [_config(live), live.get("created"), counts if planned.destroys else None]
