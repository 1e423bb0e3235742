"""What a hook knows of a repository without asking git each time: policy, promises and roots, kept from the last look
as long as nothing they depend on changed.

Kept in the user's state folder for this workspace. It depends on: the policy file, the persona, git's index, HEAD and
configuration, every manifest, and the folders down to the second level (new files there are seen before git knows
them).
"""

import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from mcp_backend import __version__
from mcp_backend.promises import Constraint, Promises
from mcp_backend.records import dataclass, replace
from mcp_backend.settings import Workspace, private, workspace
from mcp_backend.workspace.roots import Root, Roots

FORMAT = 1
FOLDERS = 400
_MANIFESTS = ("package.json", "pubspec.yaml", "pyproject.toml", "requirements.txt")
Stamp = list[object]


@dataclass(frozen=True, slots=True)
class Known:
    """One workspace with its promises, and its roots now and at the last commit."""

    workspace: Workspace
    promises: Promises
    now: Roots
    before: Roots | None


def known(start: Path) -> Known:
    """What is known of the workspace `start` lies in. Raises `InvalidArgument` for a policy that is not valid."""
    place = workspace(start)
    file = place.state / "hook.json"
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(file.read_bytes())
        if kept["format"] == [FORMAT, __version__] and all(stamp(path) == rest for path, rest in kept["stamps"]):
            return _kept(place, kept)
    return _looked(place, file)


def stamp(path: str) -> Stamp | None:
    """What tells one state of a file or folder from another, or `None` where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]


def _looked(place: Workspace, file: Path) -> Known:
    from mcp_backend import persona, policy
    from mcp_backend.workspace import listing
    from mcp_backend.workspace.current import roots_before, roots_of

    fixed = _stamps([place.root / policy.POLICY_FILE, persona.folder() / "constraints.toml", *_git(place.root)])
    settings = policy.load(policy.find(place.root), persona.load().constraints)
    files = listing.files(place)
    stamps = fixed + _stamps(place.root / path for path in _watched(files))
    now, before = roots_of(place, settings), roots_before(place, settings)
    with suppress(OSError):
        _keep(file, {
            "format": [FORMAT, __version__], "stamps": stamps,
            "constraints": [_plain(constraint) for constraint in settings.constraints],
            "now": _written(now), "before": _written(before) if before else None,
        })  # fmt: skip
    return Known(place, Promises(settings.constraints), now, before)


def _watched(files: Iterable[str]) -> list[str]:
    folders: dict[str, None] = {"": None}
    manifests: list[str] = []
    for path in files:
        if path.endswith(_MANIFESTS):
            manifests.append(path)
        first, slash, rest = path.partition("/")
        if slash and len(folders) < FOLDERS:
            folders[first] = None
            second, slash, _ = rest.partition("/")
            if slash:
                folders[f"{first}/{second}"] = None
    return [*folders, *manifests]


def _git(root: Path) -> list[Path]:
    """The files of the git directory that tell that the index, the commit or the configuration changed."""
    folder = root / ".git"
    if folder.is_file():
        folder = root / folder.read_text("utf-8", "surrogateescape").removeprefix("gitdir: ").strip()
        shared = folder / "commondir"
        common = folder / shared.read_text("utf-8").strip() if shared.is_file() else folder
        return [
            root / ".git",
            *(folder / n for n in ("index", "HEAD", "logs/HEAD")),
            common / "config",
            common / "packed-refs",
        ]
    return [folder / name for name in ("index", "HEAD", "logs/HEAD", "config", "packed-refs")]


def _stamps(paths: Iterable[Path]) -> list[tuple[str, Stamp | None]]:
    return [(str(path), stamp(str(path))) for path in paths]


def _plain(constraint: Constraint) -> dict[str, object]:
    from dataclasses import asdict

    fields: dict[str, object] = asdict(replace(constraint, parameters={}))
    return {**fields, "parameters": dict(constraint.parameters)}


def _written(roots: Roots) -> dict[str, object]:
    return {
        "by_folder": [(key, root.folder, root.sort, root.why) for key, root in roots.by_folder.items()],
        "packages": dict(roots.packages),
        "generated": sorted(roots.generated),
        "rest": [roots.hooks, roots.frontend, roots.backend, roots.spec, roots.protected, roots.templates],
    }


def _keep(file: Path, data: Mapping[str, object]) -> None:
    private(file.parent)
    beside = file.with_name(f"hook.{os.getpid()}.json")
    beside.write_text(json.dumps(data), "utf-8")
    os.replace(beside, file)


def _kept(place: Workspace, kept: Mapping[str, Any]) -> Known:
    constraints = tuple(_constraint(table) for table in kept["constraints"])
    before = _roots(kept["before"]) if kept["before"] else None
    return Known(place, Promises(constraints), _roots(kept["now"]), before)


def _constraint(table: Mapping[str, Any]) -> Constraint:
    read: dict[str, Any] = {
        key: tuple(cast("list[str]", value)) if isinstance(value, list) else value for key, value in table.items()
    }
    read["parameters"] = MappingProxyType(cast("dict[str, Any]", table["parameters"]))
    return Constraint(**read)


def _roots(table: Mapping[str, Any]) -> Roots:
    hooks, frontend, backend, spec, protected, templates = table["rest"]
    return Roots(
        MappingProxyType({key: Root(folder, sort, why) for key, folder, sort, why in table["by_folder"]}),
        MappingProxyType(table["packages"]), frozenset(table["generated"]), hooks,
        tuple(frontend), tuple(backend), tuple(spec), tuple(protected), templates,
    )  # fmt: skip
