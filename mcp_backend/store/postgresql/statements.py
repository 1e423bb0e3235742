"""The named queries as the driver wants them."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from mcp_backend.store.base import named, queries


@cache
def statements() -> Mapping[str, bytes]:
    """The queries of every store and those of this one, by name; one of the same name takes the other's place."""
    both = {**queries(), **named(Path(__file__).parent / "queries.sql")}
    return {name: re.sub(r"(?<!:):(\w+)", r"%(\1)s", text).encode() for name, text in both.items()}
