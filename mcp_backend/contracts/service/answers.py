"""Judges the answers of an application by what its OpenAPI document promises for their status."""

from mcp_backend.contracts.openapi import fits
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Operation, Response, json_schema
from mcp_backend.contracts.service.generated import UNDESCRIBED
from mcp_backend.contracts.service.talking import Answer
from mcp_backend.contracts.words import Deviation, Unverified


class Findings:
    """What answers showed. `deviations` and `unverified` grow with each."""

    def __init__(self, flattener: Flattener) -> None:
        self._f = flattener
        self.deviations: dict[tuple[str, str], Deviation] = {}
        self.unverified: list[Unverified] = []

    def answered(self, operation: Operation, answer: Answer) -> None:
        """Judges an answer by what is documented for its status."""
        status = str(answer.status)
        response = operation.responses.get(status) or operation.responses.get(f"{status[0]}XX")
        success = 200 <= answer.status < 300
        if response is None and (response := operation.responses.get("default")) is None:
            # Errors that come before the operation itself are everybody's: a limit of the server, its own refusal.
            if success or answer.status in (400, 404, 409, 422):
                self.different("status-undocumented", f"{operation.name} {status}", statuses(operation), status)
            return
        where = f"{operation.name} {status}"
        for name, header in response.headers.items():
            if header.required and name.lower() not in answer.headers:
                found = Deviation(
                    "response-header-missing", "missing", f"{where} {name}", "always sent", "not sent", "probe"
                )
                self.deviations.setdefault((found.id, found.where), found)
        if operation.method != "head":
            self._content(response, answer, where, success)

    def _content(self, response: Response, answer: Answer, where: str, success: bool) -> None:
        documented = {media.partition(";")[0].strip(): schema for media, schema in response.content.items()}
        if not documented:
            return
        if not any(_matches(pattern, answer.media) for pattern in documented):
            if success or not answer.body:
                self.different("content-type-mismatch", where, ", ".join(documented), answer.media or "no content type")
            else:
                self.different("error-body-mismatch", where, ", ".join(documented), answer.media or "no content type")
            return
        schema = documented.get(answer.media) or json_schema(documented)
        if schema is None or "json" not in answer.media:
            return
        try:
            value = answer.json()
        except ValueError:
            self.different(
                "content-type-mismatch" if success else "error-body-mismatch", where, "JSON", "no valid JSON"
            )
            return
        found = fits.misfits(self._f, schema, value, where, "response")
        if not success:
            if found:
                self.different("error-body-mismatch", where, found[0].expected, f"{found[0].where}: {found[0].actual}")
            return
        for misfit in found:
            self._misfit(misfit)
        for misfit in fits.undocumented(self._f, schema, value, where):
            if (note := Unverified(misfit.where, UNDESCRIBED)) not in self.unverified:
                self.unverified.append(note)

    def _misfit(self, misfit: fits.Misfit) -> None:
        place = misfit.where
        word = "type-mismatch" if misfit.id == "constraint-violated" else misfit.id
        kind = {"required-field-missing": "missing", "field-extra": "extra", "enum-value-extra": "extra"}.get(
            word, "different"
        )
        found = Deviation(word, kind, place, misfit.expected, misfit.actual, "probe")  # pyright: ignore[reportArgumentType]
        self.deviations.setdefault((word, place), found)

    def unserved(self, operation: Operation) -> None:
        """An operation whose method is not allowed at its path."""
        found = Deviation("route-missing", "missing", operation.name, "a route", "405 Method Not Allowed", "probe")
        self.deviations.setdefault((found.id, found.where), found)

    def missing_parameter(self, where: str) -> None:
        """A parameter of the query that nothing reads."""
        found = Deviation(
            "query-param-missing", "missing", where, "it is read", "any value gives the same answer", "probe"
        )
        self.deviations.setdefault((found.id, found.where), found)

    def different(self, word: str, where: str, expected: str, actual: str) -> None:
        """Something that is otherwise than promised."""
        self.deviations.setdefault((word, where), Deviation(word, "different", where, expected, actual, "probe"))

    def failed(self, operation: Operation, answer: Answer) -> None:
        """A status that nothing documents, of a request that should not have made the service fail."""
        where = f"{operation.name} {answer.status}"
        self.different("status-undocumented", where, statuses(operation), str(answer.status))

    def unsure(self, where: str, why: str) -> None:
        """Something that could not be checked."""
        self.unverified.append(Unverified(where, why))


def statuses(operation: Operation) -> str:
    """The documented statuses."""
    return ", ".join(operation.responses) or "none"


def _matches(pattern: str, media: str) -> bool:
    return pattern == media or pattern == "*/*" or (pattern.endswith("/*") and media.startswith(pattern[:-1]))
