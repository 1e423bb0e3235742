"""Trees of the work tree: all that git does not ignore, whatever the index says, and nothing in the repository."""

from pathlib import Path

import pytest

from mcp_backend.settings import Workspace, workspace
from mcp_backend.workspace import since, trees
from mcp_backend.workspace.git_environment import open_repository
from mcp_backend.workspace.trees import Trees
from tests.conftest import git
from tests.service import index, objects, write

pytest_plugins = ("tests.service_fixtures",)


def opened(place: Workspace) -> Trees:
    return Trees(open_repository(place), place.state)


def paths(found: Trees, tree: str) -> set[str]:
    """The paths that a tree adds or changes against HEAD."""
    return {difference.path for difference in found.between("HEAD", tree)}


def test_it_is_the_commit_where_nothing_changed_and_leaves_no_trace(place: Workspace) -> None:
    before = (index(place.root), objects(place.root))
    assert opened(place).of_work_tree().id == git(place.root, "rev-parse", "HEAD^{tree}")
    write(place.root, {"orders/new.py": "x\n"})
    opened(place).of_work_tree()
    assert (index(place.root), objects(place.root)) == before


def test_many_earlier_trees_are_compared_at_once_as_one_by_one(place: Workspace) -> None:
    found, earlier = opened(place), list[str]()
    for number in range(4):
        earlier.append(found.of_work_tree().id)
        write(place.root, {f"orders/n{number}.py": "x\n", "orders/totals.py": f"{number}\n"})
    # A name that looks like the line which tells of the next pair.
    write(place.root, {f"{earlier[1]} {earlier[2]}\nx.py": "x\n", 'ü "x".py': "x\n"})
    now = found.of_work_tree().id
    earlier += [now, earlier[0], "1" * 40]
    look = since.differing(found, earlier)
    assert [look(old, now) for old in earlier] == [found.paths_between(old, now) for old in earlier]
    assert (look(now, now), look("1" * 40, now)) == (frozenset(), None)


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_no_flag_of_the_index_hides_a_change(place: Workspace, flag: str) -> None:
    git(place.root, "update-index", flag, "orders/totals.py", "README.md")
    write(place.root, {"orders/totals.py": "hidden\n"})
    found = opened(place)
    assert git(place.root, "status", "--porcelain") == ""
    assert paths(found, found.of_work_tree().id) == {"orders/totals.py"}


def test_deleted_untracked_and_forced_files_are_in_it_and_ignored_ones_are_not(place: Workspace) -> None:
    write(place.root, {"x.log": "ignored\n", "y.log": "ignored, but added\n", ".gitignore": "__pycache__/\n*.log\n"})
    git(place.root, "add", "-f", "y.log")
    (place.root / "README.md").unlink()
    write(place.root, {"new.py": "x\n", "orders/__pycache__/a.pyc": "x", ".venv/lib/x.py": "x"})
    found = opened(place)
    assert paths(found, found.of_work_tree().id) == {"y.log", ".gitignore", "README.md", "new.py"}


def test_content_decides_not_time(place: Workspace) -> None:
    found = opened(place)
    before = found.of_work_tree()
    text = (place.root / "README.md").read_text()
    write(place.root, {"README.md": text.swapcase()})
    assert found.of_work_tree() != before
    write(place.root, {"README.md": text})
    assert found.of_work_tree() == before


def test_what_a_sparse_checkout_leaves_out_belongs_to_it(place: Workspace) -> None:
    git(place.root, "sparse-checkout", "set", "orders")
    assert not (place.root / "frontend").exists()
    found = opened(place)
    assert found.of_work_tree().id == git(place.root, "rev-parse", "HEAD^{tree}")
    assert paths(found, found.with_paths("HEAD", ["orders/totals.py"])) == set()


def test_an_unfinished_merge_is_a_tree_too(place: Workspace) -> None:
    git(place.root, "checkout", "-qb", "other")
    write(place.root, {"README.md": "other\n"})
    git(place.root, "commit", "-qam", "other")
    git(place.root, "checkout", "-q", "main")
    write(place.root, {"README.md": "main\n"})
    git(place.root, "commit", "-qam", "main")
    with pytest.raises(Exception, match="returned non-zero"):
        git(place.root, "merge", "other")
    found = opened(place)
    assert paths(found, found.of_work_tree().id) == {"README.md"}


def test_a_large_file_is_known_by_size_and_time(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "LARGEST", 1000)
    write(place.root, {"dump.sql": "x" * 2000})
    found = opened(place)
    before = found.of_work_tree()
    assert before.watched == ("dump.sql",)
    assert found.of_work_tree() == before
    write(place.root, {"dump.sql": "y" * 2000})
    assert found.of_work_tree() != before


def test_nested_repositories_are_left_out_and_named(place: Workspace) -> None:
    git(place.root, "init", "-q", "vendor")
    write(place.root, {"vendor/a.py": "x\n"})
    assert opened(place).of_work_tree().nested == ("vendor/",)


def test_a_repository_path_with_every_odd_character_works(tmp_path: Path, person: Path) -> None:
    root = tmp_path / 'a:b "c" \\ünï'
    write(root, {"a.py": "x\n"})
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-qm", "x")
    write(root, {"a.py": "y\n"})
    found = opened(workspace(root))
    tree = found.with_paths("HEAD", ["a.py"])
    assert found.of_work_tree().id == tree
    found.publish("HEAD", tree)
    assert git(root, "show", f"{tree}:a.py") == "y"
