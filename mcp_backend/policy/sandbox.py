"""What the policy says about the fence round programs of the repository: `[sandbox]`. Standard library only."""

import re
from collections.abc import Mapping
from typing import Any, cast

from mcp_backend.errors import InvalidArgument
from mcp_backend.records import dataclass

KEYS = frozenset(("unfenced_because", "environment", "ports", "network_because"))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`unfenced_because`: why programs may run where no layer of the kernel holds. `environment`: variables of this
    server that programs see besides the usual ones. `ports`: TCP ports of this machine's loopback they reach besides
    those of the policy's development engines. `network_because`: why they reach every network this server does."""

    unfenced_because: str = ""
    environment: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    network_because: str = ""

    def loosened(self) -> dict[str, str]:
        """The reasons a person gave for less than the whole fence: every audit record of a program carries them."""
        reasons = {"unfenced_because": self.unfenced_because, "network_because": self.network_because}
        return {name: reason for name, reason in reasons.items() if reason}


def read(file: str, table: Mapping[str, Any]) -> Sandbox:
    """The section of a policy file. Raises `InvalidArgument` naming the key and what was expected."""
    return Sandbox(
        unfenced_because=_reason(file, "unfenced_because", table),
        environment=tuple(_names(file, table.get("environment", []))),
        ports=tuple(_ports(file, table.get("ports", []))),
        network_because=_reason(file, "network_because", table),
    )


def _reason(file: str, key: str, table: Mapping[str, Any]) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (key in table and len(value.strip()) < 10):
        raise InvalidArgument(f"{file}: sandbox.{key}: expected the reason in words (10 characters or more)")
    return value.strip()


def _names(file: str, value: object) -> list[str]:
    names = cast("list[object]", value) if isinstance(value, list) else [value]
    for name in names:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
            raise InvalidArgument(f"{file}: sandbox.environment: expected names of variables, never values")
    return cast("list[str]", names)


def _ports(file: str, value: object) -> list[int]:
    ports = cast("list[object]", value) if isinstance(value, list) else [value]
    for port in ports:
        if not isinstance(port, int) or isinstance(port, bool) or not 1024 <= port <= 65535:
            raise InvalidArgument(f"{file}: sandbox.ports: expected ports from 1024 to 65535, such as [5432]")
    return cast("list[int]", ports)
