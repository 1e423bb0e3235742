"""Joins code, contracts, a broker and tables into one graph."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mcp_backend.contracts.messages import Contract, Index
from mcp_backend.contracts.patterns import subject
from mcp_backend.pipelines import fields
from mcp_backend.pipelines.brokers import Broker, Held, overlaps
from mcp_backend.pipelines.fields import Field, Fields
from mcp_backend.pipelines.linking import Code, Stage
from mcp_backend.pipelines.model import Node, System, Table, Write

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Destination:
    """One name that is published to or read. `keyed`: some publisher gives a key."""

    system: System
    name: str
    contract: Contract | None
    fields: Fields | None
    held: Held | None
    keyed: bool
    closed: bool = False
    """The contract declares exactly one message, so what it requires is required of every publisher."""

    @property
    def id(self) -> str:
        """Its node."""
        return f"{self.system}:{self.name}"


@dataclass(slots=True)
class Joined:
    """Everything that belongs together. Edges are between ids of nodes."""

    nodes: dict[str, Node] = field(default_factory=dict[str, Node])
    edges: dict[tuple[str, str], None] = field(default_factory=dict[tuple[str, str], None])
    destinations: dict[str, Destination] = field(default_factory=dict[str, Destination])
    stages: list[tuple[str, Stage]] = field(default_factory=list[tuple[str, Stage]])
    sources: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The destinations that a stage or table reads, by its node."""
    targets: list[tuple[str, Write, Table]] = field(default_factory=list[tuple[str, Write, Table]])
    tables: dict[str, Table] = field(default_factory=dict[str, Table])


def join(code: Code, index: Index, broker: Broker, tables: Sequence[Table]) -> Joined:
    """The graph of what takes part in pipelines through the broker's system."""
    return _Joining(code, index, broker, tables).joined()


