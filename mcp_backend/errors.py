"""The taxonomy of refusals and failures: canonical gRPC status codes, and always what to do next.

https://grpc.io/docs/guides/status-codes/ governs the names. An error reaches the model as a tool result with
`isError` and `structuredContent.error`; the class docstring is the default reason.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

Retry: TypeAlias = Literal["never", "unchanged", "changed", "later"]
Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


class BackendError(Exception):
    """The call did not do what it was asked to do."""

    code: ClassVar[str] = "internal"
    retry: ClassVar[Retry] = "never"

    def __init__(
        self,
        reason: str = "",
        *,
        constraint: str | None = None,
        escalation: str | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        self.reason = reason or (type(self).__doc__ or "").strip().splitlines()[0]
        self.constraint = constraint
        self.escalation = escalation
        self.details = dict(details) if details else None
        super().__init__(self.reason)

    def as_json(self) -> dict[str, Json]:
        """The `error` object of the public contract."""
        error: dict[str, Json] = {"code": self.code, "reason": self.reason, "retry": self.retry}
        if self.constraint:
            error["constraint"] = self.constraint
        if self.escalation:
            error["escalation"] = self.escalation
        if self.details:
            error["details"] = self.details
        return error


class InvalidArgument(BackendError):
    """A field is wrong; the reason names it and says what was expected."""

    code = "invalid_argument"
    retry = "changed"


class NotFound(BackendError):
    """There is no such thing; the reason names what exists instead."""

    code = "not_found"
    retry = "changed"


class PermissionDenied(BackendError):
    """A constraint refuses this call."""

    code = "permission_denied"
    retry = "never"


class FailedPrecondition(BackendError):
    """An approval or a step is missing. Repeat this call unchanged once it is there."""

    code = "failed_precondition"
    retry = "unchanged"


class Aborted(BackendError):
    """The world moved since the plan was made. Look again, then plan again."""

    code = "aborted"
    retry = "changed"


class Unavailable(BackendError):
    """An outside system does not answer; the reason says what is known and what is unknown about the effect."""

    code = "unavailable"
    retry = "later"


class DeadlineExceeded(BackendError):
    """Time ran out; the reason says what was rolled back and what may have happened."""

    code = "deadline_exceeded"
    retry = "later"


class Internal(BackendError):
    """A fault of this server. The id finds the trace in its log."""

    code = "internal"
    retry = "never"


class OutcomeUnknown(Unavailable):
    """The outside system stopped answering after the effect began: it may or may not have happened.

    Same code as `Unavailable`; the audit records the call as `unknown` rather than `failed`.
    """
