"""Avro by fastavro: whether a value fits, its bytes, and what bytes say.

https://avro.apache.org/docs/1.12.0/specification/
"""

import importlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, cast

from mcp_backend import installing
from mcp_backend.contracts.documents import Broken, mapping
from mcp_backend.contracts.payloads import avro_values
from mcp_backend.contracts.payloads.misfit import Misfit
from mcp_backend.errors import Unavailable

_UNREADABLE = (
    ValueError, TypeError, AttributeError, KeyError, IndexError, EOFError, ArithmeticError, MemoryError, StopIteration
)  # fmt: skip
"""What the library raises for bytes that no writer of the schema wrote."""
TYPES = 500
"""Named types of other files that one schema may need."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema with all that it names. `recursive`: some type holds itself. `endless`: what says why its bytes may
    spell more values than there are bytes, empty where they can't."""

    parsed: Any
    named: Mapping[str, Any]
    recursive: bool
    endless: str = ""

    @property
    def name(self) -> str:
        """The full name of a record, enum or fixed, else its type."""
        fields = mapping(self.parsed)
        return str(fields.get("name") or fields.get("type", ""))


def schema(content: Any, where: str, lookup: Callable[[str], Any] | None = None) -> Schema:
    """The schema of a JSON document. `lookup` gives the declaration of a type by its full name, or `None`.

    Raises `Broken` for what is no Avro schema, `Unavailable` without the extra.
    """
    if find_spec("fastavro") is None:
        raise Unavailable(installing.needs("Avro", "contracts"))
    from fastavro.schema import SchemaParseException, UnknownType

    parse_schema = _library().parse_schema
    others: dict[str, Any] = {}
    for _ in range(TYPES):
        named: dict[str, Any] = {}
        try:
            for declaration in reversed(others.values()):
                if not set(names(declaration)[:1]) & set(named):
                    parse_schema(declaration, named)
            parsed = parse_schema(content, named)
        except UnknownType as error:
            missing = str(cast("Any", error).name)
            found = lookup(missing) if lookup and missing not in others else None
            if found is None:
                raise Broken(f"{where}: no type {missing} is declared here or in another .avsc file") from error
            others[missing] = found
        except (SchemaParseException, KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise Broken(f"{where}: not a valid Avro schema: {str(error)[:200]}") from error
        else:
            recursive, endless = _shape(parsed, named)
            return Schema(parsed, named, recursive, endless)
    raise Broken(f"{where}: needs more than {TYPES} types of other files")


def encode(known: Schema, value: Any, root: str = "$", *, text: bool = False) -> bytes:
    """The bytes of a JSON value (`text`: in Avro's JSON encoding). Raises `Misfit`."""
    fastavro = _library()
    problems: list[str] = []
    try:
        datum = avro_values.datum(known.parsed, value, known.named, root, problems)
        if problems:
            raise Misfit(*problems)
        if text:
            lines = io.StringIO()
            fastavro.json_writer(lines, known.parsed, [datum])
            return lines.getvalue().strip().encode()
        data = io.BytesIO()
        fastavro.schemaless_writer(data, known.parsed, datum)
    except RecursionError as error:
        raise Misfit(f"{root}: nested too deeply") from error
    except (ValueError, TypeError, OverflowError, KeyError, AttributeError) as error:
        raise Misfit(f"{root}: fastavro cannot write this ({type(error).__name__})") from error
    return data.getvalue()


def decode(known: Schema, data: bytes, root: str = "$", *, text: bool = False, writer: Schema | None = None) -> Any:
    """What the bytes say, as JSON; all of them have to be read. `writer` is the schema they were written with, where
    it is another one. Raises `Misfit`."""
    fastavro = _library()
    with_ = writer or known
    if with_.endless or known.endless:
        raise Misfit(f"{root}: not decoded, {with_.endless or known.endless}")
    # The compiled reader does not count how deep it is: a few kilobytes of a list inside a list would end this process.
    deep = with_.recursive or known.recursive
    reader: Any = importlib.import_module("fastavro._read_py") if deep else fastavro
    stream = io.BytesIO(data)
    try:
        if text:
            given = json.loads(data)  # refuses what is nested too deeply
            values: list[Any] = list(fastavro.json_reader(io.StringIO(data.decode()), known.parsed))
            if len(values) != 1:
                raise Misfit(f"{root}: expected one value, got {len(values)}")
            lines = io.StringIO()
            fastavro.json_writer(lines, known.parsed, values)
            # The reader believes every value of the text.
            if not fastavro.validate(values[0], known.parsed, raise_errors=False, strict=True):
                raise Misfit(f"{root}: not written with this Avro schema")
            if extra := list(_left_out(given, json.loads(lines.getvalue()), root)):
                raise Misfit(*extra)
            return avro_values.plain(values[0])
        value = reader.schemaless_reader(stream, with_.parsed, known.parsed if writer else None)
        if left := len(data) - stream.tell():
            raise Misfit(f"{root}: {left} byte(s) are left after the value")
        return avro_values.plain(value)
    except RecursionError as error:
        raise Misfit(f"{root}: nested too deeply") from error
    except fastavro.read.SchemaResolutionError as error:
        raise Misfit(f"{root}: written with a schema that this one cannot read") from error
    except _UNREADABLE as error:
        raise Misfit(f"{root}: not written with this Avro schema ({type(error).__name__})") from error


def _left_out(given: Any, read: Any, where: str) -> Iterator[str]:
    """Fields that the reader passed over."""
    if isinstance(given, dict):
        known = cast("dict[str, Any]", read) if isinstance(read, dict) else {}
        for name, one in cast("dict[str, Any]", given).items():
            if name in known:
                yield from _left_out(one, known[name], f"{where}.{name}")
            else:
                yield f"{where}: unknown field {name!r}"
    elif isinstance(given, list) and isinstance(read, list):
        pairs = zip(cast("list[Any]", given), cast("list[Any]", read), strict=False)
        for number, (one, other) in enumerate(pairs):
            yield from _left_out(one, other, f"{where}[{number}]")


def _library() -> Any:
    """Its type hints leave half of it unknown."""
    return importlib.import_module("fastavro")


def equal(one: Schema, other: Schema) -> bool:
    """Whether two schemas write the same bytes (their parsing canonical forms)."""
    from fastavro.schema import to_parsing_canonical_form

    return to_parsing_canonical_form(one.parsed) == to_parsing_canonical_form(other.parsed)


def names(content: Any, space: str = "") -> list[str]:
    """The full names of the types a document declares, those inside it too."""
    if isinstance(content, list):
        return [name for one in cast("list[Any]", content) for name in names(one, space)]
    if not isinstance(content, dict):
        return []
    found = cast("dict[str, Any]", content)
    result: list[str] = []
    space = str(found.get("namespace") or space)
    if found.get("type") in ("record", "error", "enum", "fixed") and isinstance(found.get("name"), str):
        name = str(found["name"])
        full = name if "." in name or not space else f"{space}.{name}"
        space = full.rpartition(".")[0]
        result.append(full)
    for key in ("fields", "items", "values", "type"):
        result += names(found.get(key), space)
    return result


def declaration(content: Any, name: str) -> Any:
    """The top-level type of a file of that full or short name, `None` where there is none."""
    every = cast("list[Any]", content) if isinstance(content, list) else [content]
    return next((one for one in every if (own := names(one)[:1]) and (own[0] == name or _last(own[0]) == name)), None)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def _shape(parsed: Any, named: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a type holds itself, and whether an array may hold items of no bytes."""
    recursive, endless = False, ""

    def least(node: Any, above: tuple[str, ...]) -> int:
        """The fewest bytes that a value takes, 0 or 1."""
        nonlocal recursive, endless
        if isinstance(node, list):
            for one in cast("list[Any]", node):
                least(one, above)
            return 1
        if isinstance(node, str) and node in named:
            if node in above:
                recursive = True
                return 1
            return least(named[node], above)
        fields: dict[str, Any] = cast("dict[str, Any]", node) if isinstance(node, dict) else {"type": node}
        match fields["type"]:
            case dict() | list():
                return least(fields["type"], above)
            case "null":
                return 0
            case "fixed":
                return min(1, int(fields["size"]))
            case "record" | "error":
                inside = (*above, str(fields["name"]))
                parts: Any = fields["fields"]
                return max([least(field["type"], inside) for field in parts], default=0)
            case "array":
                if least(fields["items"], above) == 0:
                    endless = "an array of items without bytes may claim any length"
            case "map":
                least(fields["values"], above)
            case _:
                return 1
        return 1

    least(parsed, ())
    return recursive, endless
