"""The fence: what each layer of the kernel holds, and what is taken back afterwards."""

import asyncio
import os
import shutil
import socket
from pathlib import Path

import pytest

from mcp_backend.settings import workspace
from mcp_backend.workspace.fence import network, probe
from mcp_backend.workspace.fence.spec import Tier
from tests.conftest import ALL, git, long_proof
from tests.fencing import only, terminal

pytest_plugins = ("tests.fence_fixtures",)
TIERS: tuple[Tier, ...] = ("namespaces", "bubblewrap", "landlock")
MOUNTS = ("namespaces", pytest.param("bubblewrap", marks=long_proof))
"""bubblewrap makes the same mounts as our own namespaces; that it holds is shown in every run."""

ATTACKS = {
    "write": "printf x > $z./frontend/src/App.tsx",
    "remove": "rm -rf frontend",
    "rename the parent": "mv apps a2 && mkdir -p apps/web && : > apps/web/package.json",
    "rename and back": "mv frontend backend/fe && printf x > backend/fe/src/App.tsx; mv backend/fe frontend",
    "swap git": "mv .git .g2 && cp -r .g2 .git",
    "a hook": "printf x > .git/hooks/post-commit",
    "replace the specification": "cp README.md backend/x && mv backend/x api/openapi.yaml",
    "settings of a host": "printf '{}' > $z./.claude/settings.json",
    "a hard link": "ln frontend/src/App.tsx backend/h.py && printf x > $z./backend/h.py",
    "a symbolic link": "ln -s ../frontend backend/fe && printf x > $z./backend/fe/src/App.tsx",
    "outside": "printf x > $z../out",
    "mount again": "mount -o remount,rw frontend; umount frontend; printf x > $z./frontend/src/App.tsx",
    "another namespace": "unshare -Urm sh -c 'umount frontend; printf x > frontend/src/App.tsx'; nsenter -t 1 -m true",
    "through another process": 'for p in /proc/[0-9]*; do printf x > "$p/root$PWD/frontend/x"; done',
    "modes": "chmod 777 frontend/src/App.tsx api/openapi.yaml",
    "times": "touch -d 2001-01-01 api/openapi.yaml",
    "a later write": "(sleep 0.3; printf x > $z./frontend/late) & true",
    "the kernel's settings": "echo /tmp/x > /proc/sys/kernel/core_pattern",
    "a disk": "for d in /dev/vda /dev/sda /dev/kmsg; do test -e $d && sh -c \": > $d\" && exit 7; done; true",
}  # fmt: skip


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    """Mode and content of everything of others."""
    found: dict[str, tuple[int, bytes]] = {}
    for top in ("frontend", "apps/web", "api", ".git", ".claude", ".pre-commit-config.yaml"):
        for path in [root / top, *sorted((root / top).rglob("*"))]:
            if path.name in ("index", "COMMIT_EDITMSG") or not path.exists():
                continue
            content = path.read_bytes() if path.is_file() else b""
            found[path.relative_to(root).as_posix()] = (path.lstat().st_mode, content)
    return found


