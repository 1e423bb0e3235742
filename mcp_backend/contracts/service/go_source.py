# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""Go source as a tree: functions, types, constants of the files of a module, without compiling them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

from mcp_backend import installing
from mcp_backend.contracts.sources import Source
from mcp_backend.errors import Unavailable

FILES = 3_000
_OTHERS = re.compile(r"/(vendor|third_party|examples?|testdata)/")
"""Folders of code that is no part of the program."""
_CONTEXT = re.compile(r"\b(gin\.Context|echo\.Context|fiber\.Ctx|http\.ResponseWriter)$")
LARGEST = 1_000_000
"""Characters of one file that are read."""
GoNode: TypeAlias = Any
"""A node of tree-sitter, whose types come with a package that may be missing."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or method; `receiver` is the name of the type a method belongs to."""

    name: str
    node: GoNode
    path: str
    receiver: str = ""

    @property
    def line(self) -> int:
        return int(self.node.start_point[0]) + 1

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Names and types as they are written."""
        found: list[tuple[str, str]] = []
        for declared in children(self.node.child_by_field_name("parameters"), "parameter_declaration"):
            kind = declared.child_by_field_name("type")
            names = [text(c) for c in declared.children_by_field_name("name")]
            found += [(name, text(kind)) for name in names or ["_"]]
        return found


@dataclass(slots=True)
class Module:
    """What the files define, by name. Packages are not told apart: the first of a name counts."""

    functions: dict[str, list[Function]] = field(default_factory=dict[str, list[Function]])
    types: dict[str, tuple[GoNode, str]] = field(default_factory=dict[str, "tuple[GoNode, str]"])
    constants: dict[str, str] = field(default_factory=dict[str, str])
    typed: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The values of the string constants of a type."""
    files: list[str] = field(default_factory=list[str])
    twice: set[str] = field(default_factory=set[str])
    """Types whose name several packages have."""
    others: dict[str, list[tuple[GoNode, str]]] = field(default_factory=dict[str, "list[tuple[GoNode, str]]"])
    """The further ones of such a name."""
    bases: list[str | None] = field(default_factory=list[str | None])
    """What stands before the paths of generated servers, once it was looked for."""
    pending: list[tuple[str, GoNode, str]] = field(default_factory=list["tuple[str, GoNode, str]"])
    """Names, values and types of constants and variables."""

    def function(self, name: str, receiver: str = "") -> Function | None:
        """The function of that name, of that receiver where several have it."""
        every = self.functions.get(name, [])
        found = [f for f in every if f.receiver != "Unimplemented"] or every  # oapi-codegen's own stand-in
        return next((f for f in found if receiver and f.receiver == receiver), found[0] if found else None)

    def type_of(self, written: str, near: str) -> tuple[GoNode, str] | None:
        """The type that is meant in the file `near`: of its own package, or of the one that is written before it;
        `None` where several could be, or none is of this module."""
        package, _, name = written.rpartition(".")
        known = [self.types[name], *self.others.get(name, ())] if name in self.types else []
        if package:
            fitting = [t for t in known if t[1].rpartition("/")[0].rpartition("/")[2] == package]
            known = fitting or known
        else:
            known = [t for t in known if t[1].rpartition("/")[0] == near.rpartition("/")[0]]
        return known[0] if len(known) == 1 else None

    def string(self, node: GoNode) -> str | None:
        """The text of a string expression made of literals and constants, or `None`."""
        if node is None:
            return None
        if node.type == "interpreted_string_literal":
            return re.sub(r"\\(.)", r"\1", text(node)[1:-1])
        if node.type == "raw_string_literal":
            return text(node)[1:-1]
        if node.type == "parenthesized_expression":
            return self.string(node.named_children[0])
        if node.type == "binary_expression" and text(node.child_by_field_name("operator")) == "+":
            left, right = self.string(node.child_by_field_name("left")), self.string(node.child_by_field_name("right"))
            return None if left is None or right is None else left + right
        if node.type in ("identifier", "selector_expression"):
            name = text(node).rpartition(".")[2]
            known = _METHODS.get(name) or self.constants.get(name)
            return self._generated_base() if known is None and text(node).endswith(".BaseURL") else known
        return None

    def _generated_base(self) -> str | None:
        """What servers that oapi-codegen makes are told to put before every path: nothing where nobody says; `None`
        where it is computed, or said in several ways. https://github.com/oapi-codegen/oapi-codegen"""
        if not self.bases:
            said: set[str | None] = set()
            for function in (f for some in self.functions.values() for f in some if b"BaseURL" in f.node.text):
                own = {name for name, _ in function.parameters}
                for node in walk(function.node):
                    if node.type == "keyed_element" and text(node.named_children[0]) == "BaseURL":
                        given = children(node.named_children[-1])[:1]
                    elif node.type == "call_expression" and _WITH_BASE.search(
                        text(node.child_by_field_name("function"))
                    ):
                        given = children(node.child_by_field_name("arguments"))[-1:]
                    else:
                        continue
                    said |= {self.string(value) for value in given if text(value) not in own}
            self.bases.append(said.pop() if len(said) == 1 else None if said else "")
        return self.bases[0]


