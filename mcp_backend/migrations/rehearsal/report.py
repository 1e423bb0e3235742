"""What a rehearsal found, as frozen data. Standard library only.

`Report.as_result()` is the result of the tool; a page for people and another engine build on the same types.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from mcp_backend.errors import Json

Verdict: TypeAlias = Literal["safe", "warn", "needs_approval", "reject"]
Severity: TypeAlias = Literal["info", "warn", "needs_approval", "reject"]
"""How far a hazard raises the verdict: `info` not at all."""
Source: TypeAlias = Literal["observed", "catalog", "target_data", "statement", "squawk"]
"""Where a hazard was found: seen while a statement ran, in the difference of the catalog, in the target's own rows, in
the statement's grammar, or by squawk."""
Blocks: TypeAlias = Literal["", "ddl", "writes", "reads+writes"]

_RANK: Mapping[str, int] = MappingProxyType({"safe": 0, "info": 0, "warn": 1, "needs_approval": 2, "reject": 3})
_VERDICTS: tuple[Verdict, ...] = ("safe", "warn", "needs_approval", "reject")
MOST_STATEMENTS = 60
LONGEST_SQL = 500
MOST_LINES = 60


@dataclass(frozen=True, slots=True)
class Band:
    """An estimate in milliseconds for the target, and the bounds that measured extrapolations stayed within."""

    low: float
    expected: float
    high: float

    def as_json(self) -> dict[str, Json]:
        """Whole milliseconds above 10, one decimal below."""
        return {"low": _ms(self.low), "expected": _ms(self.expected), "high": _ms(self.high)}


