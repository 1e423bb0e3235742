"""Builds a schema from SDL files."""

from typing import Any

from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.errors import Unavailable

MISSING = 'GraphQL needs the extra "contracts": pip install "mcp-backend[contracts]"'


def schema_of(source: Source, spec: Spec) -> Any:
    """The `GraphQLSchema` of a specification. Raises `Broken`, `Unavailable`."""
    return built("\n".join(source.documents().text(file) for file in spec.files), spec.path)


def built(text: str, path: str) -> Any:
    """The `GraphQLSchema` of a text. Directives nobody declares are let pass, as federated schemas use them. Raises
    `Broken`."""
    try:
        from graphql import GraphQLError, build_schema
    except ImportError as error:
        raise Unavailable(MISSING) from error
    try:
        return build_schema(text)
    except (GraphQLError, TypeError) as strict:
        try:
            return build_schema(text, assume_valid_sdl=True)
        except (GraphQLError, TypeError) as error:
            raise Broken(f"{path}: {str(strict)[:400]}") from error
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