class _Joining:
    def __init__(self, code: Code, index: Index, broker: Broker, tables: Sequence[Table]) -> None:
        self._code, self._index, self._broker, self._tables = code, index, broker, tables
        self._contracts = list(index.contracts())
        self._keyed = {(o.publish.system, o.to) for s in code.stages for o in s.out if o.publish.key}
        self._by_name: dict[str, list[Table]] = {}
        for table in tables:
            self._by_name.setdefault(table.name.lower(), []).append(table)
        self._out = Joined()

    def joined(self) -> Joined:
        """Publishers first, so that readers find what they read."""
        stages = [(self._stage(stage), stage) for stage in self._code.stages]
        for node, stage in stages:
            for out in stage.out:
                self._edge(node, self._destination(out.publish.system, out.to).id)
        self._declared()
        for node, stage in stages:
            for into in stage.into:
                for destination in self._read(into.consume.system, into.of):
                    self._edge(destination.id, node)
                    self._out.sources.setdefault(node, []).append(destination.id)
        self._engine_tables()
        for node, stage in (*stages, *((self._stage(s), s) for s in self._code.writers)):
            for table in stage.reads if stage.out else ():
                self._edge(self._table(table, None), node)
            for write in stage.writes:
                self._edge(node, self._table(write.table, (node, write)))
        self._views()
        self._readers()
        self._out.stages = stages
        return self._kept()

    def _edge(self, source: str, target: str) -> None:
        self._out.edges[source, target] = None

    def _node(self, node: Node) -> str:
        return self._out.nodes.setdefault(node.id, node).id

    def _stage(self, stage: Stage) -> str:
        path = stage.function.path
        name = f"{stage.function.owner}.{stage.name}" if stage.function.owner else stage.name
        groups = [f"group {g}" for g in dict.fromkeys(i.consume.group for i in stage.into) if g]
        return self._node(Node(f"code:{path}:{stage.line}:{name}", "code", name, (f"{path}:{stage.line}", *groups)))

    def _destination(self, system: System, name: str) -> Destination:
        known = self._out.destinations.get(f"{system}:{name}")
        if known is not None:
            return known
        contract = self._contract(name)
        held = self._held(system, name)
        declared, one = self._fields(contract)
        keyed = any(s == system and overlaps(system, n, name) for s, n in self._keyed)
        found = Destination(system, name, contract, declared or self._sent(system, name), held, keyed, one)
        about = [contract.source] if contract else ["no contract"]
        if held is not None and (held.name != name or system == "nats"):
            about.append(f"stream {held.name}")
        if held is not None and held.partitions:
            about.append(f"{held.partitions} partition{'s' if held.partitions > 1 else ''}")
        self._out.destinations[found.id] = found
        self._node(Node(found.id, "destination", name, tuple(about), system))
        return found

    def _contract(self, name: str) -> Contract | None:
        pattern = subject(name)
        fitting = [c for c in self._contracts if c.pattern.overlaps(pattern)]
        return min(fitting, key=lambda c: (c.pattern.text != name, c.pattern.rank)) if fitting else None

    def _held(self, system: System, name: str) -> Held | None:
        if system != self._broker.system:
            return None
        return next((h for h in self._broker.held if any(overlaps(system, name, n) for n in h.names)), None)

    def _fields(self, contract: Contract | None) -> tuple[Fields | None, bool]:
        """The fields of every message of a contract; a field is required when all of them require it."""
        found: list[Fields] = []
        for message in contract.messages if contract else ():
            read = None if message.unchecked or not message.payload else message.payload
            known = fields.of(self._index.documents, read, message.language) if read else None
            if known is None:
                return None, False
            found.append(known)
        if len(found) <= 1:
            return (found[0], True) if found else (None, False)
        merged: dict[str, Field] = {}
        for one in found:
            for name, part in one.by_name.items():
                other = merged.get(name)
                everywhere = all(name in f.by_name and f.by_name[name].required for f in found)
                types = part.types | (other.types if other else frozenset[str]())
                nullable = part.nullable or (other.nullable if other else False)
                merged[name] = Field(name, types, everywhere, nullable, part.form if not other else "")
        return Fields(merged, closed=False), False

    def _sent(self, system: System, name: str) -> Fields | None:
        """Without a contract: the names that all publishers in the code give."""
        sent = [
            o.publish.fields for s in self._code.stages for o in s.out if o.publish.system == system and o.to == name
        ]
        known = [names for names in sent if names is not None]
        if not known or len(known) < len(sent):
            return None
        every = set(known[0]).intersection(*known)
        names = sorted(frozenset[str]().union(*known))
        return Fields({n: Field(n, frozenset(), n in every) for n in names}, closed=False)

    def _declared(self) -> None:
        """Applications that a document says send to what nothing here publishes to."""
        for channel in self._index.channels:
            system = self._broker.system
            spoken = not channel.protocols or any(p.startswith(system) for p in channel.protocols)
            if not channel.sends or not spoken:
                continue
            name = ".".join(t if isinstance(t, str) else ">" if t is True else "*" for t in channel.pattern.tokens)
            if any(d.system == system and overlaps(system, d.name, name) for d in self._out.destinations.values()):
                continue
            path = channel.where.partition("#")[0]
            self._edge(self._node(Node(f"app:{path}", "application", path, ("as declared",))),
                       self._destination(system, name).id)  # fmt: skip

    def _read(self, system: System, name: str) -> list[Destination]:
        found = [d for d in self._out.destinations.values() if d.system == system and overlaps(system, d.name, name)]
        return found or [self._destination(system, name)]

    def _engine_tables(self) -> None:
        for table in self._tables:
            if table.broker is None:
                continue
            node = self._table(table.name, None, table)
            for topic in table.topics:
                for destination in self._read(table.broker, topic):
                    self._edge(destination.id, node)
                    self._out.sources.setdefault(node, []).append(destination.id)

    def _table(self, name: str, written: tuple[str, Write] | None, table: Table | None = None) -> str:
        found = table or next(iter(self._by_name.get(name.lower(), [])), None)
        if found is None:
            return self._node(Node(f"table:?:{name}", "table", name, ("in no schema that was read",)))
        about = [f"{found.engine}, {found.kind or found.system}"]
        if found.keys:
            about.append("key " + ", ".join(sorted(found.keys[0])))
        node = f"table:{found.engine}:{found.name}"
        kind = "view" if found.kind == "MaterializedView" else "table"
        self._node(Node(node, kind, found.name, tuple(about), found.system))
        self._out.tables[node] = found
        if written is not None:
            self._out.targets.append((*written, found))
        return node

    def _views(self) -> None:
        """What materialised views carry on from the tables that are in it already."""
        views = [t for t in self._tables if t.kind == "MaterializedView"]
        todo = list(self._out.tables)
        while todo:
            node = todo.pop()
            source = self._out.tables[node]
            for view in views:
                if view.engine != source.engine or source.name not in view.reads:
                    continue
                known = f"table:{view.engine}:{view.name}" in self._out.tables
                at = self._table(view.name, None, view)
                self._edge(node, at)
                if view.feeds:
                    target = self._table(view.feeds, None)
                    self._edge(at, target)
                    if not known and target in self._out.tables:
                        todo.append(target)
                if not known:
                    todo.append(at)

    def _readers(self) -> None:
        """Readers that the broker knows and the code here does not: other services."""
        system = self._broker.system
        groups = {i.consume.group for s in self._code.stages for i in s.into if i.consume.system == system}
        groups |= {t.settings.get(k, "") for t in self._tables for k in ("group_name", "consumer_name")}
        for destination in list(self._out.destinations.values()):
            if destination.system != system or destination.held is None:
                continue
            for reader in destination.held.readers:
                if reader.name in groups or not _reads(system, reader.filters, destination.name):
                    continue
                about = ("not in this code", *((f"lag {reader.lag:,}",) if reader.lag is not None else ()))
                name = f"reader:{destination.held.name}:{reader.name}"
                self._edge(destination.id, self._node(Node(name, "consumer", reader.name, about, system)))

    def _kept(self) -> Joined:
        """Only what hangs together with a destination of this system."""
        near: dict[str, set[str]] = {}
        for source, target in self._out.edges:
            near.setdefault(source, set()).add(target)
            near.setdefault(target, set()).add(source)
        kept: set[str] = set()
        todo = [d.id for d in self._out.destinations.values() if d.system == self._broker.system and d.id in near]
        while todo:
            if (node := todo.pop()) not in kept:
                kept.add(node)
                todo += near.get(node, set()) - kept
        out = self._out
        return Joined(
            _only(out.nodes, kept), {e: None for e in out.edges if e[0] in kept}, _only(out.destinations, kept),
            [(n, s) for n, s in out.stages if n in kept], _only(out.sources, kept),
            [t for t in out.targets if t[0] in kept], _only(out.tables, kept),
        )  # fmt: skip


def _only(found: Mapping[str, T], kept: Iterable[str]) -> dict[str, T]:
    return {name: value for name, value in found.items() if name in kept}


def _reads(system: System, filters: Sequence[str], name: str) -> bool:
    return not filters or any(overlaps(system, one, name) for one in filters)
