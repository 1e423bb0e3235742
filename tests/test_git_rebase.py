"""git_rebase: conflicts are results, continue commits exactly what was judged, abort restores to the byte."""

import hashlib
import os
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.conftest import ERAS, Connect, Era, git
from tests.service import ask, refused, shell, write

pytest_plugins = ("tests.service_fixtures",)
Picture: TypeAlias = dict[str, object]


def diverge(root: Path, mine: dict[str, str], theirs: dict[str, str]) -> None:
    """A branch `mine` with one commit, and one on main that it lacks."""
    git(root, "checkout", "--quiet", "-b", "mine")
    write(root, mine)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "Mine")
    git(root, "checkout", "--quiet", "main")
    write(root, theirs)
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "Theirs")
    git(root, "checkout", "--quiet", "mine")


def picture(root: Path) -> Picture:
    """What an abort has to bring back: refs, HEAD, stashes, the index to the byte, every file of the work tree."""
    folder = Path(git(root, "rev-parse", "--absolute-git-dir"))
    orig = folder / "ORIG_HEAD"
    files = {
        str(path.relative_to(root)): (
            os.readlink(path).encode() if path.is_symlink() else path.read_bytes(),
            path.lstat().st_mode,
        )
        for path in sorted(root.rglob("*"))
        if ".git" not in path.relative_to(root).parts and not path.is_dir()
    }
    return {
        "refs": git(root, "for-each-ref"),
        "head": (folder / "HEAD").read_text(),
        "orig": orig.read_bytes() if orig.exists() else None,
        "stash": git(root, "stash", "list", "--format=%H %s"),
        "index": hashlib.sha256((folder / "index").read_bytes()).hexdigest(),
        "files": files,
        "state": sorted(
            p.name for p in folder.iterdir() if p.name.startswith(("rebase", "AUTO", "MERGE", "REBASE", "CHERRY"))
        ),
    }


MINE = {"config/settings.yaml": "debug: true\nlevel: 1\n"}
THEIRS = {"config/settings.yaml": "debug: false\nlevel: 2\n"}


@pytest.mark.parametrize("era", ERAS)
async def test_a_branch_moves_onto_another_with_its_commits_and_authors(
    service: Path, connect: Connect, era: Era
) -> None:
    diverge(service, {"README.md": "# Orders, mine\n"}, THEIRS)
    (service / ".git/hooks").mkdir(exist_ok=True)
    for name in ("post-rewrite", "pre-commit"):
        (service / ".git/hooks" / name).write_text("#!/bin/sh\ntouch ran\n")
        (service / ".git/hooks" / name).chmod(0o755)
    before = git(service, "rev-parse", "mine")
    async with connect(service, mode=era) as client:
        done = await ask(client, "git_rebase", onto="main")
    assert done["note"].endswith("hooks of the repository were not run: post-rewrite")
    assert (done["status"], done["before"], done["after"]) == ("done", before, git(service, "rev-parse", "mine"))
    assert done["commits"] == [git(service, "log", "-1", "--format=%h Mine")]
    assert git(service, "rev-parse", "mine~1") == git(service, "rev-parse", "main")
    assert git(service, "log", "-1", "--format=%an|%cn") == "A Person|Back End"
    assert git(service, "status", "--porcelain") == ""


