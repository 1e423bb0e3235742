"""Asks a running service also with schemathesis, which somebody else wrote: https://schemathesis.readthedocs.io

It runs in an environment of its own (its packages need not fit this one's), in the fence, for the seconds that the
policy gives it, and reaches the service through `door` alone. What it found is told in the words of this project: an
answer it complains of is judged again here for the place, and where that finds nothing, its own words stand.
"""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias, cast

from mcp_backend.contracts.documents import mapping
from mcp_backend.contracts.openapi.flat import Flattener
from mcp_backend.contracts.openapi.model import Api, Operation
from mcp_backend.contracts.service import door
from mcp_backend.contracts.service.answers import Findings, statuses
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.service.talking import Answer
from mcp_backend.contracts.words import Deviation, Unverified
from mcp_backend.errors import Unavailable
from mcp_backend.policy import Policy
from mcp_backend.settings import Workspace, hide_credentials
from mcp_backend.telling import tell
from mcp_backend.workspace import childenv, process
from mcp_backend.workspace.fence.around import around

PROGRAM = SOURCE = "schemathesis"
STARTING_SECONDS = 60.0
"""What it may take besides the seconds it asks for: to start, to read the document, to write its report."""
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection",
)  # fmt: skip
WORDS = {
    "content_type_conformance": "content-type-mismatch",
    "response_headers_conformance": "response-header-missing",
    "response_schema_conformance": "type-mismatch",
}
Failure: TypeAlias = tuple[str, Mapping[str, Any], Mapping[str, Any], str]
"""The name of the check, the case, the answer, and what it says."""
# It sends methods that the document does not have as well: to a service, PUT and DELETE are no questions.
SETTINGS = "[phases.coverage]\nunexpected-methods = []\n"


def program() -> str:
    """The program. Raises `Unavailable` where there is none."""
    if found := shutil.which(PROGRAM):
        return found
    raise Unavailable(
        "the policy's check_contract.deep_seconds needs the program schemathesis on the PATH of this server, in an "
        'environment of its own: uv tool install "schemathesis>=4,<5" (or pipx install). Without it, a person takes '
        "deep_seconds out of mcp-backend.toml, and this call checks by requests of its own"
    )


async def check(
    api: Api, workspace: Workspace, policy: Policy, url: str, base: str, headers: Mapping[str, str], checked: Checked
) -> None:
    """Adds what it finds at `url`, below `base`, to `checked`. Raises `FailedPrecondition`, `Unavailable`."""
    await tell(f"asking {url} with schemathesis, for at most {policy.deep_seconds:g} s")
    with (
        tempfile.TemporaryDirectory(prefix="mb-", ignore_cleanup_errors=True) as name,
        door.opened(url, headers) as there,
    ):
        folder = Path(name).resolve()
        settings, report = folder / "schemathesis.toml", folder / "report.ndjson"
        settings.write_text(SETTINGS)
        command = [
            program(), "--config-file", str(settings), "--no-color", "run", str(workspace.root / api.path),
            "--url", f"http://127.0.0.1:{there.port}{base}", "--include-method", "GET", "--include-method", "HEAD",
            "--phases", "coverage,fuzzing", "--checks", ",".join(CHECKS), "--continue-on-failure", "--seed", "1",
            "--max-time", str(policy.deep_seconds), "--max-redirects", "0", "--generation-database", "none",
            "--report", "ndjson", "--report-ndjson-path", str(report),
        ]  # fmt: skip
        # Nothing but the door can be reached, neither engines nor what a document refers to elsewhere.
        narrow = replace(policy, engines={}, sandbox=replace(policy.sandbox, ports=(there.port,), network_because=""))
        environment = childenv.for_commands(workspace.root, os.environ, ())
        async with around(workspace, narrow, cwd=folder, shared=(folder,)) as inside:
            done = await process.run(
                command, cwd=folder, environment={**environment, **inside.environment},
                seconds=policy.deep_seconds + STARTING_SECONDS, log=folder / "log", fence=inside,
            )  # fmt: skip
            inside.confirm()
        checked.sandbox = inside.sandbox
        checked.requests += there.passed
        told = [*failures(report)] if report.exists() else []
    if done.timed_out:
        limit = policy.deep_seconds + STARTING_SECONDS
        checked.unverified.append(Unverified("*", f"{SOURCE} was stopped after {limit:.0f} s; its findings may be few"))
    elif done.exit_code not in (0, 1) or not there.passed:
        tail = hide_credentials(done.tail.strip()[-300:])
        checked.unverified.append(Unverified("*", f"{SOURCE} ended with {done.exit_code} before it asked all: {tail}"))
    if there.passed:
        checked.sources.append(SOURCE)
    checked.add(*judged(api, told))


