"""What a Go source publishes, reads and writes. Clients: nats.go (both APIs), Sarama, kafka-go, franz-go,
confluent-kafka-go, go-redis; statements in strings."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcp_backend.pipelines import clients, statements
from mcp_backend.pipelines.go_nodes import (
    at_top,
    callee,
    elements,
    in_loop,
    in_transaction,
    last,
    parameters,
    streams_of,
    without_context,
)
from mcp_backend.pipelines.model import Consume, Function, Publish, Source, System, Text, Write
from mcp_backend.pipelines.nodes import CONVERTS, arguments, text_of, walk, words
from mcp_backend.workspace.symbols import languages, parsing

if TYPE_CHECKING:
    from tree_sitter import Node

PUBLISH: dict[str, tuple[System, ...]] = {
    "Publish": ("nats", "redis"), "PublishAsync": ("nats",), "Request": ("nats",), "RequestWithContext": ("nats",),
    "SPublish": ("redis",),
}  # fmt: skip
CONSUME: dict[str, tuple[System, ...]] = {
    "Subscribe": ("nats", "kafka", "redis"), "QueueSubscribe": ("nats",), "PullSubscribe": ("nats",),
    "SubscribeSync": ("nats",), "ChanSubscribe": ("nats",), "QueueSubscribeSync": ("nats",), "PSubscribe": ("redis",),
    "SSubscribe": ("redis",), "SubscribeTopics": ("kafka",), "ConsumePartition": ("kafka",), "Consume": ("kafka",),
    "ConsumeTopics": ("kafka",),
}  # fmt: skip
MESSAGES: dict[str, tuple[System, str, str, str]] = {
    "sarama.ProducerMessage": ("kafka", "Topic", "Key", "Value"), "kafka.Message": ("kafka", "Topic", "Key", "Value"),
    "kgo.Record": ("kafka", "Topic", "Key", "Value"), "nats.Msg": ("nats", "Subject", "", "Data"),
    "redis.XAddArgs": ("redis", "Stream", "", "Values"), "kafka.Writer": ("kafka", "Topic", "", ""),
    "kafka.WriterConfig": ("kafka", "Topic", "", ""),
}  # fmt: skip
"""Composite literals that are a message: the system, and the fields of its destination, key and content."""
READERS: dict[str, tuple[System, str, str]] = {
    "kafka.ReaderConfig": ("kafka", "Topic", "GroupID"), "redis.XReadGroupArgs": ("redis", "Streams", "Group"),
    "redis.XReadArgs": ("redis", "Streams", ""), "jetstream.ConsumerConfig": ("nats", "FilterSubject", "Durable"),
    "nats.ConsumerConfig": ("nats", "FilterSubject", "Durable"),
}  # fmt: skip
_TEXT = ("interpreted_string_literal", "raw_string_literal")
_JSON = re.compile(r'json:"([^",]*)')
_AUTO = re.compile(rb"(?:MarkMessage|CommitMessages|CommitRecords|MarkCommitRecords|StoreOffsets|enable\.auto\.commit)")
_GROUP = re.compile(rb"(?:ConsumerGroup\(|NewConsumerGroup\([^,]+,\s*|\"group\.id\":\s*)\"([^\"]+)\"")
_DURABLE = re.compile(r'Durable\(\s*"([^"]+)"')


def read(path: str, data: bytes) -> Source:
    """What is in one source; of one that is broken, what can be made out."""
    grammar = languages.of(path)
    assert grammar is not None, "a Go source"
    return _Reading(path, data, parsing.tree(data, grammar).root_node).source()


class _Reading:
    """One file while it is read."""

    def __init__(self, path: str, data: bytes, root: "Node") -> None:
        self._path, self._root = path, root
        self._imports = clients.imported(data)
        self._acknowledges = _AUTO.search(data) is not None
        group = _GROUP.search(data)
        self._group = group[1].decode("utf-8", "replace") if group else ""
        self._constants: dict[str, Text] = {}
        self._statements: dict[str, Write] = {}
        self._shapes: dict[str, frozenset[str]] = {}
        self._made: dict[str, System] = {}

    def source(self) -> Source:
        """Everything that was found."""
        functions: list[Node] = []
        for node in walk(self._root):
            if node.type in ("const_spec", "var_spec") and at_top(node):
                self._constant(node)
            elif node.type in ("parameter_declaration", "field_declaration", "short_var_declaration"):
                self._variable(node)
            elif node.type == "type_spec":
                self._struct(node)
            elif node.type in ("function_declaration", "method_declaration"):
                functions.append(node)
        found = tuple(self._function(node) for node in functions)
        return Source(self._path, found, self._constants, self._statements)

    def _constant(self, node: "Node") -> None:
        name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        text = self._text(value.named_children[0]) if value is not None and value.named_children else None
        if name is None or text is None:
            return
        self._constants[text_of(name)] = text
        if write := statements.write("".join(p for _, p in text), node.start_point[0] + 1):
            self._statements[text_of(name)] = write

    def _variable(self, node: "Node") -> None:
        left = node.child_by_field_name("name") or node.child_by_field_name("left")
        right = node.child_by_field_name("type") or node.child_by_field_name("right")
        if left is not None and right is not None and (made := clients.made_from(text_of(right)[:200])):
            self._made[text_of(left).partition(",")[0].strip()] = made

    def _struct(self, node: "Node") -> None:
        name, kind = node.child_by_field_name("name"), node.child_by_field_name("type")
        if name is None or kind is None or kind.type != "struct_type":
            return
        names: set[str] = set()
        for field in walk(kind):
            tag = field.child_by_field_name("tag") if field.type == "field_declaration" else None
            if found := _JSON.search(text_of(tag)):
                names |= {found[1]} - {"-", ""}
        if names:
            self._shapes[text_of(name)] = frozenset(names)

    def _function(self, node: "Node") -> Function:
        publishes: list[Publish] = []
        consumes: list[Consume] = []
        writes: list[Write] = []
        reads: set[str] = set()
        converted: set[str] = set()
        calls: list[tuple[str, tuple[Text, ...], frozenset[str] | None, int]] = []
        local: dict[str, Node] = {}
        inside = list(walk(node))
        for part in inside:
            if part.type == "short_var_declaration" and (left := part.child_by_field_name("left")) is not None:
                right = part.child_by_field_name("right")
                if right is not None and right.named_children:
                    local[text_of(left).partition(",")[0].strip()] = right.named_children[0]
        for part in inside:
            line = part.start_point[0] + 1
            if part.type in _TEXT:
                text = text_of(part).strip('"`')
                if (write := statements.write(text, line)) is not None:
                    writes.append(write)
                if table := statements.outbox(text):
                    reads.add(table)
            elif part.type == "composite_literal":
                publishes += self._message(part, local)
                consumes += self._reader(part, local)
            elif part.type == "call_expression":
                method, receiver = callee(part)
                if method in CONVERTS:
                    converted |= words(part)
                if (publish := self._publish(part, method, receiver, local)) is not None:
                    publishes.append(publish)
                elif found := self._consume(part, method, receiver):
                    consumes += found
                elif method:
                    given = tuple(t for a in arguments(part) if (t := self._text(a)) is not None)
                    fields = next((f for a in arguments(part) if (f := self._fields(a, local)) is not None), None)
                    calls += [(method, given, fields, line)] if given else []
        name, receiver = node.child_by_field_name("name"), node.child_by_field_name("receiver")
        owner = re.search(r"(\w+)(?:\[[^]]*\])?\s*\)$", text_of(receiver))
        kinds = ("identifier", "field_identifier", "type_identifier", "interpreted_string_literal_content")
        return Function(
            self._path, text_of(name), owner[1] if owner else "", node.start_point[0] + 1, parameters(node),
            tuple(publishes), tuple(consumes), tuple(writes), frozenset(reads),
            frozenset(text_of(part) for part in inside if part.type in kinds) | self._tags(inside),
            frozenset(converted), any(part.type == "go_statement" and in_loop(part) for part in inside), tuple(calls),
        )  # fmt: skip

    def _tags(self, inside: "list[Node]") -> frozenset[str]:
        """The JSON names of the structs that a function speaks of: it has to do with all of them."""
        used = {text_of(part) for part in inside if part.type == "type_identifier"}
        return frozenset(name for struct in used for name in self._shapes.get(struct, ()))

    def _message(self, literal: "Node", local: "dict[str, Node]") -> Iterator[Publish]:
        kind = text_of(literal.child_by_field_name("type"))
        if kind not in MESSAGES:
            return
        system, to, key, content = MESSAGES[kind]
        parts = elements(literal)
        place = parts.get(to)
        if place is None and (nested := parts.get("TopicPartition")) is not None:
            place = elements(nested).get("Topic")
        text = self._text(place)
        if text:
            yield Publish(
                system, text, literal.start_point[0] + 1, last(text_of(parts.get(key))),
                self._fields(parts.get(content), local), in_transaction(literal),
            )  # fmt: skip

    def _reader(self, literal: "Node", local: "dict[str, Node]") -> Iterator[Consume]:
        kind = text_of(literal.child_by_field_name("type"))
        if kind not in READERS:
            return
        system, of, group = READERS[kind]
        parts = elements(literal)
        place, named = parts.get(of), "".join(p for _, p in self._text(parts.get(group)) or ())
        places = [place] if place is not None else []
        if of == "Streams" and place is not None:
            places = streams_of(place, local)
        for one in places:
            if text := self._text(one) or (((True, "?"),) if system == "redis" else None):
                acknowledges = system != "kafka" or self._acknowledges
                yield Consume(system, text, literal.start_point[0] + 1, named, acknowledges)

    def _publish(self, call: "Node", method: str, receiver: str, local: "dict[str, Node]") -> Publish | None:
        if method not in PUBLISH or not receiver:
            return None
        system = clients.system(receiver, PUBLISH[method], self._imports, self._made)
        given = without_context(arguments(call))
        text = self._text(given[0]) if given else None
        if system is None or not text:
            return None
        payload = self._fields(given[1], local) if len(given) > 1 else None
        return Publish(system, text, call.start_point[0] + 1, "", payload, in_transaction(call))

    def _consume(self, call: "Node", method: str, receiver: str) -> list[Consume]:
        if method not in CONSUME or not receiver:
            return []
        among = CONSUME[method]
        system = among[0] if len(among) == 1 else clients.system(receiver, among, self._imports, self._made)
        given = without_context(arguments(call))
        if system is None or system not in self._imports or not given:
            return []
        places = given if receiver == "kgo" else given[:1]
        if given[0].type == "composite_literal":
            body = given[0].child_by_field_name("body")
            places = [e.named_children[0] for e in body.named_children if e.named_children] if body else []
        durable = _DURABLE.search(text_of(call))
        group = durable[1] if durable else self._group if system == "kafka" else ""
        if system == "nats" and not group and len(given) > 1 and given[1].type in _TEXT:
            group = text_of(given[1]).strip('"`')
        once = system == "redis" or (system == "nats" and not re.search(r"(?i)js|jet|stream", receiver))
        texts = [text for place in places if (text := self._text(place))]
        acknowledges = system != "kafka" or self._acknowledges
        kinds = ("func_literal", "identifier", "selector_expression")
        called = next((a for a in given[1:] if a.type in kinds), None) if system == "nats" else None
        through = frozenset(words(called)) if called is not None else frozenset[str]()
        literal = called is not None and called.type == "func_literal"
        span = (called.start_point[0] + 1, called.end_point[0] + 1) if called and literal else (0, 0)
        line = call.start_point[0] + 1
        return [Consume(system, t, line, group, acknowledges, once, through, span) for t in texts]

    def _text(self, node: "Node | None") -> Text | None:
        """The text of an expression in pieces, or `None` where it is none that one could look up."""
        if node is None:
            return None
        if node.type == "literal_element" and node.named_children:
            return self._text(node.named_children[0])
        if node.type in _TEXT:
            return ((False, text_of(node)[1:-1]),)
        if node.type in ("identifier", "selector_expression"):
            return ((True, text_of(node).rpartition(".")[2]),)
        if node.type == "unary_expression":
            return self._text(node.child_by_field_name("operand"))
        if node.type == "binary_expression":
            left, right = (self._text(node.child_by_field_name(side)) for side in ("left", "right"))
            return (left or ((True, "?"),)) + (right or ((True, "?"),)) if left or right else None
        if node.type == "call_expression" and callee(node)[0] == "Sprintf":
            given = arguments(node)
            if not given or given[0].type not in _TEXT:
                return None
            pieces = re.split(r"%[-+# 0-9.]*[a-zA-Z]", text_of(given[0])[1:-1])
            names = [text_of(a).rpartition(".")[2] for a in given[1:]] + ["?"] * len(pieces)
            found: list[tuple[bool, str]] = [(False, pieces[0])]
            for piece, name in zip(pieces[1:], names, strict=False):
                found += [(True, name), (False, piece)]
            return tuple(p for p in found if p[0] or p[1])
        return None

    def _fields(self, node: "Node | None", local: "dict[str, Node]", depth: int = 0) -> frozenset[str] | None:
        """The names in a payload that is built here; `None` where something else may be in it."""
        if node is None or depth > 6:
            return None
        if node.type in ("identifier", "literal_element", "unary_expression"):
            inner = local.get(text_of(node)) if node.type == "identifier" else node.named_children[-1]
            return self._fields(inner, local, depth + 1)
        if node.type == "composite_literal":
            kind = text_of(node.child_by_field_name("type"))
            if kind in self._shapes:
                return self._shapes[kind]
            if kind.startswith("map[string]"):
                keys = list(elements(node))
                return frozenset(k.strip('"') for k in keys) if all(k.startswith('"') for k in keys) else None
            return None
        if node.type in ("call_expression", "type_conversion_expression"):
            method, _ = callee(node)
            if method in ("Marshal", "ByteEncoder", "StringEncoder", "MustMarshal") or node.type != "call_expression":
                given = arguments(node) or node.named_children[-1:]
                return self._fields(given[0], local, depth + 1) if given else None
        return None
