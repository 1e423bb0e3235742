"""A decision as a signed commit: whoever holds a key of the policy's allowed signers decides, wherever they are.

The message says `Escalation: ID`, `Decision: approve|deny|answer` and, of an approval, `Digest:` with all of it; for
an answer its body is the answer. The SSH signature is checked as `git verify-commit` does, by ssh-keygen (see its
manual, ALLOWED SIGNERS, and gitformat-signature(5)), but without git: a repository's configuration could name another
program for that.
"""

import asyncio
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from mcp_backend.errors import InvalidArgument, NotFound, PermissionDenied, Unavailable
from mcp_backend.people.inbox import Inbox
from mcp_backend.store import Row
from mcp_backend.terminal import plain

CHANNEL = "commit"
WAYS = {"approve": "approved", "deny": "denied", "answer": "answered"}
SECONDS = 10.0
_FIELD = re.compile(r"^(Escalation|Decision|Digest): *(\S+) *$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Signed:
    """What a genuine commit says, and who signed it (a principal of the allowed signers)."""

    by: str
    fields: dict[str, str]
    text: str


async def receive(inbox: Inbox, revision: str, now: float) -> Row:
    """Records the decision of a commit. Raises `NotFound` when there is none, `PermissionDenied` when nobody of the
    policy signed it or its signer may not decide, `InvalidArgument` when it says nothing."""
    said = await asyncio.to_thread(verified, inbox.place.root, revision, allowed(inbox))
    decision = said.fields.get("Decision", "")
    if decision not in WAYS or "Escalation" not in said.fields:
        raise InvalidArgument(f"the message: expected Escalation: ID and Decision: {', '.join(WAYS)}")
    row = await inbox.one(said.fields["Escalation"])
    if decision == "approve" and said.fields.get("Digest") != row["digest"]:
        raise InvalidArgument("the message: expected Digest: with the whole digest of what is approved")
    speaker = replace(inbox, reader=said.by)
    return await speaker.decide(row, status=WAYS[decision], answer=plain(said.text).strip(), channel=CHANNEL, now=now)


def allowed(inbox: Inbox) -> Path:
    """The file of allowed signers. Raises `InvalidArgument` unless the policy names one outside the workspace."""
    path = Path(inbox.policy.allowed_signers)
    if not inbox.policy.allowed_signers:
        raise InvalidArgument("allowed_signers: not set in mcp-backend.toml: no commit decides anything here")
    real = path.resolve()
    if not path.is_absolute() or real.is_relative_to(inbox.place.root.resolve()):
        raise InvalidArgument(
            "allowed_signers: expected an absolute path outside the workspace, away from the engineer"
        )
    if not real.is_file():
        raise InvalidArgument(f"allowed_signers: {path} is no file")
    return real


def verified(root: Path, revision: str, signers: Path) -> Signed:
    """The commit, signed by somebody the file allows. Blocks."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "GIT_NO_REPLACE_OBJECTS": "1", "LC_ALL": "C"}

    def run(*command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(
                command, cwd=root, env=environment, input=given, capture_output=True, timeout=SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{command[0]} does not run: {type(error).__name__}") from error

    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", revision):
        raise InvalidArgument("COMMIT: expected its full hash")
    found = run("git", "cat-file", "commit", revision)
    if found.returncode:
        raise NotFound(f"COMMIT: no commit {revision} in this repository")
    signature, payload = _parts(found.stdout)
    tree, *parents = re.findall(rb"^(?:tree|parent) ([0-9a-f]+)$", payload.partition(b"\n\n")[0], re.MULTILINE)
    before = run("git", "rev-parse", "--verify", "--quiet", f"{parents[0].decode()}^{{tree}}") if parents else None
    if len(parents) != 1 or before is None or before.stdout.strip() != tree:
        # Who signs whatever they rebase or merge must not decide by the words of somebody else's change.
        raise PermissionDenied("a decision is a commit of its own that changes nothing: git commit --allow-empty -S")
    with tempfile.NamedTemporaryFile() as file:
        file.write(signature)
        file.flush()
        keygen = ("ssh-keygen", "-Y")
        names = run(*keygen, "find-principals", "-s", file.name, "-f", str(signers)).stdout.decode("utf-8", "replace")
        for name in names.splitlines():
            if not name or set(name) & set("*?!,"):
                continue  # A pattern is nobody.
            verify = (*keygen, "verify", "-f", str(signers), "-I", name, "-n", "git", "-s", file.name)
            if run(*verify, given=payload).returncode == 0:
                return _said(name, payload.partition(b"\n\n")[2].decode("utf-8", "replace"))
    raise PermissionDenied("nobody whom allowed_signers names signed this commit as it is")


def _parts(commit: bytes) -> tuple[bytes, bytes]:
    """The signature, and what was signed: the commit without that header."""
    head, _, message = commit.partition(b"\n\n")
    kept, signature, inside = list[bytes](), list[bytes](), False
    for line in head.split(b"\n"):
        if line.startswith(b"gpgsig"):
            inside = True
            signature.append(line.partition(b" ")[2])
        elif inside and line.startswith(b" "):
            signature.append(line[1:])
        else:
            inside = False
            kept.append(line)
    if not signature or signature[0] != b"-----BEGIN SSH SIGNATURE-----":
        raise PermissionDenied("the commit carries no SSH signature")
    return b"\n".join(signature) + b"\n", b"\n".join(kept) + b"\n\n" + message


def _said(by: str, message: str) -> Signed:
    fields = _FIELD.findall(message)
    if len({name for name, _ in fields}) != len(fields):
        raise InvalidArgument("the message: expected Escalation, Decision and Digest once each")
    return Signed(by, dict(fields), _FIELD.sub("", message))
