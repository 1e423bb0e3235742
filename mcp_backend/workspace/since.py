"""In which paths a tree differs from many earlier ones: one look at the newest, one at all others where that is not
enough. A day of test runs leaves forty trees, and a process for each would be felt in every `git_status`."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from mcp_backend.workspace.git import text
from mcp_backend.workspace.trees import Trees


def differing(trees: Trees, earlier: Iterable[str]) -> Callable[[str, str], frozenset[str] | None]:
    """`trees.paths_between` for trees of `earlier`, and what it found."""
    asked = tuple(dict.fromkeys(earlier))
    found: dict[str, frozenset[str] | None] = {}

    def look(old: str, new: str) -> frozenset[str] | None:
        if not found:
            found[old] = trees.paths_between(old, new)
        elif old not in found:
            found.update(dict.fromkeys(asked))
            found.update(_paths(trees, asked, new))
        return found[old]

    return look


def _paths(trees: Trees, earlier: Sequence[str], new: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Those trees of `earlier` that are still kept, with the paths in which `new` is another one.

    git-diff-tree(1): with `--stdin` each pair is told by a line of its own, before its entries of two fields each. A
    path is taken as a field, so that none can pass for such a line.
    """
    pairs = "".join(f"{old} {new}\n" for old in earlier).encode()
    data = trees.git("diff-tree", "-z", "--raw", "-r", "--no-renames", "--stdin", given=pairs)
    old, paths, at = "", list[str](), 0
    while at < len(data):
        if data[at : at + 1] == b":":
            path = data.index(b"\0", at) + 1
            at = data.index(b"\0", path) + 1
            paths.append(text(data[path : at - 1]))
            continue
        if old:
            yield old, frozenset(paths)
        line = data[at : data.index(b"\n", at)]
        old, paths, at = line.partition(b" ")[0].decode(), [], at + len(line) + 1
    if old:
        yield old, frozenset(paths)
