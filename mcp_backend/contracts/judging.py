"""How the messages of one call relate to the contracts of their destination: the facts that guards judge."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_backend.contracts.messages import Contract, Fit, Index
from mcp_backend.contracts.payloads.codec import NOTHING_KNOWN, Known, Read
from mcp_backend.contracts.unsafe import unsafe_format
from mcp_backend.facts import MessageFit

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """`against` is what each message fits, and `read` how its payload is to be written (`None`: as it was given).
    `justification_id` is empty unless a justification was needed."""

    fits: tuple[MessageFit, ...]
    against: tuple[str | None, ...]
    read: tuple[Read | None, ...]
    notes: tuple[str, ...]
    justification_id: str = ""


def judge_messages(
    index: Index,
    destination: str,
    messages: Sequence[tuple[Any, Mapping[str, str]]],
    schema: str | None,
    justification: str | None,
    declared: Contract | None = None,
    known: Known = NOTHING_KNOWN,
) -> Judged:
    """Judges pairs of payload and headers by the `declared` contract. `schema` names another one that they must fit as
    well: it narrows what is promised and never replaces it.

    Raises `NotFound`, `InvalidArgument` for a `schema` that is none.
    """
    contracts = [c for c in (declared, index.forced(schema, destination) if schema else None) if c]
    fits: dict[MessageFit, None] = {}
    against: list[str | None] = []
    read: list[Read | None] = []
    notes: dict[str, None] = {}
    misfits = 0
    for number, (payload, headers) in enumerate(messages):
        found: list[tuple[Contract, Fit]] = []
        for contract in contracts:
            # The second sees what the first one read.
            value = found[0][1].read.value if found and found[0][1].read else payload
            found.append((contract, index.fit(contract, value, headers, known)))
        fit = _fit(index, destination, found, justification, unsafe_format(payload), f"messages.{number}")
        wrong = not fit.fits or fit.unsafe_format is not None
        misfits += wrong
        if not wrong or misfits <= SHOWN:
            fits[fit] = None
        against.append(next((f.against for _, f in reversed(found) if f.against), None) if fit.fits else None)
        read.append(found[0][1].read if found and fit.fits else None)
        notes |= dict.fromkeys(f.unchecked for _, f in found if f.unchecked)
    needed = justification is not None and any(fit.contract is None for fit in fits)
    name = hashlib.sha256(f"{destination}\n{justification}".encode()).hexdigest()[:12]
    return Judged(tuple(fits), tuple(against), tuple(read), tuple(notes), f"J-{name}" if needed else "")


def _fit(
    index: Index,
    destination: str,
    found: Sequence[tuple[Contract, Fit]],
    justification: str | None,
    unsafe: str | None,
    field: str,
) -> MessageFit:
    for contract, fit in found:
        if fit.problems:
            problems = tuple(f"{field}: {problem}" for problem in fit.problems)
            return MessageFit(destination, contract.source, False, problems, justification, unsafe)
    unknown = tuple(fit.unchecked for _, fit in found if fit.against is None)
    if not found and index.broken:
        why = next(iter(index.broken.values()))
        unknown = (f"no contract that can be read is declared for {destination} ({why})",)
    if unknown or not found:
        return MessageFit(destination, None, False, unknown, justification, unsafe)
    return MessageFit(destination, found[-1][0].source, True, (), justification, unsafe)
