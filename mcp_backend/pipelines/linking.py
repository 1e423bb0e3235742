"""What functions do together: constants get their texts, wrappers their destinations, handlers what they call."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from mcp_backend.pipelines.model import UNKNOWN, Consume, Function, Publish, Source, System, Text, Write

T = TypeVar("T")
DEPTH = 5
"""Calls that are followed from a handler."""
_USUAL = frozenset((
    "main", "init", "close", "start", "stop", "connect", "execute", "publish", "send", "subscribe", "fetch", "json",
    "error", "logger", "print", "append", "setup", "config", "client", "data", "message",
))  # fmt: skip
"""Names that are followed within a file only: elsewhere they mean too many things."""
_HANDLERS = frozenset(
    ("ConsumeClaim", "Handle", "HandleMessage", "Process", "__call__", "handle", "process", "on_message", "run")
)


@dataclass(frozen=True, slots=True)
class Out:
    """A publish whose destination is known, with what of it may be anything as `*`."""

    publish: Publish
    to: str
    path: str


@dataclass(frozen=True, slots=True)
class Into:
    """A reading place whose source is known."""

    consume: Consume
    of: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A function that takes part in a pipeline, with everything it does through what it calls."""

    function: Function
    into: tuple[Into, ...]
    out: tuple[Out, ...]
    writes: tuple[Write, ...]
    reads: frozenset[str]
    names: frozenset[str]
    converted: frozenset[str]
    side_by_side: bool
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class Code:
    """What the code of a workspace says. `unresolved` are places whose destination is only known at run time."""

    stages: tuple[Stage, ...] = ()
    writers: tuple[Stage, ...] = ()
    """What only writes, to a table that something takes messages from."""
    unresolved: tuple[str, ...] = ()
    unread: str = ""
    """Why the code was not looked at."""


def linked(sources: Sequence[Source]) -> Code:
    """The stages of some sources."""
    return _Linking(sources).code()


