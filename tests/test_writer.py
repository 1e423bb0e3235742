"""The one writer: nothing is lost to races, rivals, moved folders, death or a full disk."""

import asyncio
import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_backend.errors import Aborted, BackendError, InvalidArgument, OutcomeUnknown, Unavailable
from mcp_backend.settings import Workspace, workspace
from mcp_backend.workspace import beneath, edits, placing, textfile, writer
from tests.conftest import ERAS, Connect, Era
from tests.service import ask

ATTEMPTS = int(os.environ.get("RACE_ATTEMPTS", "1000"))
COUNTS = int(os.environ.get("RACE_COUNTS", "60"))
SWAPPER = """
import ctypes, sys
a, b = (p.encode() for p in sys.argv[1:3])
libc = ctypes.CDLL(None)
print(flush=True)
while True:
    libc.renameat2(-100, a, -100, b, 2)
"""


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace with a backend and a frontend folder."""
    root = tmp_path / "ws"
    for folder in ("backend/race", "backend/real", "frontend"):
        (root / folder).mkdir(parents=True)
    (root / "frontend/x.py").write_text("theirs\n")
    (root / "backend/a.py").write_text("a = 1\n")
    return workspace(root)


@contextmanager
def swapping(one: Path, other: Path) -> Generator[None]:
    """Another process that exchanges two names for each other, without a pause."""
    with subprocess.Popen([sys.executable, "-c", SWAPPER, str(one), str(other)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield
        finally:
            process.kill()


def attempts(place: Workspace, path: str, watched: Callable[[], object], expected: object) -> dict[str, int]:
    """Tries to write again and again; returns how often each outcome came, and fails when `watched` changes."""
    outcomes: dict[str, int] = {}
    for number in range(ATTEMPTS):
        try:
            writer.write(writer.look(place, path), f"mine {number}\n".encode())
            outcome = "written"
        except BackendError as error:
            outcome = error.code
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        assert watched() == expected, f"lost at attempt {number} after {outcomes}"
    return outcomes


@pytest.mark.parametrize("kernel", [True, False], ids=["openat2", "one by one"])
def test_a_folder_that_turns_into_a_link_again_and_again_never_leads_elsewhere(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, kernel: bool
) -> None:
    if not kernel:
        monkeypatch.setattr(beneath, "_kernel_resolves", lambda: False)
    (place.root / "backend/link").symlink_to("../frontend")
    theirs = place.root / "frontend"
    with swapping(place.root / "backend/race", place.root / "backend/link"):
        outcomes = attempts(
            place,
            "backend/race/x.py",
            lambda: [(p.name, p.read_text()) for p in theirs.iterdir()],
            [("x.py", "theirs\n")],
        )
    assert set(outcomes) <= {"written", "aborted", "invalid_argument"}
    assert len(outcomes) > 1, "both sides of the race were met"


def test_a_file_that_turns_into_a_link_again_and_again_is_never_written_through(place: Workspace) -> None:
    (place.root / "backend/link").symlink_to("../frontend/x.py")
    theirs = place.root / "frontend/x.py"
    with swapping(place.root / "backend/a.py", place.root / "backend/link"):
        outcomes = attempts(place, "backend/a.py", theirs.read_text, "theirs\n")
    # `unavailable`: three writers met, and what the third one put there is kept beside the file.
    assert set(outcomes) <= {"written", "aborted", "invalid_argument", "unavailable"}
    links = [p for p in (place.root / "backend").iterdir() if p.is_symlink()]
    assert len(links) == 1, "the link is still there, under one of its names"


def test_a_folder_that_changes_places_with_another_keeps_what_is_in_it(place: Workspace) -> None:
    """What was in the other folder is neither overwritten nor joined by a file meant for this one."""
    (place.root / "backend/race/x.py").write_text("ours\n")
    marker = {place.root / "backend/race": "race", place.root / "frontend": "frontend"}
    for folder, name in marker.items():
        (folder / ".name").write_text(name)
    target = writer.look(place, "backend/race/x.py")
    os.rename(place.root / "backend/race", place.root / "backend/moved")
    os.rename(place.root / "frontend", place.root / "backend/race")
    with pytest.raises(Aborted, match="changed by somebody else"):
        writer.write(target, b"mine\n")
    assert (place.root / "backend/race/x.py").read_text() == "theirs\n"
    assert (place.root / "backend/moved/x.py").read_text() == "ours\n"


def test_a_folder_that_is_moved_while_it_is_written_to_takes_no_file_along(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = placing.Draft.create

    def moved_first(draft: placing.Draft, name: str) -> None:
        real(draft, name)
        os.rename(place.root / "backend/race", place.root / "frontend/race")

    monkeypatch.setattr(placing.Draft, "create", moved_first)
    with pytest.raises(Aborted, match="moved or replaced"):
        writer.write(writer.look(place, "backend/race/new.py"), b"mine\n")
    assert list((place.root / "frontend/race").iterdir()) == []


def test_a_rival_between_looking_and_writing_is_not_overwritten(place: Workspace) -> None:
    target = writer.look(place, "backend/a.py")
    (place.root / "backend/a.py").write_text("a = 2\n")
    with pytest.raises(Aborted):
        writer.write(target, b"a = 3\n")
    new = writer.look(place, "backend/new.py")
    (place.root / "backend/new.py").write_text("theirs\n")
    with pytest.raises(Aborted):
        writer.write(new, b"mine\n")
    gone = writer.look(place, "backend/a.py")
    (place.root / "backend/a.py").unlink()
    with pytest.raises(Aborted, match="deleted meanwhile"):
        writer.write(gone, b"a = 3\n")
    assert (place.root / "backend/new.py").read_text() == "theirs\n"
    assert sorted(p.name for p in (place.root / "backend").iterdir()) == ["new.py", "race", "real"]


@pytest.mark.parametrize("how", ["in place", "renamed", "link"])
def test_a_rival_at_the_very_last_moment_gets_the_place_back(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """An editor that knows no lock writes after the last look: its version is there afterwards, and nothing else."""
    path = place.root / "backend/a.py"
    real = placing.Draft.exchange

    def rival_first(draft: placing.Draft, name: str) -> bool:
        match how:
            case "in place":
                path.write_text("a = 2\n")
            case "renamed":
                (place.root / "backend/b").write_text("a = 2\n")
                os.rename(place.root / "backend/b", path)
            case _:
                path.unlink()
                path.symlink_to("../frontend/x.py")
        return real(draft, name)

    monkeypatch.setattr(placing.Draft, "exchange", rival_first)
    with pytest.raises(Aborted):
        writer.write(writer.look(place, "backend/a.py"), b"a = 3\n")
    assert path.read_text() == ("theirs\n" if how == "link" else "a = 2\n")
    assert path.is_symlink() == (how == "link")
    assert sorted(p.name for p in path.parent.iterdir()) == ["a.py", "race", "real"]


def test_the_newest_of_three_versions_is_kept_beside_the_file(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = place.root / "backend/a.py"
    real = placing.Draft.exchange

    def rivals(draft: placing.Draft, name: str) -> bool:
        path.write_text("a = 2\n")
        done = real(draft, name)
        (place.root / "backend/b").write_text("a = 4\n")
        os.rename(place.root / "backend/b", path)
        return done

    monkeypatch.setattr(placing.Draft, "exchange", rivals)
    with pytest.raises(OutcomeUnknown) as caught:
        writer.write(writer.look(place, "backend/a.py"), b"a = 3\n")
    kept = next(p for p in path.parent.iterdir() if p.name.endswith("~"))
    assert kept.name in caught.value.reason
    assert (path.read_text(), kept.read_text()) == ("a = 2\n", "a = 4\n")


@pytest.mark.parametrize("lacking", ["nothing", "unnamed", "exchange", "both"])
def test_a_file_system_without_the_newer_calls_is_written_to_all_the_same(
    place: Workspace, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    if lacking in ("unnamed", "both"):
        monkeypatch.setattr(placing, "_UNNAMED", 0)
    if lacking in ("exchange", "both"):
        monkeypatch.setattr(placing, "_renameat2", lambda: None)
    (place.root / "backend/a.py").chmod(0o640)
    writer.write(writer.look(place, "backend/a.py"), b"a = 2\n")
    writer.write(writer.look(place, "backend/deep/er/b.py"), b"b = 1\n")
    new = writer.look(place, "backend/new.py")
    (place.root / "backend/new.py").write_text("theirs\n")
    with pytest.raises(Aborted):
        writer.write(new, b"mine\n")
    files = {
        p.relative_to(place.root).as_posix(): p.read_text() for p in (place.root / "backend").rglob("*") if p.is_file()
    }
    assert files == {"backend/a.py": "a = 2\n", "backend/deep/er/b.py": "b = 1\n", "backend/new.py": "theirs\n"}
    assert (place.root / "backend/a.py").stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_permissions_of_the_umask(place: Workspace) -> None:
    before = os.umask(0o027)
    try:
        writer.write(writer.look(place, "backend/sub/new.py"), b"")
    finally:
        os.umask(before)
    assert (place.root / "backend/sub/new.py").stat().st_mode & 0o777 == 0o640
    assert (place.root / "backend/sub").stat().st_mode & 0o777 == 0o750


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_the_owner_of_a_file_stays_its_owner(place: Workspace) -> None:
    os.chown(place.root / "backend/a.py", 12345, 12346)
    writer.write(writer.look(place, "backend/a.py"), b"a = 2\n")
    found = (place.root / "backend/a.py").stat()
    assert (found.st_uid, found.st_gid) == (12345, 12346)


def test_a_full_disk_changes_nothing_and_is_named(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(placing.os, "write", full)
    with pytest.raises(Unavailable, match="the disk: No space left"):
        writer.write(writer.look(place, "backend/a.py"), b"a = 2\n")
    assert (place.root / "backend/a.py").read_text() == "a = 1\n"
    assert sorted(p.name for p in (place.root / "backend").iterdir()) == ["a.py", "race", "real"]


def test_a_writer_that_is_stopped_holds_up_the_others_for_a_bounded_time(
    place: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LOCK_SECONDS", 0.05)
    with writer._turn(place.state), pytest.raises(Unavailable, match="another server"):  # pyright: ignore[reportPrivateUsage]
        writer.write(writer.look(place, "backend/a.py"), b"a = 2\n")
    writer.write(writer.look(place, "backend/a.py"), b"a = 2\n")
    assert (place.root / "backend/a.py").read_text() == "a = 2\n"


def test_a_file_is_whole_whenever_its_writer_is_killed(place: Workspace, state: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom mcp_backend.settings import workspace\n"
        "from mcp_backend.workspace import writer\nplace = workspace(Path(sys.argv[1]))\nprint(flush=True)\n"
        "while True:\n    for letter in b'ab':\n"
        "        writer.write(writer.look(place, 'backend/a.py'), bytes([letter]) * 300_000)\n"
    )
    path = place.root / "backend/a.py"
    path.write_bytes(b"a" * 300_000)
    for _ in range(5):
        with subprocess.Popen(
            [sys.executable, "-c", script, str(place.root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "MCP_BACKEND_STATE": str(state)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            before = path.stat().st_ino
            while path.stat().st_ino == before:
                os.sched_yield()
            process.send_signal(signal.SIGKILL)
        data = path.read_bytes()
        assert data in (b"a" * 300_000, b"b" * 300_000)
    writer.write(writer.look(place, "backend/a.py"), b"the lock of the dead is free\n")


@pytest.mark.parametrize("era", ERAS)
async def test_two_servers_that_count_in_one_file_lose_no_count(place: Workspace, connect: Connect, era: Era) -> None:
    (place.root / "backend/count.txt").write_text("count 0\n")

    async def counting(times: int) -> int:
        retries = 0
        async with connect(place.root, mode=era) as client:
            for _ in range(times):
                while True:
                    seen = (await ask(client, "read_file", path="backend/count.txt"))["content"]
                    new = f"count {int(seen.split()[1]) + 1}\n"
                    edit = {"path": "backend/count.txt", "edits": [{"old": seen, "new": new}]}
                    answer = await client.call_tool("edit_file", edit)
                    if not answer.is_error:
                        break
                    assert answer.structured_content is not None
                    assert answer.structured_content["error"]["code"] in ("aborted", "invalid_argument")
                    retries += 1
        return retries

    await asyncio.gather(counting(COUNTS // 2), counting(COUNTS // 2))
    assert (place.root / "backend/count.txt").read_text() == f"count {COUNTS // 2 * 2}\n"


def test_writers_in_threads_lose_no_count(place: Workspace) -> None:
    (place.root / "backend/count.txt").write_text("0")

    def counting() -> None:
        for _ in range(COUNTS):
            while True:
                target = writer.look(place, "backend/count.txt")
                try:
                    writer.write(target, str(int(target.before or b"0") + 1).encode())
                    break
                except Aborted:
                    continue

    threads = [threading.Thread(target=counting) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (place.root / "backend/count.txt").read_text() == str(4 * COUNTS)


@given(
    st.binary(max_size=200)
    | st.text(max_size=80).map(str.encode)
    | st.text(max_size=80).map(lambda t: t.encode("utf-16"))
)
def test_a_text_taken_apart_and_put_together_is_the_same_file(data: bytes) -> None:
    text = textfile.decode(data)
    if text is not None:
        assert text.encode(text.text, field="x") == data


@given(
    st.lists(st.sampled_from(["a", "b", "key", "\n", "\r\n", " ", "é"]), max_size=30).map("".join),
    st.sampled_from(["a", "a\n", "\nb", "key", "\n", "a b"]),
    st.sampled_from(["", "x", "x\ny", "\n"]),
)
def test_an_edit_changes_what_is_quoted_and_nothing_else(text: str, old: str, new: str) -> None:
    source = textfile.decode(text.encode())
    assert source is not None
    shown = text.replace("\r\n", "\n")
    places = [i for i in range(len(shown)) if shown.startswith(old, i)]
    if len(places) != 1 or old == new:
        with pytest.raises(InvalidArgument):
            edits.apply("a.txt", source, [edits.Edit(old, new)])
        return
    # Where each shown character is in the real text: a shown line end stands for one character or two.
    real = [0]
    for character in shown:
        real.append(real[-1] + (2 if character == "\n" and text.startswith("\r\n", real[-1]) else 1))
    begin, end = real[places[0]], real[places[0] + len(old)]
    after = edits.apply("a.txt", source, [edits.Edit(old, new)])
    assert after == text[:begin] + new.replace("\n", source.newline) + text[end:]


def test_the_kernel_call_is_used_where_it_exists() -> None:
    """The fallback is for older systems: a mistake in the call must not hide behind it."""
    libc = ctypes.CDLL(None, use_errno=True)
    how = (ctypes.c_uint64 * 3)(beneath.FOLDER, 0, 8)
    descriptor = libc.syscall(437, -100, b".", how, 24)
    if descriptor >= 0:
        os.close(descriptor)
    assert beneath._kernel_resolves() == (descriptor >= 0)  # pyright: ignore[reportPrivateUsage]
