"""What a Python source publishes, reads and writes. Clients: nats-py, aiokafka, kafka-python, confluent-kafka,
redis-py, FastStream; statements in strings, asyncpg's copies, clickhouse-connect's inserts, models of SQLAlchemy."""

import re
from typing import TYPE_CHECKING

from mcp_backend.pipelines import clients, statements
from mcp_backend.pipelines.model import Consume, Function, Publish, Source, System, Text, Write
from mcp_backend.pipelines.nodes import AT_ONCE, CONVERTS, arguments, text_of, walk, words
from mcp_backend.pipelines.python_nodes import (
    callee,
    decorators,
    in_class,
    in_transaction,
    inside_of,
    keyword,
    last,
    owner_of,
    parameters,
    spelled,
    streams_of,
)
from mcp_backend.workspace.symbols import languages, parsing

if TYPE_CHECKING:
    from tree_sitter import Node

PUBLISH: dict[str, tuple[System, ...]] = {
    "publish": ("nats", "redis"), "publish_async": ("nats",), "request": ("nats",), "send": ("kafka",),
    "send_and_wait": ("kafka",), "produce": ("kafka",), "xadd": ("redis",), "spublish": ("redis",),
}  # fmt: skip
CONSUME: dict[str, tuple[System, ...]] = {
    "subscribe": ("nats", "kafka", "redis"), "pull_subscribe": ("nats",), "subscribe_core": ("nats",),
    "psubscribe": ("redis",), "ssubscribe": ("redis",), "xreadgroup": ("redis",), "xread": ("redis",),
    "AIOKafkaConsumer": ("kafka",), "KafkaConsumer": ("kafka",), "subscriber": ("nats", "kafka", "redis"),
}  # fmt: skip
_MANUAL = re.compile(rb"enable[._]auto[._]commit[\"']?\s*[=:]\s*[\"']?(?:False|false)|auto_commit\s*=\s*False")
_GROUP = re.compile(rb"[\"']group\.id[\"']\s*:\s*[\"']([^\"']+)[\"']")
Shapes = dict[str, frozenset[str]]


def read(path: str, data: bytes) -> Source:
    """What is in one source; of one that is broken, what can be made out."""
    grammar = languages.of(path)
    assert grammar is not None, "a Python source"
    root = parsing.tree(data, grammar).root_node
    return _Reading(path, data, root).source()


