"""A deviation that the gate found, with the place in the source that makes it."""

from dataclasses import dataclass

from mcp_backend.contracts.words import Deviation


@dataclass(frozen=True, slots=True)
class Placed:
    """`operation` is one that shows it; `path` and `line` where its code is (0: nowhere in particular). What is not
    `sure` never refuses a commit."""

    deviation: Deviation
    operation: str
    path: str
    line: int
    sure: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """What tells deviations apart, wherever their code moves to."""
        return self.deviation.id, self.deviation.where
