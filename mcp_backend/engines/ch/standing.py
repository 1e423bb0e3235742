"""What the server is, and what our user may do on it: asked once, and again when that was a while ago."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

PROBE = """
SELECT version(), timezone(), currentDatabase(), currentUser(), toString(getSetting('readonly')),
  (SELECT groupArray(name) FROM system.columns WHERE database = 'system' AND table = 'functions'),
  (SELECT groupArray(name) FROM system.settings WHERE readonly = 0),
  (SELECT groupArray((name, value)) FROM system.settings WHERE name = 'max_memory_usage')
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """`readonly` is what the user's profile says: 0 writes, 1 reads and sets nothing, 2 reads and may set.
    `may_set` are the settings that a request may bring; `memory` the profile's limit in bytes, 0 for none;
    `determinism` the column of system.functions that tells, if there is one."""

    version: str
    timezone: str
    database: str
    user: str
    readonly: int
    may_set: frozenset[str]
    memory: int
    determinism: str

    def layers(self) -> str:
        """Where read only comes from, for people."""
        if self.readonly == 0:
            return "readonly=1 for this statement, verified; the user itself may write"
        return f"readonly={self.readonly} by the user's own profile, verified"


def take(pieces: Iterator[bytes], headers: Mapping[str, str]) -> Standing:
    """The standing from the answer to `PROBE` in JSONCompactEachRow."""
    row = json.loads(b"".join(pieces))
    version, timezone, database, user, readonly, columns, may_set, memory = row
    level = int(readonly)
    return Standing(
        version,
        timezone,
        database,
        user,
        level,
        frozenset(may_set) if level != 1 else frozenset(),
        int(memory[0][1]) if memory else 0,
        next((name for name in ("deterministic", "is_deterministic") if name in columns), ""),
    )
