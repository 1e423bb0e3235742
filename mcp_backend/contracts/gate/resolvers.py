"""The fields and arguments of the GraphQL types that Python code defines (strawberry, graphene), against the schema
files of the tree. A program cannot be asked without running it, so only what was there and is gone is held."""

import ast
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from mcp_backend.contracts import specs
from mcp_backend.contracts.gate import apps
from mcp_backend.contracts.gate.python_words import dotted, keyword, literals
from mcp_backend.contracts.gate.tree_files import TreeFiles
from mcp_backend.facts import ContractDeviation
from mcp_backend.workspace import generated
from mcp_backend.workspace.canonical import canonical

Json: TypeAlias = Any
_DECORATORS = ("strawberry.type", "strawberry.input", "strawberry.interface")
_GRAPHENE = ("ObjectType", "InputObjectType", "Interface")
_FIRST = frozenset({"self", "root", "info", "parent", "cls"})
_DEPTH = 8


def judged(before: TreeFiles, after: TreeFiles, touched: set[str]) -> list[ContractDeviation]:
    """Fields and arguments of the schema that the code does not define: held are those that it did."""
    paths = [p for p in after.oids if p.endswith(specs.SDL) and apps.part_of_program(p)]
    if not paths:
        return []
    source = after.source()
    made = generated.specifications(source.files, lambda path: source.texts([path]).get(path))
    one, two = _types(before), _types(after)
    if not two:
        return []
    told: list[ContractDeviation] = []
    for path, said in after.about(paths, "sdl:1", _sdl).items():
        schema: dict[str, dict[str, list[str]]] = said or {}
        for name, fields in schema.items():
            mine, theirs = two.get(name), one.get(name)
            if mine is None or mine["open"]:
                continue
            file, line = str(mine["file"]), int(mine["line"])
            for where, word, field, argument in _wanted(name, fields):
                if _has(mine, field, argument) or (argument and not _has(mine, field, "")):
                    continue
                held = theirs is not None and _has(theirs, field, argument) and canonical(path) not in made
                if held or file in touched:
                    told.append(ContractDeviation(
                        file, line, path, where, word, where, "defined", "not in the code", held=held, fresh=held,
                    ))  # fmt: skip
    return told


def _wanted(name: str, fields: Mapping[str, list[str]]) -> Iterator[tuple[str, str, str, str]]:
    """What the code has to define for a type: place, word, field, argument."""
    for field, arguments in fields.items():
        yield f"{name}.{field}", "field-missing", field, ""
        for argument in arguments:
            yield f"{name}.{field}({argument})", "argument-missing", field, argument


def _has(kind: Mapping[str, Json], field: str, argument: str) -> bool:
    arguments = kind["fields"].get(field)
    if arguments is None:
        return False
    return not argument or "*" in arguments or argument in arguments


def _sdl(data: bytes) -> Json:
    """The fields of the types of a schema file, with the names of their arguments; `None` when it is none."""
    try:
        from graphql import GraphQLError, parse
    except ImportError:
        return None  # nothing of it can be verified
    try:
        document = parse(data.decode("utf-8-sig"), no_location=True)
    except (GraphQLError, UnicodeDecodeError, RecursionError):
        return None
    found: dict[str, dict[str, list[str]]] = {}
    for node in document.definitions:
        if type(node).__name__.startswith(("Object", "Interface", "InputObject")):
            fields = found.setdefault(getattr(node, "name").value, {})  # noqa: B009
            for field in getattr(node, "fields", None) or ():
                fields[field.name.value] = [a.name.value for a in getattr(field, "arguments", None) or ()]
    return found


def _types(tree: TreeFiles) -> dict[str, Json]:
    """The types that code defines by their GraphQL names, each with the fields of its bases."""
    paths = [p for p in tree.oids if p.endswith(".py") and apps.part_of_program(p)]
    classes: dict[str, Json] = {}
    for path, said in tree.about(paths, "resolvers:1", _classes).items():
        for one in said:
            twin = classes.get(one["class"])
            classes[one["class"]] = {**one, "file": path, "open": one["open"] or twin is not None}
    found: dict[str, Json] = {}
    for one in classes.values():
        if one["name"]:
            whole = _whole(one, classes, 0)
            twin = found.get(one["name"])
            found[one["name"]] = {**whole, "open": whole["open"] or twin is not None}
    return found


def _whole(one: Json, classes: Mapping[str, Json], depth: int) -> Json:
    fields, opened = dict(one["fields"]), bool(one["open"])
    for base in one["bases"]:
        if base in ("object", *_GRAPHENE):
            continue
        known = classes.get(base)
        if known is None or depth > _DEPTH:
            opened = True
            continue
        inner = _whole(known, classes, depth + 1)
        fields = {**inner["fields"], **fields}
        opened = opened or inner["open"]
    return {**one, "fields": fields, "open": opened}


def _classes(data: bytes) -> Json:
    if b"strawberry" not in data and b"graphene" not in data:
        return []
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [_class(node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def _class(node: ast.ClassDef) -> Json:
    name, opened = "", bool(node.keywords)
    for decorator in node.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if dotted(call.func if call else decorator) in _DECORATORS:
            given = literals(keyword(call, "name")) if call else []
            name = str(given[0]) if given else node.name
        else:
            opened = True  # it may add anything
    bases = [dotted(b).rpartition(".")[2] for b in node.bases]
    if not name and set(bases) & {*_GRAPHENE}:
        name = node.name
    fields: dict[str, list[str]] = {}
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(id=key), value=value):
                _add(fields, key, _given(value), ["*"] if isinstance(value, ast.Call) else [])
            case ast.Assign(targets=[ast.Name(id=key)], value=ast.Call() as call):
                _add(fields, key, _given(call), ["*", *(k.arg for k in call.keywords if k.arg)])
            case ast.FunctionDef(name=key) | ast.AsyncFunctionDef(name=key):
                used = [d.func if isinstance(d, ast.Call) else d for d in part.decorator_list]
                if any(dotted(d).startswith("strawberry.") for d in used):
                    call = next((d for d in part.decorator_list if isinstance(d, ast.Call)), None)
                    _add(fields, key, _given(call), _arguments(part))
            case ast.ClassDef(name="Meta") | ast.ClassDef(name="Config"):
                opened = True
            case _:
                pass
    return {"class": node.name, "name": name, "bases": bases, "fields": fields, "open": opened, "line": node.lineno}


def _given(value: ast.expr | None) -> str:
    """The name that a field is given in words."""
    found = literals(keyword(value, "name")) if isinstance(value, ast.Call) else []
    return str(found[0]) if found else ""


def _add(fields: dict[str, list[str]], key: str, given: str, arguments: list[str]) -> None:
    """A field under its own name and in camel case: which of them counts is a setting of the schema."""
    for name in (given,) if given else (key, _camel(key)):
        fields[name] = [spelled for a in arguments for spelled in (a, _camel(a))]


def _arguments(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
    renamed = any("argument" in ast.dump(a.annotation) for a in every if a.annotation is not None)
    more = ["*"] if renamed or function.args.kwarg or function.args.vararg else []
    return [a.arg for a in every if a.arg not in _FIRST] + more


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() or "_" for part in rest)