async def test_a_conflict_is_a_result_and_its_resolution_is_committed(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    async with connect(service) as client:
        stopped = await ask(client, "git_rebase", onto="main")
        assert (stopped["status"], stopped["branch"], stopped["done"], stopped["total"]) == ("conflict", "mine", 0, 1)
        (conflict,) = stopped["conflicts"]
        assert (conflict["path"], conflict["kind"]) == ("config/settings.yaml", "both changed it")
        (hunk,) = conflict["hunks"]
        assert hunk["line"] == 1
        assert "level: 2" in hunk["text"]
        assert "level: 1" in hunk["text"]
        assert stopped["stopped_at"].endswith("Mine")
        error = await refused(client, "git_rebase", action="continue")
        assert "marks of conflicts are still in config/settings.yaml" in error["reason"]
        assert (await ask(client, "git_rebase", action="status"))["conflicts"] == stopped["conflicts"]
        assert "rebase is in progress" in (await refused(client, "git_commit", message="x"))["reason"]
        write(service, {"config/settings.yaml": "debug: true\nlevel: 2\n"})
        done = await ask(client, "git_rebase", action="continue")
        assert done["status"] == "done"
        assert (await ask(client, "git_rebase", action="status"))["status"] == "none"
    assert git(service, "show", "HEAD:config/settings.yaml") == "debug: true\nlevel: 2"
    assert git(service, "status", "--porcelain") == ""
    assert git(service, "log", "-1", "--format=%s") == "Mine"


async def test_several_conflicts_follow_one_another(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    write(service, {"config/settings.yaml": "debug: true\nlevel: 3\n"})
    git(service, "commit", "--quiet", "-am", "Mine again")
    async with connect(service) as client:
        assert (await ask(client, "git_rebase", onto="main"))["total"] == 2
        write(service, {"config/settings.yaml": "level: 1\n"})
        again = await ask(client, "git_rebase", action="continue")
        assert (again["status"], again["done"]) == ("conflict", 1)
        (service / "config/settings.yaml").unlink()
        assert (await ask(client, "git_rebase", action="continue"))["status"] == "done"
    assert git(service, "ls-tree", "-r", "--name-only", "HEAD", "config") == ""


PLACES = ("plain", "linked worktree", "sparse", "submodule", "stash and untracked", "flags and modes")


def prepared(root: Path, tmp_path: Path, place: str) -> Path:
    """The repository with two branches in conflict, in one of its many forms."""
    diverge(root, {**MINE, "orders/new.py": "x = 1\n"}, {**THEIRS, "orders/theirs.py": "y = 1\n"})
    match place:
        case "linked worktree":
            git(root, "checkout", "--quiet", "main")
            git(root, "worktree", "add", "--quiet", str(tmp_path / "linked"), "mine")
            return tmp_path / "linked"
        case "sparse":
            git(root, "sparse-checkout", "set", "--no-cone", "/*", "!/frontend/")
        case "submodule":
            inner = tmp_path / "inner"
            inner.mkdir()
            git(inner, "init", "--quiet")
            git(inner, "commit", "--quiet", "--allow-empty", "-m", "inner")
            git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner), "vendor")
            git(root, "commit", "--quiet", "-m", "vendor")
            (root / "vendor/work.txt").write_text("not committed\n")
        case "stash and untracked":
            write(root, {"README.md": "stashed\n"})
            git(root, "stash", "--quiet")
            write(root, {"notes/own.txt": "untracked\n", "__pycache__/x.pyc": "ignored\n"})
            (root / "link").symlink_to("nowhere")
            git(root, "update-ref", "ORIG_HEAD", "main")
        case "flags and modes":
            (root / "orders/new.py").chmod(0o755)
            git(root, "commit", "--quiet", "-am", "executable")
            git(root, "update-index", "--assume-unchanged", "README.md")
        case _:
            pass
    return root


@pytest.mark.parametrize("edited", [False, True], ids=["untouched", "half resolved"])
@pytest.mark.parametrize("place", PLACES)
async def test_an_abort_restores_to_the_byte(
    service: Path, tmp_path: Path, connect: Connect, place: str, edited: bool
) -> None:
    root = prepared(service, tmp_path, place)
    before = picture(root)
    async with connect(root) as client:
        assert (await ask(client, "git_rebase", onto="main"))["status"] == "conflict"
        if edited:
            write(root, {"config/settings.yaml": "half\n"})
        done = await ask(client, "git_rebase", action="abort")
    assert (done["status"], done["head"]) == ("aborted", git(root, "rev-parse", "mine"))
    assert picture(root) == before
    if place != "submodule":
        assert git(root, "status", "--porcelain", "--untracked-files=no") == ""
    assert git(root, "fsck", "--strict", "--no-dangling") == ""


@pytest.mark.parametrize("staged", [False, True])
async def test_a_rebase_needs_a_clean_work_tree_and_names_what_is_not(
    service: Path, connect: Connect, staged: bool
) -> None:
    diverge(service, MINE, THEIRS)
    write(service, {"frontend/src/App.tsx": "half done\n"})
    if staged:
        git(service, "add", ".")
    before = picture(service)
    async with connect(service) as client:
        error = await refused(client, "git_rebase", onto="main")
    assert error["code"] == "failed_precondition"
    assert "frontend/src/App.tsx" in error["reason"]
    assert picture(service) == before


