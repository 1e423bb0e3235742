"""What the gate of a commit costs, and the summary of a large specification.

A generated service of 500 operations (FastAPI in 50 files of ten; the same in Go): one handler changes in each round.
Cold: nothing is kept. Warm: the parent was judged before, by another process. Without a specification the gate has only
to see that there is none. Processor time, because other programs share a developer's machine; wall clock beside it.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from mcp_backend.contracts import gate, reading, sources, specs
from mcp_backend.settings import Workspace, workspace
from mcp_backend.workspace import git_environment
from mcp_backend.workspace.trees import Trees

GROUPS, EACH, ROUNDS = 50, 10, 5
GIVEN = "MCP_BACKEND_BENCH_SPEC"
"""An OpenAPI document in YAML or JSON whose summary is measured instead of the generated one's."""


async def measure() -> list[str]:
    """Milliseconds, and the budget of each."""
    lines = [
        f"contracts, a service of {GROUPS * EACH} operations",
        "what | processor min/p50 ms | wall min ms | budget ms",
    ]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for kind, files in (("FastAPI", _fastapi()), ("Go", _go())):
            lines += _gated(Path(name) / kind, kind, files)
        given = os.environ.get(GIVEN)
        lines += _summarised(Path(name) / "spec", Path(given).read_text() if given else _specification())
    return lines


def _gated(root: Path, kind: str, files: dict[str, str]) -> list[str]:
    commits = [_commit(root, files)]
    changed = next(path for path in files if path.endswith(("g7.py", "g7.go")))
    comment = "#" if kind == "FastAPI" else "//"
    commits += [_commit(root, {changed: f"{files[changed]}\n{comment} {number}\n"}) for number in range(ROUNDS + 1)]
    place = workspace(root)
    cold: list[tuple[float, float]] = []
    for old, new in pairwise(commits[: ROUNDS + 1]):
        state = root.parent / f"state-{kind}-{new[:8]}"
        cold.append(_timed(lambda state=state, old=old, new=new: _looked(replace(place, state=state), old, new)))
        shutil.rmtree(state)
    _looked(place, commits[0], commits[1])
    warm = [_timed(lambda old=old, new=new: _looked(place, old, new)) for old, new in pairwise(commits[1:])]
    without = _commit(root, {"openapi.yaml": "title: none\n"})
    after = _commit(root, {changed: files[changed]})
    _looked(place, without, after)
    none = [_timed(lambda: _looked(place, without, after)) for _ in range(ROUNDS)]
    return [
        _row(f"{kind}: cold, one handler changed", cold, "-"),
        _row(f"{kind}: warm, one handler changed", warm, "1000"),
        _row(f"{kind}: no specification", none, "50"),
    ]


def _summarised(root: Path, text: str) -> list[str]:
    _commit(root, {"openapi.yaml": text})
    source = sources.work_tree(workspace(root))
    (spec,) = specs.find(source)
    first = _timed(lambda: reading.contract(source, spec))
    again = [_timed(lambda: reading.contract(source, spec)) for _ in range(ROUNDS)]
    return [_row("summary and gaps, cold", [first], "3000"), _row("summary and gaps, warm", again, "50")]


def _looked(place: Workspace, old: str, new: str) -> None:
    place.state.mkdir(parents=True, exist_ok=True)
    trees = Trees(git_environment.open_repository(place), place.state)
    found, unjudged = gate.looked(trees, place, old, new, trees.between(old, new))
    assert not found, found[:3]
    assert not unjudged, unjudged


def _timed(work: Callable[[], object]) -> tuple[float, float]:
    began, wall = time.process_time(), time.perf_counter()
    work()
    return (time.process_time() - began) * 1000, (time.perf_counter() - wall) * 1000


def _row(what: str, taken: list[tuple[float, float]], budget: str) -> str:
    processor = [one for one, _ in taken]
    return (
        f"{what} | {min(processor):.0f}/{statistics.median(processor):.0f} | {min(w for _, w in taken):.0f} | {budget}"
    )


def _commit(root: Path, files: dict[str, str]) -> str:
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    options = ["-c", "user.name=B", "-c", "user.email=b@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "--all", "."], ["commit", "--quiet", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *options, *arguments], cwd=root, check=True, capture_output=True)
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, check=True, capture_output=True, text=True)
    return asked.stdout.strip()