@pytest.mark.proves("no-frontend", "refused")
@pytest.mark.proves("follow-api-spec", "refused")
@pytest.mark.proves("guarded-settings", "refused")
@pytest.mark.parametrize("tier", TIERS)
async def test_a_layer_keeps_what_is_not_the_backends(
    guarded: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    only(monkeypatch, tier, guarded)
    before, beside = snapshot(guarded), sorted(os.listdir(guarded.parent))
    pattern = Path("/proc/sys/kernel/core_pattern").read_text()
    async with terminal(guarded) as say:
        for name, line in list(ATTACKS.items())[:: 1 if tier == "namespaces" or ALL else 2]:
            result = await say(line)
            if "error" in result:
                assert result["error"]["code"] == "permission_denied", (name, result)
            else:
                assert result["sandbox"].startswith(tier), (name, result)
                assert result["exit_code"] != 7, name
            assert snapshot(guarded) == before, (name, result)
    assert sorted(os.listdir(guarded.parent)) == beside
    assert Path("/proc/sys/kernel/core_pattern").read_text() == pattern


@pytest.mark.proves("no-frontend", "allowed")
@pytest.mark.parametrize("tier", MOUNTS)
async def test_backend_work_is_done_without_litter(guarded: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier) -> None:
    only(monkeypatch, tier, guarded)
    lines = (
        "printf 'x = 1\\n' > $z./backend/app/new.py && mv backend/app/new.py backend/app/newer.py",
        "sed -i s/readme/README/ README.md && printf n > $z./NEW && rm NEW && mkdir -p build && rmdir build",
        "python3 -c 'import multiprocessing as m, socket; m.Lock(); socket.create_server((\"127.0.0.1\", 0))'",
        "git status && git log -1 && git diff && head -1 frontend/src/App.tsx",
        "touch /tmp/x && rm /tmp/x && : > /dev/null && head -c 4 /dev/urandom > /dev/null && ls /dev/shm",
        "git init -q backend/r && cd backend/r && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && "
        "cd .. && rm -rf r",
    )
    async with terminal(guarded) as say:
        for line in lines:
            result = await say(line)
            assert (result["exit_code"], result.get("refused")) == (0, None), (line, result)
    assert git(guarded, "status", "--porcelain").splitlines() == ["M README.md", "?? backend/app/newer.py"]


async def test_new_frontend_files_are_moved_out_and_nothing_is_lost(guarded: Path) -> None:
    line = (  # `n` hides the names from whoever reads the line.
        'n() { cat <<< "$1"; }; printf tsx > backend/app/a.$(n tsx); mkdir -p newui/src; '
        'printf \'{"dependencies": {"react": "1"}}\' > newui/$(n package).json; printf ts > newui/src/i.ts; '
        "printf '*.py filter=x\\n' > .git$(n attributes); mv backend/app/svc.py backend/app/svc.$(n jsx); "
        "mkdir -p .cur$(n sor) && printf '{}' > .cur$(n sor)/mcp.json; printf fine > backend/ok.py"
    )
    async with terminal(guarded) as say:
        result = await say(line)
    assert {item["path"]: item["owner"] for item in result["refused"]} == {
        "backend/app/a.tsx": "frontend", "newui/package.json": "frontend", "newui/src/i.ts": "frontend",
        ".gitattributes": "policy", "backend/app/svc.jsx": "frontend", ".cursor/mcp.json": "policy",
    }  # fmt: skip
    kept = {item["path"]: item["kept"] for item in result["refused"] if "kept" in item}
    assert Path(kept["backend/app/a.tsx"]).read_text() == "tsx"
    assert git(guarded, "status", "--porcelain").splitlines() == ["?? backend/ok.py"]
    assert not (guarded / "newui").exists()
    assert not (guarded / ".cursor").exists()
    assert "backend/ok.py" in result["changed"]


async def test_a_new_repository_stays_unless_it_would_run_programs(guarded: Path) -> None:
    async with terminal(guarded) as say:
        fine = await say("git init -q backend/good")
        bad = await say("git init -q backend/bad && git -C backend/bad config core.fsmonitor 'touch /tmp/x'")
    assert "refused" not in fine
    assert (guarded / "backend/good/.git/HEAD").exists()
    assert [item["path"] for item in bad["refused"]] == ["backend/bad/.git"]
    assert not (guarded / "backend/bad/.git").exists()


async def test_what_tools_make_and_git_ignores_stays(guarded: Path) -> None:
    line = "mkdir htmlcov && printf '*\\n' > htmlcov/.gitignore && printf 'a{}' > htmlcov/style.$(echo css)"
    async with terminal(guarded) as say:
        result = await say(line)
    assert "refused" not in result
    assert (guarded / "htmlcov/style.css").exists()


async def test_what_a_person_does_meanwhile_is_never_touched(guarded: Path) -> None:
    (guarded / "frontend/src/Draft.tsx").write_text("uncommitted")
    os.mkfifo(guarded / "go")
    async with terminal(guarded) as say:
        running = asyncio.create_task(say("cat go; printf x > $z./frontend/src/Draft.tsx"))
        writing = await asyncio.to_thread((guarded / "go").open, "w")
        (guarded / "frontend/src/Draft.tsx").write_text("edited meanwhile")
        (guarded / "frontend/src/More.tsx").write_text("made meanwhile")
        (guarded / "backend/static").mkdir()
        (guarded / "backend/static/pulled.css").write_text("a{}")
        git(guarded, "add", "backend/static")
        git(guarded, "commit", "--quiet", "-m", "somebody else's")
        writing.close()
        result = await running
    assert "refused" not in result
    assert (guarded / "frontend/src/Draft.tsx").read_text() == "edited meanwhile"
    assert (guarded / "frontend/src/More.tsx").exists()
    assert (guarded / "backend/static/pulled.css").exists()


async def test_landlock_alone_restores_modes_and_scattered_files(
    guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "landlock", guarded)
    (guarded / "backend/app/static").mkdir()
    (guarded / "backend/app/static/site.css").write_text("a{}")
    git(guarded, "add", "--all")
    git(guarded, "commit", "--quiet", "-m", "css")
    async with terminal(guarded) as say:
        result = await say(
            "printf x > $z./backend/app/static/site.css; chmod 700 api/openapi.yaml; : > backend/app/n.py"
        )
    assert {item["path"]: item["what"] for item in result["refused"]} == {
        "backend/app/static/site.css": "changed, restored", "api/openapi.yaml": "mode changed, restored",
    }  # fmt: skip
    assert git(guarded, "status", "--porcelain").splitlines() == ["?? backend/app/n.py"]


async def test_without_any_layer_nothing_runs_unless_the_policy_says_why(
    guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "TIERS", ())
    async with terminal(guarded) as say:
        error = (await say("touch ran"))["error"]
    assert error["code"] == "failed_precondition"
    assert "unfenced_because" in error["reason"]
    assert not (guarded / "ran").exists()
    (guarded / "mcp-backend.toml").write_text(
        '[sandbox]\nunfenced_because = "a machine of its own, thrown away daily"\n'
    )
    async with terminal(guarded) as say:
        result = await say("touch ran; printf x > $z./frontend/src/App.tsx; rm api/openapi.yaml")
    assert result["sandbox"] == "none"
    assert any("thrown away daily" in note for note in result["notes"])
    assert {item["path"] for item in result["refused"]} == {"frontend/src/App.tsx", "api/openapi.yaml"}
    assert git(guarded, "status", "--porcelain").splitlines() == ["?? mcp-backend.toml", "?? ran"]


@pytest.mark.parametrize("tier", MOUNTS)
async def test_the_network_is_loopback_and_what_the_policy_names(
    guarded: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier
) -> None:
    only(monkeypatch, tier, guarded)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"got " + await reader.readline())
        writer.close()

    named = await asyncio.start_server(answer, "127.0.0.1", 0)
    other = await asyncio.start_server(answer, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (named, other)]
    (guarded / "mcp-backend.toml").write_text(f"[sandbox]\nports = [{ports[0]}]\n")
    ask = "exec 3<>/dev/tcp/127.0.0.1/{} && echo hello >&3 && cat <&3"
    async with named, other, terminal(guarded) as say:
        reached = await say(ask.format(ports[0]))
        refused = await say(ask.format(ports[1]))
        away = await say("ip route; exec 3<>/dev/udp/192.0.2.1/53 && echo x >&3")
    assert reached["stdout"] == "got hello\n"
    assert refused["exit_code"] != 0
    assert any("no network but its own loopback" in note for note in refused["notes"])
    assert away["exit_code"] != 0