class _Linking:
    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = {source.path: source for source in sources}
        self._functions = [function for source in sources for function in source.functions]
        self._named: dict[str, list[Function]] = defaultdict(list)
        self._owned: dict[str, list[Function]] = defaultdict(list)
        for function in self._functions:
            self._named[function.name].append(function)
            self._owned[function.owner].append(function)
        self._constants = _unique((n, t) for s in sources for n, t in s.constants.items())
        self._statements = _unique((n, w) for s in sources for n, w in s.statements.items())
        self._unresolved: list[str] = []
        self._wrapped = self._wrappers()

    def code(self) -> Code:
        """Consumers first: what they call belongs to them, everything else that publishes is a producer."""
        stages: list[Stage] = []
        within: set[int] = set()
        for function in self._functions:
            for handling, group in self._handlings(function):
                stage, reached = self._stage(function, handling, group)
                stages.append(stage)
                within |= reached
        stages += [self._producer(f) for f in self._functions if id(f) not in within and self._out(f)]
        outboxes = {table for stage in stages if stage.out for table in stage.reads}
        known = {(s.function.path, s.name) for s in stages}
        writers = [
            self._producer(f) for f in self._functions
            if (f.path, f.name) not in known and any(w.table in outboxes for w in self._writes(f))
        ]  # fmt: skip
        return Code(tuple(stages), tuple(writers), tuple(dict.fromkeys(self._unresolved)))

    def _wrappers(self) -> Mapping[str, list[tuple[Publish, int]]]:
        """Functions that publish to what they are given, by name, and which parameter that is."""
        found: dict[str, list[tuple[Publish, int]]] = defaultdict(list)
        for function in self._functions:
            for publish in function.publishes:
                if len(publish.to) == 1 and publish.to[0][0] and publish.to[0][1] in function.parameters:
                    found[function.name].append((publish, function.parameters.index(publish.to[0][1])))
        return found

    def _handlings(self, function: Function) -> list[tuple[Consume | None, list[Consume]]]:
        """The consumes of a function by what handles them: a callback each, or the function itself."""
        if not function.consumes:
            return []
        own = [c for c in function.consumes if not c.through]
        others = [(c, [c]) for c in function.consumes if c.through]
        return [*((((None, own),)) if own else ()), *others]

    def _stage(self, function: Function, callback: Consume | None, consumes: list[Consume]) -> tuple[Stage, set[int]]:
        if callback is None:
            elsewhere = _all(c.through for c in function.consumes)
            reached = self._reached(function, function.names - elsewhere)
            spans = [c.span for c in function.consumes if c.span[0]]
            first, name, line = [_without(function, spans)], function.name, 0
        else:
            reached = self._reached(function, callback.through)
            named = [f for f in reached if f.name in callback.through]
            first = [_part(function, callback.span)] if callback.span[0] else []
            name = named[0].name if len(named) == 1 and not callback.span[0] else function.name
            line = callback.line
            if not callback.span[0] and named:
                function, line = named[0], 0
        parts = [*first, *reached]
        into = tuple(i for c in consumes if (i := self._into(function, c)) is not None)
        stage = self._together(function, parts, into, name or function.path.rpartition("/")[2], line)
        return stage, {id(f) for f in (function, *reached)}

    def _producer(self, function: Function) -> Stage:
        return self._together(function, [function], (), function.name or function.path.rpartition("/")[2], 0)

    def _together(
        self, function: Function, parts: Sequence[Function], into: tuple[Into, ...], name: str, line: int
    ) -> Stage:
        return Stage(
            function, into, tuple(o for part in parts for o in self._out(part)),
            tuple(dict.fromkeys(w for part in parts for w in self._writes(part))),
            _all(part.reads for part in parts), _all(part.names for part in parts),
            _all(part.converted for part in parts), any(part.side_by_side for part in parts), name,
            line or function.line,
        )  # fmt: skip

    def _reached(self, function: Function, names: Iterable[str]) -> list[Function]:
        """The functions that words of a function may call, and what those call."""
        found: dict[int, Function] = {}
        todo = [(function, frozenset(names), 0)]
        while todo:
            caller, words, depth = todo.pop()
            for word in words:
                for called in self._called(caller, word):
                    if id(called) not in found and called is not function:
                        found[id(called)] = called
                        if depth < DEPTH:
                            todo.append((called, called.names, depth + 1))
        return sorted(found.values(), key=lambda f: (f.path != function.path, f.path, f.line))

    def _called(self, caller: Function, word: str) -> list[Function]:
        candidates = self._named.get(word, [])
        here = [f for f in candidates if f.path == caller.path]
        if here:
            own = [f for f in here if f.owner == caller.owner]
            return (own or here)[:1]
        if candidates:
            return candidates if len(candidates) == 1 and len(word) > 3 and word not in _USUAL else []
        methods = self._owned.get(word, []) if word else []
        return [f for f in methods if f.name in _HANDLERS]

    def _out(self, function: Function) -> list[Out]:
        found: list[Out] = []
        for publish in function.publishes:
            to = self._text(function, publish.to, publish.system)
            if to is not None:
                found.append(Out(publish, to, function.path))
            elif not (len(publish.to) == 1 and publish.to[0][1] in function.parameters):
                self._unresolved.append(f"{function.path}:{publish.line}")
        for name, given, fields, line in function.calls:
            for publish, at in self._wrapped.get(name, ()):
                index = at if at < len(given) else 0
                to = self._text(function, given[index], publish.system) if given else None
                if to is not None and _address(to):
                    found.append(Out(replace(publish, line=line, fields=fields, to=given[index]), to, function.path))
        return found

    def _into(self, function: Function, consume: Consume) -> Into | None:
        of = self._text(function, consume.of, consume.system)
        if of is None:
            self._unresolved.append(f"{function.path}:{consume.line}")
            return None
        return Into(consume, of)

    def _writes(self, function: Function) -> list[Write]:
        source = self._sources[function.path]
        named = [
            replace(write, line=function.line)
            for word in function.names
            if (write := source.statements.get(word) or self._statements.get(word)) is not None
        ]
        return [*function.writes, *sorted(named, key=lambda w: w.table)]

    def _text(self, function: Function, text: Text, system: System) -> str | None:
        """What a text in code comes to, `None` when nothing of it is known."""
        constants = self._sources[function.path].constants
        pieces: list[str] = []
        for reference, piece in text:
            if not reference:
                pieces.append(piece)
                continue
            known = constants.get(piece) or self._constants.get(piece)
            whole = all(not inner for inner, _ in known) if known else False
            pieces.append("".join(p for _, p in known) if known and whole else UNKNOWN)
        found = "".join(pieces)
        if not found.strip(UNKNOWN + "."):
            return None
        if system == "nats":
            return ".".join(UNKNOWN if UNKNOWN in token else token for token in found.split("."))
        return found


def _address(text: str) -> bool:
    """Whether a text can be a destination at all: arguments of a wrapper may be anything."""
    return bool(text) and len(text) < 200 and not any(c in text for c in " \n{}<>\"'") and text != UNKNOWN


def _part(function: Function, span: tuple[int, int]) -> Function:
    """What a function does within some of its lines."""
    first, last = span
    return replace(
        function, consumes=(), publishes=tuple(p for p in function.publishes if first <= p.line <= last),
        writes=tuple(w for w in function.writes if first <= w.line <= last),
        calls=tuple(c for c in function.calls if first <= c[3] <= last), names=frozenset(), side_by_side=False,
    )  # fmt: skip


def _without(function: Function, spans: Sequence[tuple[int, int]]) -> Function:
    """What a function does outside of some of its lines."""

    def outside(line: int) -> bool:
        return not any(first <= line <= last for first, last in spans)

    return replace(
        function, publishes=tuple(p for p in function.publishes if outside(p.line)),
        writes=tuple(w for w in function.writes if outside(w.line)),
        calls=tuple(c for c in function.calls if outside(c[3])),
    ) if spans else function  # fmt: skip


def _all(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(word for words in sets for word in words)


def _unique(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What has one meaning in the whole workspace."""
    found: dict[str, list[T]] = defaultdict(list)
    for name, value in pairs:
        if value not in found[name]:
            found[name].append(value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}