_WITH_BASE = re.compile(r"\b(HandlerFromMux|RegisterHandlers)WithBaseURL$")
_METHODS = {f"Method{m.title()}": m for m in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")}


def text(node: GoNode) -> str:
    """The source of a node."""
    return node.text.decode("utf-8", "replace") if node is not None else ""


def children(node: GoNode, *kinds: str) -> list[GoNode]:
    """The named children, of these kinds."""
    return [c for c in node.named_children if not kinds or c.type in kinds] if node is not None else []


def walk(node: GoNode) -> Iterator[GoNode]:
    """A node and everything below it, in the order of the source."""
    stack = [node]
    while stack:
        one = stack.pop()
        yield one
        stack.extend(reversed(one.named_children))


def returned_literals(function: GoNode) -> Iterator[GoNode]:
    """The blocks of the handlers that a function makes and returns as they are."""
    for node in walk(function):
        value = children(node)[0] if node.type == "return_statement" and children(node) else None
        while value is not None and value.type in ("expression_list", "call_expression"):
            if value.type == "call_expression" and not text(value.child_by_field_name("function")).endswith(
                "HandlerFunc"
            ):
                break
            inner = value if value.type == "expression_list" else value.child_by_field_name("arguments")
            value = next(iter(children(inner)), None)
        if value is not None and value.type == "func_literal":
            yield value.child_by_field_name("body")


@cache
def _parser() -> Any:
    try:
        import tree_sitter_go
        from tree_sitter import Language, Parser
    except ImportError as error:
        raise Unavailable(installing.needs("Go", "workspace")) from error
    return Parser(Language(tree_sitter_go.language()))


def read(source: Source, below: str) -> Module:
    """The module in a folder (or the one file)."""
    files = [
        f for f in source.files if f.endswith(".go") and not f.endswith("_test.go") and not _OTHERS.search(f"/{f}")
    ]
    files = files or [f for f in source.files if f.endswith(".go")]
    inside = [f for f in files if not below or f == below or f.startswith(f"{below}/")]
    if len(inside) == 1 and below.endswith(".go"):
        folder = below.rpartition("/")[0]
        inside = [f for f in files if not folder or f.startswith(f"{folder}/")]
    return parsed(source.texts(inside[:FILES]))


def parsed(texts: Mapping[str, str]) -> Module:
    """The module that some files make up."""
    module = Module()
    for path, content in texts.items():
        module.files.append(path)
        _add(module, _parser().parse(content[:LARGEST].encode()).root_node, path)
    _constants(module)
    return module


def _add(module: Module, root: GoNode, path: str) -> None:
    waiting = module.pending
    for node in root.named_children:
        if node.type in ("function_declaration", "method_declaration"):
            name, receiver = text(node.child_by_field_name("name")), ""
            for declared in children(node.child_by_field_name("receiver"), "parameter_declaration"):
                receiver = text(declared.child_by_field_name("type")).lstrip("*").partition("[")[0]
            module.functions.setdefault(name, []).append(Function(name, node, path, receiver))
        elif node.type == "type_declaration":
            for spec in children(node, "type_spec", "type_alias"):
                name = text(spec.child_by_field_name("name"))
                declared = (spec.child_by_field_name("type"), path)
                if name in module.types:
                    module.twice.add(name)
                    module.others.setdefault(name, []).append(declared)
                module.types.setdefault(name, declared)
        elif node.type in ("const_declaration", "var_declaration"):
            for spec in walk(node):
                if spec.type in ("const_spec", "var_spec"):
                    kind = text(spec.child_by_field_name("type"))
                    names = spec.children_by_field_name("name")
                    values = children(spec.child_by_field_name("value"))
                    waiting += [(text(n), v, kind) for n, v in zip(names, values, strict=False)]


def _constants(module: Module) -> None:
    for _ in range(3):  # constants made of constants
        for name, value, kind in module.pending:
            if name not in module.constants and (found := module.string(value)) is not None:
                module.constants[name] = found
                if kind:
                    module.typed.setdefault(kind, []).append(found)


def handed(call: GoNode, function: Function) -> bool:
    """Whether a call can be of this function, which is told by its name alone: one that answers a request needs what
    it answers by, and a method of a database that is called like a handler has none."""
    kinds = [kind for _, kind in function.parameters]
    given = children(call.child_by_field_name("arguments"))
    for index, kind in enumerate(kinds):
        if _CONTEXT.search(kind) and (
            len(given) <= index or given[index].type not in ("identifier", "selector_expression")
        ):
            return False
    return True
