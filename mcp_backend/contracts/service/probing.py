"""Asks an application a few questions per operation: what it sends, what it refuses, which parameters it reads.

Reading operations come first; nothing is deleted that was not created here; one fault does not hide another.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation, Parameter, json_schema
from mcp_backend.contracts.service.answers import Findings
from mcp_backend.contracts.service.known import Known, is_list
from mcp_backend.contracts.service.talking import Answer, Ask, Talk
from mcp_backend.contracts.service.values import Bad, bad_texts, bad_values, good
from mcp_backend.telling import tell

REQUESTS = 600  # altogether
FIELDS = 12
"""Fields of one body that are tried with bad values."""
_ORDER = {"get": 0, "head": 1, "post": 2, "put": 3, "patch": 4, "delete": 5}


class Probe:
    """One round of questions. `found` grows while it goes on."""

    def __init__(self, api: Api, talk: Talk, base: str, headers: Sequence[Mapping[str, str]]) -> None:
        self.api, self._talk, self._base = api, talk, base
        self._f = Flattener(api)
        self._candidates = list(headers)
        self._headers: Mapping[str, str] = headers[0] if headers else {}
        self.found = Findings(self._f)
        self.requests = 0
        self.refused: set[str] = set()
        """Parameters and properties whose bad values were refused, as far as some were tried."""
        self._known = Known(self._f)
        self.first: dict[str, int] = {}
        """The status of the first answer of each operation."""

    async def run(self, operations: Sequence[Operation]) -> None:
        """Asks about every operation."""
        await tell(f"asking for {len(operations)} operations of {self.api.path}")
        await self._authorise(operations)
        # Shorter paths first: collections give the ids that their members are asked for by.
        for operation in sorted(
            operations, key=lambda o: (_ORDER.get(o.method, 6), o.path.count("{"), o.path.count("/"))
        ):
            if self.requests >= REQUESTS:
                self.found.unsure(operation.name, f"not asked: {REQUESTS} requests were sent already")
            elif self._talk.ended:
                self.found.unsure(operation.name, f"not asked: {self._talk.ended}")
            elif not self._may(operation):
                self.found.unsure(operation.name, "it writes: a running service is only asked what changes nothing")
            else:
                await self._operation(operation)
                if self._talk.ended and self.first.get(operation.name):
                    self.found.unsure(operation.name, f"not asked to the end: {self._talk.ended}")

    def _may(self, operation: Operation) -> bool:
        return self._talk.writes or operation.method in ("get", "head")

    async def _authorise(self, operations: Sequence[Operation]) -> None:
        """Chooses the credentials that let an operation through that asks for some."""
        guarded = [o for o in operations if _secured(o) and self._may(o)]
        for operation in sorted(guarded, key=lambda o: (o.method != "get", o.path.count("{")))[:1]:
            for headers in self._candidates:
                self._headers = headers
                answer = await self._send(operation)
                if answer.status not in (0, 401, 403):
                    return
            self._headers = self._candidates[0] if self._candidates else {}

    async def _operation(self, operation: Operation) -> None:
        answer = await self._send(operation)
        self.first[operation.name] = answer.status
        if answer.status == 0:
            self.found.unsure(operation.name, f"no answer: {self._talk.ended}" if self._talk.ended else "no answer")
            return
        if answer.status == 405 and "405" not in operation.responses:
            self.found.unserved(operation)
            return
        if answer.status in (401, 403) and _secured(operation):
            self.found.unsure(operation.name, "every request was refused for its credentials: give some in headers")
            self.found.answered(operation, answer)
            return
        if answer.status >= 500:
            self.found.failed(operation, answer)
            self.found.unsure(operation.name, f"a valid request was answered with {answer.status}")
            return
        self.found.answered(operation, answer)
        self._known.remember(operation, answer)
        await self._credentials(operation)
        if not 200 <= answer.status < 300:
            self.found.unsure(operation.name, f"no request succeeded: {answer.status}")
        else:
            await self._query(operation, answer)
            if operation.body is not None:
                await self._body(operation)
        if "{" in operation.path:
            await self._missing(operation)

    async def _credentials(self, operation: Operation) -> None:
        if not _secured(operation):
            return
        unknown = () if operation.method == "get" else (p for p in operation.parameters if p.where == "path")
        answer = await self._send(operation, headers={}, path={p.name: self._known.unknown(p) for p in unknown})
        if answer.status in (401, 403):
            self.found.answered(operation, answer)
        elif 200 <= answer.status < 300 or (answer.status in (400, 404, 415, 422) and operation.method != "get"):
            self.found.different("auth-not-enforced", operation.name, "401 without credentials", str(answer.status))

    async def _query(self, operation: Operation, answer: Answer) -> None:
        for parameter in operation.parameters:
            if parameter.where != "query" or parameter.schema is None:
                continue
            where = f"{operation.name} {parameter.name}"
            accepted, refused = list[Bad](), False
            for bad in bad_texts(self._f, parameter.schema):
                got = await self._send(operation, query={parameter.name: bad.value})
                if got.status >= 500:
                    self.found.failed(operation, got)
                elif 200 <= got.status < 300:
                    accepted.append(bad)
                elif got.status:
                    refused = True
                    self.found.answered(operation, got)
            if accepted and (
                refused or await self._reads(operation, parameter, answer) or not self._tells(parameter, answer)
            ):
                self.found.different(
                    "constraint-not-enforced", where, accepted[0].rule, f"{accepted[0].value[:40]!r} is accepted"
                )
            elif accepted:
                self.found.missing_parameter(where)
            elif refused:
                self.refused.add(where)
            elif not await self._odd(operation, parameter, answer):
                self.found.unsure(where, "nothing tells whether it is read")

    async def _reads(self, operation: Operation, parameter: Parameter, before: Answer) -> bool:
        """Whether a value that fits changes the answer: then the parameter is read."""
        assert parameter.schema is not None
        schema = self._f.flat(parameter.schema)
        values = [str(v) for v in schema.enum or ()][:4]
        if schema.types & {"integer", "number"}:
            least = schema.limits.get("minimum")
            values = [str(int(least)) if least is not None else "1"]
        if schema.types == frozenset({"boolean"}):
            values = ["true", "false"]
        for value in values:
            got = await self._send(operation, query={parameter.name: value})
            if got.status != before.status or got.body != before.body:
                return True
        return False

    async def _odd(self, operation: Operation, parameter: Parameter, before: Answer) -> bool:
        """Whether a text that hardly means anything is treated in another way; its refusal has to be documented."""
        got = await self._send(operation, query={parameter.name: "no-such-value"})
        if got.status >= 500:
            self.found.failed(operation, got)
        elif got.status in (400, 422):
            self.found.answered(operation, got)
        return got.status != before.status or got.body != before.body

    def _tells(self, parameter: Parameter, answer: Answer) -> bool:
        """Whether the same answer to every value means that nothing reads them: a collection that holds less than two
        is the same in any order and number, and what a switch would add or hide may not be there."""
        try:
            value = answer.json()
        except ValueError:
            return True
        held: list[Any] = list(mapping(value).values()) if isinstance(value, dict) else [value]
        lists = cast("list[list[Any]]", [v for v in held if is_list(v)])
        switch = parameter.schema is not None and self._f.flat(parameter.schema).types == frozenset({"boolean"})
        return not lists or (not switch and max(map(len, lists)) > 1)

    async def _body(self, operation: Operation) -> None:
        assert operation.body is not None
        schema = json_schema(operation.body.content)
        if schema is None:
            self.found.unsure(f"{operation.name} body", "its body is no JSON")
            return
        made, flat = good(self._f, schema), self._f.flat(schema)
        if not isinstance(made, dict) or not flat.properties:
            return
        valid = cast("dict[str, Any]", made)
        name = self.api.component(schema) or f"{operation.name} body"
        for key in sorted(flat.required & flat.properties.keys()):
            if self._f.flat(flat.properties[key]).read:
                continue
            got = await self._send(operation, body=_encoded({k: v for k, v in valid.items() if k != key}))
            self._judge(operation, got, "request-required-not-enforced", f"{name}.{key}", "refused when it is missing")
        for key, node in list(flat.properties.items())[:FIELDS]:
            if self._f.flat(node).read:
                continue
            for bad in bad_values(self._f, node):
                got = await self._send(operation, body=_encoded({**valid, key: bad.value}))
                told = f"{bad.rule}, so {str(bad.value)[:40]!r} is refused"
                self._judge(operation, got, "constraint-not-enforced", f"{name}.{key}", told)
        if flat.additional is False:
            got = await self._send(operation, body=_encoded({**valid, "no_such_field": 1}))
            self._judge(operation, got, "constraint-not-enforced", name, "unknown fields are refused")

    def _judge(self, operation: Operation, got: Answer, word: str, where: str, expected: str) -> None:
        if got.status >= 500:
            self.found.failed(operation, got)
        elif 200 <= got.status < 300:
            self.found.different(word, where, expected, f"accepted with {got.status}")
        elif got.status:
            self.refused.add(where)
            self.found.answered(operation, got)

    async def _missing(self, operation: Operation) -> None:
        """What is sent for an id that nothing has, and for one that can be none."""
        parameters = [p for p in operation.parameters if p.where == "path"]
        if not any("404" in s or s in ("4XX", "default") for s in operation.responses):
            return
        path = {p.name: self._known.unknown(p) for p in parameters}
        got = await self._send(operation, path=path)
        # An id that fits the schema is a fair question; a text that no schema describes further may be none.
        fair = all(self._fits(p) for p in parameters)
        if got.status == 404 or (fair and got.status in (400, 409, 410, 422)):
            self.found.answered(operation, got)
        elif fair and got.status >= 500 and not operation.responses.keys() & {str(got.status), "5XX", "default"}:
            self.found.failed(operation, got)
        for parameter in parameters[-1:]:
            for bad in list(bad_texts(self._f, parameter.schema))[:2] if parameter.schema else ():
                got = await self._send(operation, path={**self._known.path(operation), parameter.name: bad.value})
                where = f"{operation.name} {parameter.name}"
                if 200 <= got.status < 300:
                    self.found.different("constraint-not-enforced", where, bad.rule, f"{bad.value!r} is accepted")
                elif got.status in (400, 422):
                    self.refused.add(where)
                    self.found.answered(operation, got)

    def _fits(self, parameter: Parameter) -> bool:
        flat = self._f.flat(parameter.schema) if parameter.schema is not None else None
        return flat is not None and (bool(flat.types & {"integer", "number"}) or flat.format == "uuid")

    async def _send(
        self, operation: Operation, *, headers: Mapping[str, str] | None = None, query: Mapping[str, str] | None = None,
        path: Mapping[str, str] | None = None, body: bytes | None = None,
    ) -> Answer:  # fmt: skip
        values = {**self._known.path(operation), **(path or {})}
        address = re.sub(r"\{([^}]+)\}", lambda m: quote(values.get(m.group(1), "1"), safe=""), operation.path)
        asked = {
            p.name: str(good(self._f, p.schema))
            for p in operation.parameters
            if p.where == "query" and p.required and p.schema
        }
        sent = dict(self._headers if headers is None else headers)
        for parameter in operation.parameters:
            if parameter.where == "header" and parameter.required and parameter.schema is not None:
                sent.setdefault(parameter.name, str(good(self._f, parameter.schema)))
        if operation.body is not None and operation.method not in ("get", "head"):
            schema = json_schema(operation.body.content)
            if body is None and schema is not None:
                body = _encoded(good(self._f, schema))
            sent.setdefault("Content-Type", "application/json")
        sent.setdefault("Accept", "*/*")
        self.requests += 1
        ask = Ask(
            operation.method.upper(), self._base + address, tuple({**asked, **(query or {})}.items()), sent, body or b""
        )
        return await self._talk.send(ask)


def _secured(operation: Operation) -> bool:
    return bool(operation.security) and {} not in operation.security  # pyright: ignore[reportOperatorIssue]


def _encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
