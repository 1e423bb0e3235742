"""Checks a gRPC server against its protobuf specification, by its source: nothing is called."""

from mcp_backend.contracts.protobuf import deviations
from mcp_backend.contracts.protobuf.compiling import compiled
from mcp_backend.contracts.protobuf.names import Index
from mcp_backend.contracts.service import go_grpc, go_source, python_grpc
from mcp_backend.contracts.service.checking import Checked
from mcp_backend.contracts.sources import Source
from mcp_backend.contracts.specs import Spec
from mcp_backend.contracts.words import Unverified
from mcp_backend.errors import NotFound


def python(source: Source, spec: Spec, path: str) -> Checked:
    """Checks the servicers in a file or folder. Raises `Broken`, `NotFound`, `Unavailable`."""
    made = compiled(source, spec)
    index = Index(made.files, made.own)
    served = python_grpc.read(source, spec, path)
    if not served.files:
        where = path or "this repository"
        raise NotFound(f"implementation: no class that serves gRPC in {where}; expected the file or folder of one")
    checked = Checked(", ".join(served.files[:3]), sources=["static"])
    if served.index is not None:
        checked.add(deviations.compare(index, served.index), [])
        checked.sources.append("descriptor")
    checked.add(*deviations.implemented(index, served.classes, served.index, served.unclear))
    checked.unverified += [Unverified("*", note) for note in served.notes]
    checked.unverified.append(
        Unverified("*", "what the methods return is not looked at: calling them may change things")
    )
    return checked


def go(source: Source, spec: Spec, below: str) -> Checked:
    """Checks what the module at `below` registers. Raises `Broken`, `NotFound`, `Unavailable`."""
    folder = "" if below in (".", "./...") else below.removeprefix("./").rstrip("/")
    module = go_source.read(source, folder)
    made = compiled(source, spec)
    served = go_grpc.served(module)
    if not served.methods and not served.open:
        raise NotFound(f"implementation: nothing in {below} serves gRPC; expected the folder of a module that does")
    checked = Checked(folder or ".", sources=["static"])
    checked.add(*deviations.implemented(Index(made.files, made.own), served.methods, None, served.open))
    checked.unverified += [
        Unverified(name, "what is registered for it cannot be read") for name in sorted(served.open - {*served.methods})
    ]
    checked.unverified.append(Unverified("*", "messages are those of the generated code, and methods were not called"))
    return checked