def failures(report: Path) -> Iterator[Failure]:
    """Each failed check of the report."""
    with report.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                recorder = mapping(mapping(mapping(json.loads(line)).get("ScenarioFinished")).get("recorder"))
            except (ValueError, RecursionError):
                continue  # the last line of one that was stopped
            cases, answers = mapping(recorder.get("cases")), mapping(recorder.get("interactions"))
            for case, checks in mapping(recorder.get("checks")).items():
                for one in cast("list[Any]", checks):
                    if mapping(one).get("status") == "failure":
                        message = mapping(mapping(mapping(one).get("failure_info")).get("failure")).get("message")
                        answer = mapping(mapping(answers.get(case)).get("response"))
                        value = mapping(mapping(cases.get(case)).get("value"))
                        yield str(mapping(one).get("name")), value, answer, str(message or "").strip()


def judged(api: Api, told: Iterable[Failure]) -> tuple[list[Deviation], list[Unverified]]:
    """What schemathesis complains of, as deviations."""
    operations = {o.name: o for o in api.operations}
    flattener = Flattener(api)
    found: dict[tuple[str, str], Deviation] = {}
    unsure: list[Unverified] = []
    for check, case, response, message in told:
        operation = operations.get(f"{case.get('method')} {case.get('path')}")
        if operation is None or not response:
            continue
        findings = Findings(flattener)
        answer = _answer(response)
        where = f"{operation.name} {answer.status}"
        if check == "negative_data_rejection":
            _accepted(findings, operation, case, answer)
        elif check == "not_a_server_error":
            findings.failed(operation, answer)
        else:
            findings.answered(operation, answer)
            if not findings.deviations and check in WORDS:
                findings.different(WORDS[check], where, "as documented", message.partition("\n")[0][:200])
            elif not findings.deviations:
                why = f"{SOURCE}: {answer.status} is not documented ({statuses(operation)}); here it is everybody's"
                unsure.append(Unverified(where, why))
        for key, deviation in findings.deviations.items():
            found.setdefault(key, replace(deviation, source=SOURCE))
    return list(found.values()), unsure


def _answer(response: Mapping[str, Any]) -> Answer:
    headers = {
        str(n).lower(): str(v[0] if isinstance(v, list) and v else v)  # pyright: ignore[reportUnknownArgumentType]
        for n, v in mapping(response.get("headers")).items()
    }
    content = mapping(response.get("content")).get("$base64")
    return Answer(int(response.get("status_code", 0)), headers, base64.b64decode(content or ""))


def _accepted(findings: Findings, operation: Operation, case: Mapping[str, Any], answer: Answer) -> None:
    """A request that does not keep to the document and was taken."""
    data = mapping(mapping(mapping(case.get("meta")).get("phase")).get("data"))
    name, place = str(data.get("parameter") or ""), str(data.get("parameter_location") or "")
    values = mapping(case.get({"path": "path_parameters", "header": "headers"}.get(place, place)))
    if name in values and not isinstance(values[name], str):
        return  # a list or an object has no one form in a URL: what was sent may be allowed
    where = f"{operation.name} {name}".strip()
    rule = str(data.get("description") or "a request against the document is refused")
    if name and name not in values:
        findings.different("request-required-not-enforced", where, rule, f"accepted with {answer.status}")
    else:
        actual = f"{str(values.get(name))[:40]!r} is accepted" if name else f"accepted with {answer.status}"
        findings.different("constraint-not-enforced", where, rule, actual)


__all__ = ["check", "failures", "judged", "program"]