@pytest.mark.parametrize("tier", TIERS)
async def test_the_servers_state_and_other_programs_sockets_are_out_of_reach(
    guarded: Path, monkeypatch: pytest.MonkeyPatch, tier: Tier, state: Path
) -> None:
    only(monkeypatch, tier, guarded)
    secret = workspace(guarded).state
    secret.mkdir(parents=True)
    (secret / "receipt.key").write_text("not for you")
    # A folder that is neither /tmp nor /run, like a home.
    home = Path("/var/lib") if os.geteuid() == 0 else Path.home()
    folder = home / f"mcp-backend-test-{os.getpid()}"
    folder.mkdir()
    connect = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1]); print('reached')"
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(folder / "s"))
            listening.listen()
            async with terminal(guarded) as say:
                key = await say(f"cat '{secret}/receipt.key'")
                reached = await say(f"python3 -c \"{connect}\" '{folder}/s'")
    finally:
        shutil.rmtree(folder)
    assert "not for you" not in key["stdout"]
    assert reached["exit_code"] != 0
    assert "reached" not in reached["stdout"]


async def test_what_was_found_is_remembered_and_found_again_when_rights_change(
    guarded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = workspace(guarded)
    first = await asyncio.to_thread(probe.found, here)
    assert (here.state / "fence" / "tier.json").exists()
    monkeypatch.setattr(probe, "_names", {})
    monkeypatch.setattr(probe, "attempt", None)
    assert await asyncio.to_thread(probe.found, here) == first
    probe.forget(here)
    assert not (here.state / "fence" / "tier.json").exists()


async def test_a_port_that_is_passed_on_is_closed_when_its_start_is_cancelled() -> None:
    with socket.create_server(("127.0.0.1", 0)) as given:
        descriptor = os.dup(given.fileno())
    servers: list[asyncio.Server] = []
    started = asyncio.create_task(network.pass_on([(1, descriptor)], servers))
    await asyncio.sleep(0)  # as far as it comes without waiting
    started.cancel()
    with pytest.raises(asyncio.CancelledError):
        await started
    for server in servers:
        server.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
