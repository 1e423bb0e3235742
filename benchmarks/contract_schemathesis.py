# ruff: noqa: E501 - a service is read best in few lines
"""Our probe beside schemathesis, which somebody else wrote, on a service with one fault at a time: `python -m
benchmarks.contract_schemathesis`.

schemathesis is looked for on the PATH (`pip install schemathesis`), uvicorn and fastapi beside this interpreter. Each
fault is a change of a service that keeps its specification; what either calls a deviation of the service without a
fault is a false alarm. schemathesis goes on after a failure, since one fault hides others otherwise; its phase
`coverage` alone is asked, which comes out the same every time.
"""

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client

from mcp_backend.server import Options, build

SPEC = """\
openapi: 3.1.0
info: {title: Items, version: '1'}
paths:
  /items:
    get:
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 50}}
        - {name: state, in: query, schema: {type: string, enum: [open, done]}}
      responses:
        '200': {description: OK, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Item'}}}}}
        '422': {description: refused}
    post:
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/NewItem'}}}}
      responses:
        '201': {description: made, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
        '400': {description: no JSON}
        '422': {description: refused}
  /items/{id}:
    get:
      parameters: [{name: id, in: path, required: true, schema: {type: integer, minimum: 1}}]
      responses:
        '200': {description: OK, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}
        '404': {description: none}
        '422': {description: refused}
components:
  schemas:
    NewItem: {type: object, required: [name], additionalProperties: false, properties: {name: {type: string, maxLength: 30}}}
    Item:
      type: object
      required: [id, name, state]
      additionalProperties: false
      properties: {id: {type: integer}, name: {type: string}, state: {type: string, enum: [open, done]}}
"""
APP = """\
from typing import Annotated, Literal
from fastapi import FastAPI, HTTPException, Path, Query
from pydantic import BaseModel, Field
class NewItem(BaseModel):
    model_config = {"extra": "forbid"}
    name: Annotated[str, Field(max_length=30)]
class Item(BaseModel):
    id: int
    name: str
    state: Literal["open", "done"] = "open"
rows = {n: {"id": n, "name": "n", "state": "open" if n % 2 else "done"} for n in range(1, 5)}
app = FastAPI(openapi_url=None)
@app.get("/items")
def items(limit: Annotated[int, Query(ge=1, le=50)] = 20, state: Literal["open", "done"] | None = None):
    return [r for r in rows.values() if state in (None, r["state"])][:limit]
@app.post("/items", status_code=201)
def make(body: NewItem) -> Item:
    number = len(rows) + 1
    rows[number] = {"id": number, "name": body.name, "state": "open"}
    return rows[number]
@app.get("/items/{id}")
def item(id: Annotated[int, Path(ge=1)]):
    if id not in rows:
        raise HTTPException(404)
    return rows[id]
"""
FAULTS = {
    "none": ("", ""),
    "another status": ("status_code=201", "status_code=200"),
    "an undocumented status": ("HTTPException(404)", "HTTPException(409)"),
    "a text for a number": ('{"id": n, "name"', '{"id": str(n), "name"'),
    "a field less": ('"state": "open" if n % 2 else "done"}', "}"),
    "a field more": ('"state": "open" if n', '"more": 1, "state": "open" if n'),
    "a value that no enum has": ('"open" if n % 2', '"late" if n % 2'),
    "a limit that is not enforced": ("ge=1, le=50", "ge=1"),
    "a length that is not enforced": ("max_length=30", "max_length=300"),
    "a parameter that nothing reads": (', state: Literal["open", "done"] | None = None', ", state: str | None = None"),
    "a route less": ('@app.get("/items/{id}")', ""),
    "a route more": (
        "def make(",
        '@app.put("/items/{id}")\ndef put(id: int): return {}\n@app.post("/more")\ndef make(',
    ),
    "a failure": ("if id not in rows:", "if False:"),
}


def main() -> None:
    program = shutil.which("schemathesis")
    if program is None:
        print("schemathesis is not on the PATH: pip install schemathesis")
    for name, (before, after) in FAULTS.items():
        with tempfile.TemporaryDirectory(prefix="mb-") as folder:
            root = Path(folder)
            (root / "api.yaml").write_text(SPEC)
            if before not in APP:
                raise SystemExit(f"{name}: {before!r} is not in the service")
            (root / "app.py").write_text(APP.replace(before, after) if before else APP)
            subprocess.run(["git", "init", "-q"], cwd=root, check=True)
            ours = asyncio.run(_ours(root))
            theirs = _theirs(program, root) if program else "-"
        print(f"{name:32} ours: {ours}\n{'':32} schemathesis: {theirs}", flush=True)


async def _ours(root: Path) -> str:
    start = time.monotonic()
    async with Client(build(Options(root))) as client:
        answer: Any = (await client.call_tool("check_contract", {"implementation": "app.py:app"})).structured_content
    found = sorted({f"{d['id']} {d['where']}" for d in answer["deviations"]})
    return f"{', '.join(found) or 'nothing'} ({answer['requests']} requests, {time.monotonic() - start:.1f} s)"


def _theirs(program: str, root: Path) -> str:
    start = time.monotonic()
    with _serving(root) as url:
        command = [
            program,
            "run",
            "api.yaml",
            "--url",
            url,
            "--continue-on-failure",
            "--phases",
            "coverage",
            "--no-color",
            "--seed",
            "1",
        ]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=300)
    found = sorted(set(re.findall(r"(?m)^\s*- (.{3,60}?)$", done.stdout)))
    return f"{', '.join(found) or 'nothing'} ({time.monotonic() - start:.1f} s)"


@contextmanager
def _serving(root: Path) -> Generator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "--log-level", "critical", "--port", str(port), "app:app"]
    with subprocess.Popen(command, cwd=root) as running:
        try:
            for _ in range(200):
                with socket.socket() as one:
                    if one.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


if __name__ == "__main__":
    main()
