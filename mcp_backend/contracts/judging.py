"""How the messages of one call relate to the contracts of their destination: the facts that guards judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mcp_backend.contracts.messages import Contract, Fit, Index
from mcp_backend.contracts.payloads.codec import NOTHING_KNOWN, Known, Read
from mcp_backend.contracts.unsafe import unsafe_format
from mcp_backend.facts import MessageFit

SHOWN = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """`against` is what each message fits, and `read` how its payload is to be written (`None`: as it was given).
    `justified` tells that a justification was needed and is there."""

    fits: tuple[MessageFit, ...]
    against: tuple[str | None, ...]
    read: tuple[Read | None, ...]
    notes: tuple[str, ...]
    justified: bool = False


def judge_messages(
    index: Index,
    destination: str,
    messages: Sequence[tuple[Any, Mapping[str, str]]],
    schema: str | None,
    justification: str | None,
    declared: Contract | None = None,
    known: Known = NOTHING_KNOWN,
    expired: str = "",
) -> Judged:
    """Judges pairs of payload and headers by the `declared` contract. `schema` names another one that they must fit as
    well: it narrows what is promised and never replaces it. `expired` says why the justification no longer holds.

    Raises `NotFound`, `InvalidArgument` for a `schema` that is none.
    """
    contracts = [c for c in (declared, index.forced(schema, destination) if schema else None) if c]
    fits: dict[MessageFit, None] = {}
    against: list[str | None] = []
    read: list[Read | None] = []
    notes: dict[str, None] = {}
    misfits = 0
    plain: dict[str, MessageFit] = {}
    for number, (payload, headers) in enumerate(messages):
        if not contracts and "" in plain and _unsafe(payload, headers, None) is None:
            against.append(None)
            read.append(None)
            continue
        found: list[tuple[Contract, Fit]] = []
        for contract in contracts:
            # The second sees what the first one read.
            value = found[0][1].read.value if found and found[0][1].read else payload
            found.append((contract, index.fit(contract, value, headers, known)))
        read_first = found[0][1].read if found else None
        unsafe = _unsafe(payload, headers, read_first)
        alike = unsafe is None and all(f.against for _, f in found)
        source = found[-1][0].source if found else ""
        fit = plain.get(source) if alike else None
        if fit is None:
            fit = _fit(index, destination, found, justification, unsafe, f"messages.{number}")
            fit = replace(fit, expired=expired) if expired and fit.contract is None else fit
            if alike:
                plain[source] = fit
            wrong = not fit.fits or fit.unsafe_format is not None
            misfits += wrong
            if not wrong or misfits <= SHOWN:
                fits[fit] = None
        last = next((f.against for _, f in reversed(found) if f.against), None) if found else None
        against.append(last if fit.fits else None)
        read.append(read_first if fit.fits else None)
        for _, one in found:
            if one.unchecked:
                notes[one.unchecked] = None
    needed = justification is not None and any(fit.contract is None for fit in fits)
    return Judged(tuple(fits), tuple(against), tuple(read), tuple(notes), needed)


def _unsafe(payload: Any, headers: Mapping[str, str], read: Read | None) -> str | None:
    """A format that runs code in the payload as it was given, as its contract reads and writes it, or in a header."""
    found = unsafe_format(payload) or (unsafe_format(dict(headers)) if headers else None)
    if found or read is None:
        return found
    return (unsafe_format(read.value) if read.form else None) or (read.data and unsafe_format(read.data)) or None


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
