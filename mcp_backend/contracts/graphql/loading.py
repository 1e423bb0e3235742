"""Builds a schema from SDL files."""

from typing import Any

from mcp_backend import installing
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.errors import Unavailable

MISSING = installing.needs("GraphQL", "contracts")


def schema_of(source: Source, spec: Spec) -> Any:
    """The `GraphQLSchema` of a specification. Raises `Broken`, `Unavailable`."""
    return built("\n".join(source.documents().text(file) for file in spec.files), spec.path)


def built(text: str, path: str) -> Any:
    """The `GraphQLSchema` of a text. What SDL's rules forbid but a schema can be built of is let pass: federated
    schemas use directives that nobody declares. Raises `Broken`."""
    try:
        from graphql import GraphQLError, build_ast_schema

        from mcp_backend.contracts.graphql.parsing import parsed
    except ImportError as error:
        raise Unavailable(MISSING) from error
    try:
        document = parsed(text)
        try:
            return build_ast_schema(document, assume_valid_sdl=True)
        except (GraphQLError, TypeError):
            return build_ast_schema(document)  # fails, too, and says which rule is broken
    except (GraphQLError, TypeError) as error:
        raise Broken(f"{path}: {str(error)[:400]}") from error
    except RecursionError as error:
        raise Broken(f"{path}: nested too deeply") from error


def default_of(argument: Any) -> str | None:
    """The default of an argument or input field as SDL writes it, or `None`: graphql-core keeps it as written."""
    from graphql import Undefined, print_ast

    held = getattr(argument, "default", None)
    literal = getattr(held, "literal", None)
    if literal is not None:
        return print_ast(literal)
    value = getattr(held, "value", Undefined) if held not in (None, Undefined) else argument.default_value
    return None if value is Undefined else "null" if value is None else str(value)