async def test_a_change_that_a_flag_hides_from_git_is_not_written_over(service: Path, connect: Connect) -> None:
    diverge(service, {**MINE, "README.md": "# mine\n"}, THEIRS)
    git(service, "update-index", "--assume-unchanged", "README.md")
    write(service, {"README.md": "hidden\n"})
    before = picture(service)
    async with connect(service) as client:
        assert "hidden from git" in (await refused(client, "git_rebase", onto="main"))["reason"]
        assert "hidden from git" in (await refused(client, "git_branch", name="main", action="switch"))["reason"]
    assert picture(service) == before


@pytest.mark.parametrize("ignored", [False, True])
async def test_files_that_git_does_not_track_are_not_written_over(
    service: Path, connect: Connect, ignored: bool
) -> None:
    diverge(service, {"README.md": "# mine\n"}, {"orders/local.py": "theirs = 1\n"})
    write(service, {"orders/local.py": "mine = 1\n"})
    if ignored:
        shell(service, "echo 'orders/local.py' >> .git/info/exclude")
    before = picture(service)
    async with connect(service) as client:
        assert "orders/local.py" in (await refused(client, "git_rebase", onto="main"))["reason"]
    assert picture(service) == before


async def test_other_work_during_a_stop_is_neither_committed_nor_thrown_away(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    async with connect(service) as client:
        await ask(client, "git_rebase", onto="main")
        write(service, {"config/settings.yaml": "level: 1\n", "README.md": "# somebody typed this\n"})
        for action in ("continue", "abort"):
            error = await refused(client, "git_rebase", action=action)
            assert "README.md" in error["reason"]
        git(service, "add", "README.md")
        for action in ("continue", "abort"):
            assert "the index" in (await refused(client, "git_rebase", action=action))["reason"]
        assert (service / "README.md").read_text() == "# somebody typed this\n"
        git(service, "restore", "--staged", "--worktree", "README.md")
        assert (await ask(client, "git_rebase", action="continue"))["status"] == "done"


@pytest.mark.parametrize(
    ("path", "constraint"),
    [("frontend/src/App.tsx", "no-frontend"), ("api/openapi.yaml", "follow-api-spec"),
     ("mcp-backend.toml", "guarded-settings")],
)  # fmt: skip
async def test_a_conflict_in_what_is_not_the_backends_is_not_resolved_here(
    service: Path, connect: Connect, path: str, constraint: str
) -> None:
    old = (service / path).read_text()
    diverge(service, {path: old + "# mine\n"}, {path: old + "# theirs\n"})
    async with connect(service) as client:
        stopped = await ask(client, "git_rebase", onto="main")
        assert stopped["conflicts"][0]["owner"] != "backend"
        error = await refused(client, "git_rebase", action="continue")
        assert (error["code"], error["constraint"]) == ("permission_denied", constraint)
        write(service, {path: old})
        assert (await refused(client, "git_rebase", action="continue"))["constraint"] == constraint
        assert (await ask(client, "git_rebase", action="abort"))["status"] == "aborted"
    assert git(service, "status", "--porcelain") == ""


async def test_a_credential_in_a_resolution_is_refused(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    async with connect(service) as client:
        await ask(client, "git_rebase", onto="main")
        write(service, {"config/settings.yaml": "key: AKIAQ7ZP3WXN5TBLR2MD\n"})
        assert (await refused(client, "git_rebase", action="continue"))["constraint"] == "no-secrets"


async def test_commits_of_a_protected_branch_are_not_made_anew(service: Path, tmp_path: Path, connect: Connect) -> None:
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(service, "remote", "add", "origin", str(tmp_path / "origin.git"))
    diverge(service, {"README.md": "# mine\n"}, {"config/settings.yaml": "debug: 2\n"})
    git(service, "push", "--quiet", "origin", "mine:main")
    async with connect(service) as client:
        error = await refused(client, "git_rebase", onto="main")
        assert (error["code"], error["constraint"]) == ("permission_denied", "protected-branches")
        git(service, "commit", "--quiet", "--allow-empty", "-m", "local")
        git(service, "checkout", "--quiet", "main")
        assert (await ask(client, "git_rebase", onto="origin/main"))["status"] == "done"


async def test_what_is_there_already_and_what_is_not_a_commit(service: Path, connect: Connect) -> None:
    git(service, "branch", "old")
    git(service, "commit", "--quiet", "--allow-empty", "-m", "second")
    async with connect(service) as client:
        assert (await ask(client, "git_rebase", onto="old"))["status"] == "up_to_date"
        for onto in ("--exec=touch x", "nowhere", "a..b"):
            assert (await refused(client, "git_rebase", onto=onto))["code"] == "not_found"
        assert (await refused(client, "git_rebase"))["code"] == "invalid_argument"
        assert "no rebase is in progress" in (await refused(client, "git_rebase", onto="old", action="abort"))["reason"]
        assert (await ask(client, "git_rebase", onto="old", action="status"))["status"] == "none"
        assert "no rebase" in (await refused(client, "git_rebase", action="abort"))["reason"]
        git(service, "checkout", "--quiet", "old")
        assert (await ask(client, "git_rebase", onto="main"))["status"] == "done", "forward, without a commit"
        assert git(service, "rev-parse", "old") == git(service, "rev-parse", "main")
        git(service, "checkout", "--quiet", "--detach")
        assert "detached" in (await refused(client, "git_rebase", onto="main"))["reason"]


async def test_a_rebase_that_a_person_began_is_theirs_to_end(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    shell(service, "git -c user.name=x -c user.email=x@y rebase main || true")
    async with connect(service) as client:
        shown = await ask(client, "git_rebase", action="status")
        assert (shown["status"], shown["begun_here"]) == ("conflict", False)
        for action in ("continue", "abort"):
            assert "somebody else" in (await refused(client, "git_rebase", action=action))["reason"]
        assert "in progress" in (await refused(client, "git_rebase", onto="main"))["reason"]


HOSTILE = {
    "editor": "git config sequence.editor 'touch {MARK};true'; git config core.editor 'touch {MARK}'",
    "driver": "git config merge.x.driver 'touch {MARK}'; git config merge.default x; "
    "echo '* merge=x' > .git/info/attributes",
    "hooks": "printf '#!/bin/sh\\ntouch {MARK}' | tee .git/hooks/pre-rebase .git/hooks/post-rewrite "
    ".git/hooks/post-checkout .git/hooks/post-commit .git/hooks/prepare-commit-msg; chmod +x .git/hooks/*",
    "gpg": "git config commit.gpgsign true; git config gpg.program 'touch {MARK}'",
    "autostash": "git config rebase.autoStash true; git config rebase.updateRefs true; git config rerere.enabled true; "
    "git config rebase.instructionFormat '%s%nexec touch {MARK}'",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_rebase_runs_no_program_of_the_repository(
    service: Path, tmp_path: Path, connect: Connect, name: str
) -> None:
    mark = tmp_path / "mark"
    diverge(service, MINE, THEIRS)
    shell(service, HOSTILE[name].format(MARK=mark))
    async with connect(service) as client:
        stopped = await ask(client, "git_rebase", onto="main")
        assert stopped["conflicts"][0]["hunks"]
        write(service, {"config/settings.yaml": "level: 1\n"})
        assert (await ask(client, "git_rebase", action="continue"))["status"] == "done"
    assert not mark.exists()
    assert git(service, "show", "HEAD:config/settings.yaml") == "level: 1"


async def test_a_pre_rebase_hook_has_a_say(service: Path, connect: Connect) -> None:
    diverge(service, MINE, THEIRS)
    path = service / ".git/hooks/pre-rebase"
    path.write_text("#!/bin/sh\necho 'this branch is shared'; exit 1\n")
    path.chmod(0o755)
    before = picture(service)
    async with connect(service) as client:
        assert "this branch is shared" in (await refused(client, "git_rebase", onto="main"))["reason"]
    assert picture(service) == before


async def test_a_partial_clone_fetches_what_it_lacks(service: Path, tmp_path: Path, connect: Connect) -> None:
    diverge(service, {"README.md": "# mine\n"}, THEIRS)
    git(service, "config", "uploadpack.allowFilter", "true")
    git(service, "checkout", "--quiet", "main")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--branch", "mine", f"file://{service}", str(clone))
    async with connect(clone) as client:
        assert (await ask(client, "git_rebase", onto="origin/main"))["status"] == "done"
    assert (clone / "config/settings.yaml").read_text() == THEIRS["config/settings.yaml"]
