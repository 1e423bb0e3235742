"""Compiles `.proto` files to descriptors with protoc, in a child process of its own.

https://protobuf.dev/reference/protobuf/google.protobuf/#FileDescriptorSet
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mcp_backend import installing
from mcp_backend.contracts.documents import Broken
from mcp_backend.contracts.protobuf import staging
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.errors import Unavailable

SECONDS = 60.0
ROUNDS = 6
"""Times that types nobody declares are added and protoc is asked again."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """Descriptors of files (`FileDescriptorProto`). `own` are the import names of the specification's own files;
    `missing` the imports that are not in the repository."""

    files: tuple[Any, ...]
    own: frozenset[str]
    missing: tuple[str, ...] = ()


def compiled(source: Source, spec: Spec) -> Compiled:
    """The descriptors of a specification. Raises `Broken` with protoc's words, `Unavailable` without the extra."""
    return compile_stage(staged(source, spec), _bundled())


def staged(source: Source, spec: Spec) -> staging.Stage:
    """The files of a specification and all that they import, laid out. Raises `Unavailable` without the extra."""
    bundled = _bundled()
    known = [f for f in source.files if f.endswith(".proto")]
    included = frozenset(p.relative_to(bundled).as_posix() for p in bundled.rglob("*.proto"))
    return staging.stage(spec.files, spec.roots[0] if spec.roots else "", known, source.texts, included)


def _bundled() -> Path:
    found = find_spec("grpc_tools")
    if found is None or not found.submodule_search_locations or find_spec("google.protobuf") is None:
        raise Unavailable(installing.needs("protobuf", "contracts"))
    return Path(next(iter(found.submodule_search_locations))) / "_proto"


def compile_stage(stage: staging.Stage, bundled: Path) -> Compiled:
    """Compiles what was laid out."""
    from google.protobuf import descriptor_pb2

    texts = dict(stage.texts)
    if stage.missing:
        texts = {name: staging.without(text, stage.missing) for name, text in texts.items()}
    types: dict[str, set[str]] = {}
    errors = ""
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory(prefix="mb-proto-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            added = _write(folder / "in", texts, types)
            errors = _protoc(folder, [*stage.own, *added], bundled)
            if not errors:
                found = descriptor_pb2.FileDescriptorSet.FromString((folder / "out").read_bytes())
                return Compiled(tuple(found.file), frozenset(stage.own), tuple(sorted(stage.missing)))
        more = staging.stubs(errors) if stage.missing else {}
        if not any(names - types.get(package, set()) for package, names in more.items()):
            break
        for package, names in more.items():
            types.setdefault(package, set()).update(names)
    raise Broken(f"protoc: {errors[:600]}")


def _write(folder: Path, texts: dict[str, str], types: dict[str, set[str]]) -> list[str]:
    """Writes the files, and one for each package with types that nobody declares, which every file imports."""
    added: list[str] = []
    for index, (package, names) in enumerate(sorted(types.items())):
        head = f"package {package};\n" if package else ""
        body = "\n".join(f"message {name} {{}}" for name in sorted(names))
        added.append(f"undeclared_{index}.proto")
        _file(folder / added[-1], f'syntax = "proto3";\n{head}{body}\n')
    imports = "".join(f'import "{name}";' for name in added)
    for name, text in texts.items():
        place = staging.IMPORT.search(text)
        position = place.start() if place else _after_syntax(text)
        _file(folder / name, f"{text[:position]}\n{imports}{text[position:]}" if imports else text)
    return added


def _after_syntax(text: str) -> int:
    found = text.find(";", max(text.find("syntax"), text.find("edition")))
    return found + 1 if ("syntax" in text or "edition" in text) else 0


def _file(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _protoc(folder: Path, names: Iterable[str], bundled: Path) -> str:
    """What protoc complains of; empty when it wrote the descriptors."""
    command = [
        sys.executable, "-I", "-m", "grpc_tools.protoc", f"-I{folder / 'in'}", f"-I{bundled}",
        f"--descriptor_set_out={folder / 'out'}", "--include_source_info", "--include_imports", *sorted(names),
    ]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    try:
        done = subprocess.run(command, cwd=folder / "in", env=clean, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Broken(f"protoc did not end within {SECONDS:.0f} s") from error
    if done.returncode == 0 and (folder / "out").exists():
        return ""
    said = done.stderr.decode("utf-8", "replace").strip().replace(f"{folder / 'in'}{os.sep}", "")
    return said or f"exit code {done.returncode}"
