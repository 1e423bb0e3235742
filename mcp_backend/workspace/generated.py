"""Specifications that a program writes from the code: nobody designs them by hand, so nobody has to be asked."""

import re
from collections.abc import Callable, Sequence

from mcp_backend.workspace.canonical import canonical

_CODE_FIRST = re.compile(r"(?i)\b(graphene|strawberry-graphql)\b")


def specifications(files: Sequence[str], read: Callable[[str], str | None]) -> frozenset[str]:
    """The canonical paths of generated specifications. swag puts `docs.go` beside them (https://github.com/swaggo/swag),
    protoc-gen-openapiv2 names them after the `.proto` (https://github.com/grpc-ecosystem/grpc-gateway), and graphene
    and strawberry print `schema.graphql` from Python classes."""
    return _swagger(files) | _schemas(files, read)


def _schemas(files: Sequence[str], read: Callable[[str], str | None]) -> frozenset[str]:
    schemas = [f for f in files if f.lower().endswith(("schema.graphql", "schema.gql"))]
    if schemas:
        for path in files:
            name = path.rpartition("/")[2].lower()
            if (name == "pyproject.toml" or name.startswith("requirements")) and _CODE_FIRST.search(read(path) or ""):
                return frozenset(map(canonical, schemas))
    return frozenset()


def _swagger(files: Sequence[str]) -> frozenset[str]:
    swagger = [f for f in files if f.lower().endswith((".json", ".yaml", ".yml")) and "swagger" in f.lower()]
    if not swagger:
        return frozenset()
    known = set(files)
    protos = {f.rpartition("/")[2].removesuffix(".proto") for f in files if f.endswith(".proto")}
    found: set[str] = set()
    for path in swagger:
        folder, slash, name = path.rpartition("/")
        beside = f"{folder}{slash}{name.partition('swagger')[0].removesuffix('_')}"
        of_swag = name.split(".")[0].endswith("swagger") and (
            f"{folder}{slash}docs.go" in known or f"{beside}_docs.go" in known
        )
        if of_swag or (name.endswith(".swagger.json") and name.removesuffix(".swagger.json") in protos):
            found.add(canonical(path))
    return frozenset(found)
