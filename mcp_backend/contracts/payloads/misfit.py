"""What does not fit its schema, in words that never repeat the value: it may be a secret."""

from typing import Any

SHOWN = 5
"""Problems of one message that are told."""


class Misfit(Exception):
    """A payload does not fit. `problems` says where, and what was expected."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(dict.fromkeys(problems))[:SHOWN]
        super().__init__("; ".join(self.problems))


def kind(value: Any) -> str:
    """What a JSON value is, as JSON calls it."""
    names: dict[Any, str] = {
        bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"
    }  # fmt: skip
    return "null" if value is None else names.get(type(value), "something else")