class _Reading:
    """One file while it is read."""

    def __init__(self, path: str, data: bytes, root: "Node") -> None:
        self._path, self._root = path, root
        self._imports = clients.imported(data)
        self._manual = _MANUAL.search(data) is not None
        group = _GROUP.search(data)
        self._group = group[1].decode("utf-8", "replace") if group else ""
        self._constants: dict[str, Text] = {}
        self._statements: dict[str, Write] = {}
        self._shapes: Shapes = {}
        self._models: dict[str, str] = {}
        self._made: dict[str, System] = {}

    def source(self) -> Source:
        """Everything that was found."""
        functions: list[tuple[Node, str]] = []
        for node in walk(self._root):
            if node.type == "assignment":
                self._assigned(node)
            elif node.type in ("typed_parameter", "typed_default_parameter"):
                self._annotated(node)
            elif node.type == "class_definition":
                self._class(node)
            elif node.type == "function_definition":
                functions.append((node, owner_of(node)))
        found = [self._function(node, owner) for node, owner in functions]
        top = self._function(self._root, "", name="")
        return Source(self._path, tuple(f for f in (*found, top) if f is not None), self._constants, self._statements)

    def _assigned(self, node: "Node") -> None:
        left, right = node.child_by_field_name("left"), node.child_by_field_name("right")
        if left is None or right is None:
            return
        name = text_of(left).rpartition(".")[2]
        if right.type in ("call", "await") and (made := clients.made_from(text_of(right)[:200])):
            self._made[name] = made
        outer = node.parent.parent if node.parent is not None else None
        if outer is None or not (outer.type == "module" or (outer.type == "block" and in_class(outer))):
            return
        if (text := spelled(right)) is not None:
            self._constants[name] = text
            whole = "".join(piece for _, piece in text)
            if (write := statements.write(whole, node.start_point[0] + 1)) is not None:
                self._statements[name] = write

    def _annotated(self, node: "Node") -> None:
        kind = node.child_by_field_name("type")
        if node.named_child_count and (made := clients.made_from(text_of(kind))):
            self._made[text_of(node.child_by_field_name("name") or node.named_children[0])] = made

    def _class(self, node: "Node") -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is None or body is None:
            return
        fields: set[str] = set()
        for statement in body.named_children:
            inner = statement.named_children[0] if statement.type == "expression_statement" else statement
            if inner.type != "assignment" or (left := inner.child_by_field_name("left")) is None:
                continue
            right = inner.child_by_field_name("right")
            if text_of(left) == "__tablename__" and right is not None:
                self._models[text_of(name)] = text_of(right).strip("\"'")
            elif inner.child_by_field_name("type") is not None and left.type == "identifier":
                fields.add(text_of(left))
        if fields:
            self._shapes[text_of(name)] = frozenset(fields)

    def _function(self, node: "Node", owner: str, name: str | None = None) -> Function | None:
        """What one function does; for the module itself, what stands outside of all. `None` when that is nothing."""
        publishes: list[Publish] = []
        consumes: list[Consume] = []
        writes: list[Write] = []
        reads: set[str] = set()
        converted: set[str] = set()
        calls: list[tuple[str, tuple[Text, ...], frozenset[str] | None, int]] = []
        side_by_side = False
        local: dict[str, Node] = {}
        inside = list(inside_of(node))
        for part in inside:
            if part.type == "assignment" and (left := part.child_by_field_name("left")) is not None:
                right = part.child_by_field_name("right")
                if left.type == "identifier" and right is not None:
                    local[text_of(left)] = right
        for part in inside:
            if part.type in ("string", "concatenated_string"):
                if part.parent is not None and part.parent.type in ("concatenated_string", "expression_statement"):
                    continue
                text = "".join(piece for _, piece in spelled(part) or ())
                if (write := statements.write(text, part.start_point[0] + 1)) is not None:
                    writes.append(write)
                if table := statements.outbox(text):
                    reads.add(table)
            elif part.type == "call":
                method, receiver = callee(part)
                side_by_side = side_by_side or method in AT_ONCE
                if method in CONVERTS:
                    converted |= words(part)
                if (publish := self._publish(part, method, receiver, local)) is not None:
                    publishes.append(publish)
                elif found := self._consume(part, method, receiver, local):
                    consumes += found
                elif (write := self._added(part, method)) is not None:
                    writes.append(write)
                elif method and name is None:
                    given = tuple(t for a in arguments(part) if (t := spelled(a)) is not None)
                    if given:
                        fields = next((f for a in arguments(part) if (f := self._fields(a, local)) is not None), None)
                        calls.append((method, given, fields, part.start_point[0] + 1))
        for decorator in decorators(node):
            method, receiver = callee(decorator)
            if method == "subscriber":
                consumes += self._consume(decorator, method, receiver, local)
            elif method == "publisher":
                text = self._destination(decorator, ("subject", "topic", "channel"))
                system = clients.system(receiver, clients.SYSTEMS, self._imports, self._made)
                publishes += [Publish(system, text, decorator.start_point[0] + 1)] if text and system else []
        if name is not None and not (publishes or consumes or writes):
            return None
        own = node.child_by_field_name("name")
        return Function(
            self._path, name if name is not None else text_of(own) if own else "", owner, node.start_point[0] + 1,
            parameters(node), tuple(publishes), tuple(consumes), tuple(writes), frozenset(reads),
            frozenset(w for part in inside if part.type == "identifier" for w in (text_of(part),))
            | frozenset(text_of(part).strip("\"'") for part in inside if part.type == "string_content"),
            frozenset(converted), side_by_side, tuple(calls),
        )  # fmt: skip

    def _publish(self, call: "Node", method: str, receiver: str, local: "dict[str, Node]") -> Publish | None:
        if method not in PUBLISH or not receiver:
            return None
        common = method in ("send", "request")
        system = clients.system(receiver, PUBLISH[method], self._imports, self._made, common=common)
        text = self._destination(call, ("subject", "topic", "name", "channel"))
        if system is None or not text:
            return None
        positional = [a for a in arguments(call) if a.type != "keyword_argument"]
        payload = keyword(call, "payload", "value", "fields", "message") or (
            positional[1] if len(positional) > 1 else None
        )
        key = keyword(call, "key") if system == "kafka" else None
        if key is None and system == "kafka" and len(positional) > 2:
            key = positional[2]
        return Publish(
            system, text, call.start_point[0] + 1, last(text_of(key)) if key is not None else "",
            self._fields(payload, local) if payload is not None else None, in_transaction(call),
        )  # fmt: skip

    def _consume(self, call: "Node", method: str, receiver: str, local: "dict[str, Node]") -> list[Consume]:
        if method not in CONSUME or (not receiver and not method[0].isupper()):
            return []
        among = CONSUME[method]
        system = among[0] if len(among) == 1 else clients.system(receiver, among, self._imports, self._made)
        if system is None:
            return []
        group = keyword(call, "durable", "queue", "group_id", "groupname", "group")
        positional = [a for a in arguments(call) if a.type != "keyword_argument"]
        if group is None and method == "pull_subscribe" and len(positional) > 1:
            group = positional[1]
        places = positional
        if method in ("xreadgroup", "xread"):
            at = 2 if method == "xreadgroup" else 0
            streams = keyword(call, "streams") or (positional[at] if len(positional) > at else None)
            places = streams_of(streams, local) if streams is not None else []
            group = group or (positional[0] if method == "xreadgroup" and positional else None)
        elif system == "nats":
            places = [named] if (named := keyword(call, "subject")) is not None else positional[:1]
        elif method == "subscribe" and system == "kafka":
            listed = keyword(call, "topics") or (positional[0] if positional else None)
            places = listed.named_children if listed is not None and listed.type in ("list", "tuple") else []
        name = "".join(p for _, p in spelled(group) or ()) if group is not None else ""
        acknowledges = system != "kafka" or self._manual or method == "subscriber"
        core = method == "subscribe" and system == "nats" and not re.search(r"(?i)js|jet|stream", receiver)
        heard = method in ("psubscribe", "ssubscribe") or (method == "subscribe" and system == "redis")
        once = core or heard or method == "subscribe_core"
        texts = [
            text for place in places if (text := spelled(place) or (((True, "?"),) if system == "redis" else None))
        ]
        callback = keyword(call, "cb", "callback", "handler")
        through = frozenset(words(callback)) if callback is not None else frozenset[str]()
        name = name or (self._group if system == "kafka" else "")
        return [Consume(system, t, call.start_point[0] + 1, name, acknowledges, once, through) for t in texts]

    def _added(self, call: "Node", method: str) -> Write | None:
        """Rows that are added without a statement in the source."""
        positional = [a for a in arguments(call) if a.type != "keyword_argument"]
        line, first = call.start_point[0] + 1, positional[0] if positional else None
        if method in ("copy_records_to_table", "insert") and first is not None and first.type == "string":
            columns = keyword(call, "columns", "column_names")
            names = [text_of(c).strip("\"'") for c in columns.named_children] if columns else []
            return Write(text_of(first).strip("\"'").rpartition(".")[2], tuple(names), line, once=False)
        if method in ("insert", "pg_insert") and first is not None and text_of(first) in self._models:
            outer = call
            while outer.parent is not None and outer.parent.type in ("attribute", "call", "argument_list"):
                outer = outer.parent
            once = "on_conflict" in text_of(outer)
            return Write(self._models[text_of(first)], (), line, once)
        if method in self._models:
            given = [a for a in arguments(call) if a.type == "keyword_argument"]
            names = [text_of(n) for a in given if (n := a.child_by_field_name("name")) is not None]
            return Write(self._models[method], tuple(names), line, once=False) if names else None
        return None

    def _destination(self, call: "Node", names: tuple[str, ...]) -> Text | None:
        positional = [a for a in arguments(call) if a.type != "keyword_argument"]
        place = keyword(call, *names) or (positional[0] if positional else None)
        return spelled(place) if place is not None else None

    def _fields(self, node: "Node | None", local: "dict[str, Node]", depth: int = 0) -> frozenset[str] | None:
        """The names in a payload that is built here; `None` where something else may be in it."""
        if node is None or depth > 6:
            return None
        if node.type == "dictionary":
            names: set[str] = set()
            for pair in node.named_children:
                key = pair.child_by_field_name("key")
                if pair.type == "comment":
                    continue
                if pair.type != "pair" or key is None or key.type != "string":
                    return None
                names.add(text_of(key).strip("\"'"))
            return frozenset(names)
        if node.type == "identifier":
            return self._fields(local.get(text_of(node)), local, depth + 1)
        if node.type != "call":
            return None
        method, receiver = callee(node)
        if method in self._shapes:
            return self._shapes[method]
        function = node.child_by_field_name("function")
        if method in ("encode", "model_dump_json", "model_dump", "json", "dict") and function is not None and receiver:
            if method in ("json", "model_dump_json") and receiver in ("json", "orjson"):
                return None
            return self._fields(function.child_by_field_name("object"), local, depth + 1)
        if method in ("dumps", "encode", "asdict", "bytes", "packb"):
            positional = arguments(node)
            return self._fields(positional[0], local, depth + 1) if positional else None
        return None