def _specification() -> str:
    lines = ["openapi: 3.1.0", "info: {title: Large, version: '1'}", "paths:"]
    for group in range(GROUPS):
        for one in range(EACH // 2):
            lines += [
                f"  /g{group}/r{one}:",
                "    get:",
                "      parameters: [{name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}]",
                "      responses: {'200': {description: ok, content: {application/json: {schema:",
                f"        {{type: array, items: {{$ref: '#/components/schemas/R{group}x{one}'}}}}}}}}}}}}",
                "    post:",
                "      requestBody: {content: {application/json: {schema:",
                f"        {{$ref: '#/components/schemas/R{group}x{one}'}}}}}}}}",
                "      responses: {'201': {description: made, content: {application/json: {schema:",
                f"        {{$ref: '#/components/schemas/R{group}x{one}'}}}}}}}}}}",
            ]
    lines += ["components:", "  schemas:"]
    lines += [
        f"    R{group}x{one}: {{type: object, required: [id, name], properties: {{id: {{type: integer}}, "
        "name: {type: string}, note: {type: string}}}"
        for group in range(GROUPS) for one in range(EACH // 2)
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _fastapi() -> dict[str, str]:
    files = {"openapi.yaml": _specification(), "service/__init__.py": ""}
    names = ", ".join(f"g{group}" for group in range(GROUPS))
    included = "\n".join(f"app.include_router(g{group}.router)" for group in range(GROUPS))
    files["service/main.py"] = (
        f"from fastapi import FastAPI\n\nfrom service import {names}\n\napp = FastAPI()\n{included}\n"
    )
    for group in range(GROUPS):
        text = (
            "from typing import Annotated\n\nfrom fastapi import APIRouter, Query\nfrom pydantic import BaseModel\n\n"
            f'router = APIRouter(prefix="/g{group}")\n'
        )
        for one in range(EACH // 2):
            model = f"R{group}x{one}"
            text += (
                f'\n\nclass {model}(BaseModel):\n    id: int\n    name: str\n    note: str = ""\n'
                f'\n\n@router.get("/r{one}")\ndef list_{one}(limit: Annotated[int, Query(ge=1, le=100)] = 20)'
                f" -> list[{model}]:\n    return []\n"
                f'\n\n@router.post("/r{one}", status_code=201)\ndef make_{one}(body: {model}) -> {model}:\n'
                "    return body\n"
            )
        files[f"service/g{group}.py"] = text
    return files


def _go() -> dict[str, str]:
    files = {"openapi.yaml": _specification(), "go.mod": "module example.org/large\n\ngo 1.24\n"}
    filled = "\n".join(f"\tfill{group}(mux)" for group in range(GROUPS))
    files["main.go"] = (
        f'package main\n\nimport "net/http"\n\nfunc main() {{\n\tmux := http.NewServeMux()\n{filled}\n'
        '\thttp.ListenAndServe(":8080", mux)\n}\n'
    )
    for group in range(GROUPS):
        text = 'package main\n\nimport (\n\t"encoding/json"\n\t"net/http"\n)\n'
        routes = ""
        for one in range(EACH // 2):
            model, end = f"R{group}x{one}", f"{group}x{one}"
            routes += f'\tmux.HandleFunc("GET /g{group}/r{one}", list{end})\n'
            routes += f'\tmux.HandleFunc("POST /g{group}/r{one}", make{end})\n'
            text += (
                f'\ntype {model} struct {{\n\tID   int    `json:"id"`\n\tName string `json:"name"`\n'
                '\tNote string `json:"note,omitempty"`\n}\n'
                f"\nfunc list{end}(w http.ResponseWriter, r *http.Request) {{\n"
                f'\t_ = r.URL.Query().Get("limit")\n\tjson.NewEncoder(w).Encode([]{model}{{}})\n}}\n'
                f"\nfunc make{end}(w http.ResponseWriter, r *http.Request) {{\n\tvar body {model}\n"
                "\tjson.NewDecoder(r.Body).Decode(&body)\n\tw.WriteHeader(http.StatusCreated)\n"
                "\tjson.NewEncoder(w).Encode(body)\n}\n"
            )
        files[f"g{group}.go"] = text + f"\nfunc fill{group}(mux *http.ServeMux) {{\n{routes}}}\n"
    return files
