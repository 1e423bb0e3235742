"""The languages whose definitions are known, and what counts as one. Grammars load on first use.

Each query captures a name and, around it, the definition under the name of its kind
(https://tree-sitter.github.io/tree-sitter/using-parsers/queries/).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Language, Query

PYTHON = """
(function_definition name: (identifier) @name) @function
(class_definition name: (identifier) @name) @class
(type_alias_statement left: (type (identifier) @name)) @type
(module (expression_statement (assignment left: (identifier) @name) @variable))
(class_definition body: (block (expression_statement (assignment left: (identifier) @name) @field)))
"""
GO = """
(function_declaration name: (identifier) @name) @function
(method_declaration name: (field_identifier) @name) @method
(type_spec name: (type_identifier) @name) @type
(type_alias name: (type_identifier) @name) @type
(method_elem name: (field_identifier) @name) @method
(field_declaration name: (field_identifier) @name) @field
(source_file (const_declaration (const_spec name: (identifier) @name) @constant))
(source_file (var_declaration (var_spec name: (identifier) @name) @variable))
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @name) @variable)))
"""
TYPESCRIPT = """
(function_declaration name: (identifier) @name) @function
(generator_function_declaration name: (identifier) @name) @function
(function_signature name: (identifier) @name) @function
(class_declaration name: (type_identifier) @name) @class
(abstract_class_declaration name: (type_identifier) @name) @class
(interface_declaration name: (type_identifier) @name) @interface
(type_alias_declaration name: (type_identifier) @name) @type
(enum_declaration name: (identifier) @name) @enum
(internal_module name: (identifier) @name) @namespace
(method_definition name: [(property_identifier) (private_property_identifier)] @name) @method
(abstract_method_signature name: (property_identifier) @name) @method
(method_signature name: (property_identifier) @name) @method
(public_field_definition name: [(property_identifier) (private_property_identifier)] @name) @field
(property_signature name: (property_identifier) @name) @field
(program (lexical_declaration (variable_declarator name: (identifier) @name) @variable))
(program (export_statement (lexical_declaration (variable_declarator name: (identifier) @name) @variable)))
"""
IDENTIFIERS = frozenset(
    (
        "identifier", "type_identifier", "field_identifier", "property_identifier", "private_property_identifier",
        "package_identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern", "label_name",
        "statement_identifier", "blank_identifier",
    )
)  # fmt: skip
"""Nodes that are a name in code, not text in a string or a comment."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """One language: the wheel its grammar is in, the function of it that gives the grammar, and its definitions.

    `hint`, with a name in it, matches every source that defines the name, and few others.
    """

    name: str
    module: str
    function: str
    query: str
    hint: str


_HINT_PYTHON = r"(?m)(?:\b(?:def|class|type)[\s\\]+NAME(?!\w)|(?:^|[;:])[ \t\f]*NAME[\s\\]*[:=](?!=))"
_HINT_OTHERS = r"(?<![\w.$])NAME(?![\w$])"
_PYTHON = Grammar("Python", "tree_sitter_python", "language", PYTHON, _HINT_PYTHON)
_GO = Grammar("Go", "tree_sitter_go", "language", GO, _HINT_OTHERS)
_TYPESCRIPT = Grammar("TypeScript", "tree_sitter_typescript", "language_typescript", TYPESCRIPT, _HINT_OTHERS)
_TSX = Grammar("TypeScript", "tree_sitter_typescript", "language_tsx", TYPESCRIPT, _HINT_OTHERS)
BY_SUFFIX: Mapping[str, Grammar] = {
    ".py": _PYTHON, ".pyi": _PYTHON, ".go": _GO, ".ts": _TYPESCRIPT, ".mts": _TYPESCRIPT, ".cts": _TYPESCRIPT,
    ".tsx": _TSX, ".js": _TSX, ".jsx": _TSX, ".mjs": _TSX, ".cjs": _TSX,
}  # fmt: skip
KNOWN = "Python, Go, TypeScript and JavaScript"


def of(path: str) -> Grammar | None:
    """The language of a file by its name."""
    name = path.rpartition("/")[2]
    return BY_SUFFIX.get(name[name.rfind(".") :].lower()) if "." in name else None


@lru_cache(maxsize=64)
def hint(grammar: Grammar, name: str) -> re.Pattern[bytes]:
    """What a source has in it that defines the name."""
    # A private name (`#total`) may follow a keyword without a space.
    pattern = grammar.hint if name[:1].isalpha() or name[:1] in "_$" else "NAME"
    return re.compile(pattern.replace("NAME", re.escape(name)).encode())


@cache
def loaded(grammar: Grammar) -> "tuple[Language, Query]":
    """The grammar and its query. Raises `Unavailable` where the wheels are missing."""
    from importlib import import_module

    from mcp_backend import installing
    from mcp_backend.errors import Unavailable

    try:
        from tree_sitter import Language, Query

        capsule: object = getattr(import_module(grammar.module), grammar.function)()
        language = Language(capsule)
    except ImportError as error:
        raise Unavailable(
            f"symbols: the grammar of {grammar.name} is not installed here. Ask for "
            f"`{installing.command('workspace')}`; search_code finds names without it"
        ) from error
    return language, Query(language, grammar.query)
