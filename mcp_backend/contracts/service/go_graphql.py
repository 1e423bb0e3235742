# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
"""A GraphQL server that gqlgen generates, by its source: the schema in the generated code, and which resolvers nobody
wrote. https://gqlgen.com/reference/resolvers/: gqlgen writes them as a panic that says "not implemented"."""

import re
from typing import Any

from mcp_backend.contracts.graphql import deviations
from mcp_backend.contracts.graphql.loading import built, schema_of
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.service.go_source import Function, Module, read, text
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import NotFound

_HELD = re.compile(r'\{Name: "([^"\n]+)", Input: (?:`([^`]*)`|sourceData\("([^"\n]+)"\)), BuiltIn: false\}')
_BACKTICK = '` + "`" + `'
"""How Go writes the one character that its raw strings cannot hold."""
_EMPTY = re.compile(r'panic\(.*not implemented|errors\.New\("not implemented|Errorf\("not implemented')


def check(source: Source, spec: Spec, below: str) -> Checked:
    """Checks the server at `below`. Raises `Broken`, `NotFound`, `Unavailable`."""
    folder = "" if below in (".", "./...") else below.removeprefix("./").rstrip("/")
    module = read(source, folder)
    checked = Checked(folder or ".", sources=["static"])
    wanted = schema_of(source, spec)
    sdl = _served(source, module)
    if sdl:
        checked.add(deviations.compare(wanted, built(sdl, "the generated schema")), [])
        checked.sources.append("schema")
    else:
        checked.unverified.append(Unverified("*", "no generated code of gqlgen is here: its schema is not compared"))
    resolvers = [f for some in module.functions.values() for f in some if f.receiver.lower().endswith("resolver")]
    if not resolvers and not sdl:
        raise NotFound(f"implementation: nothing in {below} is a GraphQL server of gqlgen")
    gone = {d.where for d in checked.deviations if d.id == "type-missing"}
    for root in (wanted.query_type, wanted.mutation_type, wanted.subscription_type):
        if root is not None and root.name not in gone:
            for name in root.fields:
                _resolver(root.name, name, resolvers, checked)
    checked.unverified.append(Unverified("*", "what resolvers return and refuse is not read from the source"))
    return checked


def _served(source: Source, module: Module) -> str:
    """The schema of the generated code; empty where there is none."""
    parts: list[str] = []
    for path, content in source.texts(module.files).items():
        if "ast.Source" not in content:
            continue
        for name, held, file in _HELD.findall(content.replace(_BACKTICK, "\0")):
            folder = path.rpartition("/")[0]
            place = f"{folder}/{file or name}" if folder else file or name
            parts.append(held.replace("\0", "`") or source.texts([place]).get(place, ""))
    return "\n".join(parts)


def _resolver(root: str, name: str, resolvers: list[Function], checked: Checked) -> None:
    owner, wanted = f"{root}resolver".lower(), name.replace("_", "").lower()
    hits = [f for f in resolvers if f.receiver.lower() == owner and f.name.lower() == wanted]
    where = f"{root}.{name}"
    if not hits:
        if any(f.receiver.lower() == owner for f in resolvers) and not _known(where, checked):
            checked.unverified.append(Unverified(where, "no resolver of this name was found"))
        return
    body: Any = hits[0].node.child_by_field_name("body")
    if body is not None and len(body.named_children) <= 2 and _EMPTY.search(text(body)):
        place = f"{hits[0].path}:{hits[0].line}"
        checked.add([Deviation("resolver-unimplemented", "missing", where, "a resolver", place, "static")], [])


def _known(where: str, checked: Checked) -> bool:
    return any(d.where.partition("(")[0] == where for d in checked.deviations)