NO_TIME = Band(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a relation that was there before. `blocks` is what the application cannot do while it is held."""

    relation: str
    mode: str
    blocks: Blocks = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """One bar of the timeline: a blocking lock, from the statement that takes it until the transaction's end.

    `held_ms` was observed on the shadow, `estimate` is for the target.
    """

    relation: str
    mode: str
    blocks: Blocks
    from_statement: int
    to_statement: int
    held_ms: float
    estimate: Band = NO_TIME


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A relation whose file was written anew. `rows` and `bytes` are the target's."""

    relation: str
    rows: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """A relation that was read as a whole: rows read on the shadow, and what the target has."""

    relation: str
    rows_read: int = 0
    target_rows: int = 0


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it ran. `number` counts from 1 over the whole rehearsal; `line` is the line of its file or of
    the SQL given; `rows` were inserted, updated or deleted on the shadow; `error` is what the server said."""

    number: int
    sql: str
    line: int = 1
    file: str = ""
    transaction: int = 0
    elapsed_ms: float = 0
    locks: tuple[Lock, ...] = ()
    rewrites: tuple[Rewrite, ...] = ()
    scans: tuple[Scan, ...] = ()
    rows: int = 0
    wal_bytes: int = 0
    estimate: Band = NO_TIME
    error: str = ""

    def as_json(self) -> dict[str, Json]:
        """The statement of the result; what is empty beyond the contract's fields is left out."""
        sql = " ".join(self.sql.split())
        told: dict[str, Json] = {
            "sql": sql if len(sql) <= LONGEST_SQL else f"{sql[:LONGEST_SQL]}…",
            "line": self.line,
            "elapsed_ms": _ms(self.elapsed_ms),
            "locks": [{"relation": k.relation, "mode": k.mode, "blocks": k.blocks} for k in self.locks],
            "rewrites": [{"relation": r.relation, "rows": r.rows, "bytes": r.bytes} for r in self.rewrites],
            "scans": [
                {"relation": s.relation, "rows_read": s.rows_read, "target_rows": s.target_rows} for s in self.scans
            ],
            "rows": self.rows,
        }
        told |= {"file": self.file} if self.file else {}
        told |= {"wal_bytes": self.wal_bytes} if self.wal_bytes else {}
        told |= {"estimate_ms": self.estimate.as_json()} if self.estimate.high >= 1 else {}
        return told | ({"error": self.error} if self.error else {})


@dataclass(frozen=True, slots=True)
class Hazard:
    """One finding. `statement` is a `Statement.number`, 0 for the whole. `evidence` is what was seen; `untrusted` in it
    holds values of rows, which are data and never instructions. `rewrite` is SQL that does the same safely, and
    `rewrite_verdict` what its own rehearsal said."""

    id: str
    statement: int
    severity: Severity
    reason: str
    remedy: str = ""
    source: Source = "observed"
    anchors: tuple[str, ...] = ()
    evidence: Mapping[str, Json] = field(default_factory=lambda: MappingProxyType({}))
    rewrite: str = ""
    rewrite_verdict: str = ""

    def as_json(self) -> dict[str, Json]:
        """The hazard of the result."""
        told: dict[str, Json] = {
            "id": self.id,
            "statement": self.statement,
            "severity": self.severity,
            "reason": self.reason,
            "remedy": self.remedy,
            "source": self.source,
            "anchors": list[Json](self.anchors),
        }
        told |= {"evidence": dict(self.evidence)} if self.evidence else {}
        if self.rewrite:
            told["rewrite"] = {"sql": self.rewrite, "rehearsed": self.rewrite_verdict or "no"}
        return told


@dataclass(frozen=True, slots=True)
class Reversible:
    """Whether up and then down give the schema that was there before; `None` when there is no down to try."""

    up_down_equal: bool | None = None
    difference: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Shadow:
    """What was rehearsed on. `statistics` says where sizes come from, `cached` whether the schema was there already."""

    rows_sampled: int = 0
    statistics: str = ""
    seconds: float = 0
    version: str = ""
    cached: bool = False

    def as_json(self) -> dict[str, Json]:
        """The shadow of the result."""
        return {
            "rows_sampled": self.rows_sampled,
            "statistics": self.statistics,
            "seconds": round(self.seconds, 3),
            "version": self.version,
            "cached": self.cached,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """One rehearsal. `digest` is that of the actions `run_migration` would run, so an approval binds to it.

    `at_version` is the target's schema version that was rehearsed, `version_after` the one it would have afterwards.
    `not_checked` says in words what the rehearsal cannot tell.
    """

    engine: str
    dialect: str
    digest: str
    at_version: str
    verdict: Verdict
    version_after: str = ""
    direction: str = "up"
    statements: tuple[Statement, ...] = ()
    holds: tuple[Hold, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    reversible: Reversible = Reversible()
    schema_diff: tuple[str, ...] = ()
    shadow: Shadow = Shadow()
    not_checked: tuple[str, ...] = ()
    budget_ms: float = 500

    def as_result(self) -> dict[str, Json]:
        """The result of the tool, bounded: what is left out is counted in `truncated`."""
        shown = self.statements[:MOST_STATEMENTS]
        named = {h.statement for h in self.hazards}
        shown += tuple(s for s in self.statements[MOST_STATEMENTS:] if s.number in named)[:MOST_STATEMENTS]
        told: dict[str, Json] = {
            "digest": self.digest,
            "at_version": self.at_version,
            "version_after": self.version_after,
            "verdict": self.verdict,
            "hazards": [hazard.as_json() for hazard in self.hazards],
            "statements": [{"number": s.number, **s.as_json()} for s in shown],
            "timeline": [
                {
                    "relation": h.relation, "mode": h.mode, "blocks": h.blocks, "from": h.from_statement,
                    "to": h.to_statement, "held_ms": _ms(h.held_ms), "estimate_ms": h.estimate.as_json(),
                }
                for h in self.holds[:MOST_STATEMENTS]
            ],
            "reversible": {
                "up_down_equal": self.reversible.up_down_equal,
                "difference": list[Json](self.reversible.difference[:MOST_LINES]),
            },
            "schema_diff": list[Json](self.schema_diff[:MOST_LINES]),
            "shadow": self.shadow.as_json(),
            "not_checked": list[Json](self.not_checked),
        }  # fmt: skip
        if len(shown) < len(self.statements):
            told |= {"truncated": True, "statements_total": len(self.statements)}
        return told


def verdict(hazards: tuple[Hazard, ...]) -> Verdict:
    """The strictest severity."""
    return _VERDICTS[max((_RANK[hazard.severity] for hazard in hazards), default=0)]


def _ms(value: float) -> float:
    return round(value, 1) if value < 10 else float(round(value))
