"""Programs that work in containers and on other machines, and what they bring here: copies, and folders of this machine
that a container is given."""

import os
import re
from collections.abc import Iterator, Mapping

from mcp_backend.expressions import Expression
from mcp_backend.hosts.effects import Effects, Program, after_options, operands, run, values
from mcp_backend.hosts.file_programs import connected
from mcp_backend.workspace.canonical import words as names
from mcp_backend.workspace.shell_parts import Command, Word

_STARTS = names("run create exec")
_REMOTE = Expression(r"[a-z0-9]+://|(?:[\w-]+/)?[\w.-]+:")


def _container(words: list[Word], command: Command, effects: Effects) -> None:
    """docker, podman, nerdctl: `cp` from a container, and what a container does to the folders that -v and --mount give
    it. https://docs.docker.com/reference/cli/docker/container/run/"""
    given = operands(
        words, "Hcfp", ("--context", "--host", "--config", "--file", "--project-name", "--profile", "--env-file")
    )
    verbs = [word.text for word in given[:2]]
    if "cp" in verbs:
        _copied(given[verbs.index("cp") + 1 :], effects)
    at = next((i for i, word in enumerate(words) if word.text in _STARTS), None)
    if at is not None:
        _mounted(words[at + 1 :], command, effects)


def _copied(given: list[Word], effects: Effects) -> None:
    given = given[:2]
    if len(given) == 2 and _REMOTE.match(given[0].text) and not _REMOTE.match(given[1].text):
        name = given[0].text.rstrip("/").rpartition("/")[2].rpartition(":")[2] or "copied"
        for path in effects.paths(given[1]):
            effects.write(f"{path}/{name}" if os.path.isdir(path) else path)


def _mounted(words: list[Word], command: Command, effects: Effects) -> None:
    mounts = [mount for mount in _mounts(words, effects) if mount[2]]
    if not mounts:
        return
    from mcp_backend.hosts import carried

    inner = after_options(_without_values(words), "")[1:]
    texts = [_placed(word.text, mounts) for word in inner]
    carried.within(effects, [" ".join(texts), *(text for text in texts if " " in text or ">" in text)])
    for host, _, _ in mounts:
        if inner and host != effects.root:
            effects.inside.append(("a container", host))
    _worked(words, inner, mounts, command, effects)


def _worked(
    words: list[Word], inner: list[Word], mounts: list[tuple[str, str, bool]], command: Command, effects: Effects
) -> None:
    """The program of a container that starts in a folder of this machine does there what it would do here."""
    from mcp_backend.hosts import programs

    for word in values(words, "-w", "--workdir"):
        for host, target, _ in mounts:
            if target and (word.text + "/").startswith(target.rstrip("/") + "/") and inner and inner[0].plain:
                there = Effects(effects.root, host + word.text.removeprefix(target.rstrip("/")), line=effects.line)
                programs.apply(inner, Command(fed=command.fed, piped=command.piped), there)
                effects.written += [path for path in there.written if path.startswith(effects.root + "/")]
                effects.deleted += [path for path in there.deleted if path.startswith(effects.root + "/")]


_SHORT = "veuwplhmcaiA"
_FLAGS = names(
    "--rm --init --privileged --interactive --tty --detach --read-only --no-healthcheck --publish-all --sig-proxy -d -i"
    " -t -it -ti -P -q --quiet"
)


def _without_values(words: list[Word]) -> list[Word]:
    """The words after the options of `run`, of which all but a few take a value."""
    at = 0
    while at < len(words) and words[at].text.startswith("-"):
        text = words[at].text
        alone = text in _FLAGS or "=" in text or (not text.startswith("--") and text[-1] in "ditPq")
        at += 1 if alone or (len(text) > 2 and text[1] in _SHORT and not text.startswith("--")) else 2
    return words[at:]


def _mounts(words: list[Word], effects: Effects) -> Iterator[tuple[str, str, bool]]:
    """Each folder of this machine that a container is given, where it is there, and whether it may be written."""
    for word in values(words, "-v", "--volume"):
        host, _, rest = word.text.partition(":")
        if not word.plain and not host.startswith("/"):
            host, word = f"{effects.root}/{host}", Word(host)  # `"$(pwd)":/x`, as good as always
        elif not word.plain:
            host = effects.root + host
        target, _, options = rest.partition(":")
        if "/" in host or host in (".", ".."):
            for path in effects.paths(host):
                yield path, target, "ro" not in options.split(",")
    for word in values(words, "--mount"):
        said = {key: value for key, _, value in (part.partition("=") for part in word.text.split(","))}
        host = said.get("source", said.get("src", ""))
        if said.get("type", "volume") == "bind" and host:
            for path in effects.paths(Word(host, word.plain)):
                target = said.get("target", said.get("destination", said.get("dst", "")))
                yield path, target, not {"readonly", "ro"} & said.keys()


def _placed(text: str, mounts: list[tuple[str, str, bool]]) -> str:
    """The same text with the paths as they are on this machine."""
    for host, target, _ in mounts:
        if target and target != "/":
            text = re.sub(rf"(?<![\w/.]){re.escape(target.rstrip('/'))}(?=/|$|\s)", host.replace("\\", "/"), text)
    return text


def _fetched(words: list[Word], command: Command, effects: Effects) -> None:
    """kubectl cp, aws s3 cp|sync|mv, gsutil cp|rsync, rclone copy|sync|move: from elsewhere to the last operand."""
    given = operands(
        words,
        "ncfl",
        ("--namespace", "--container", "--context", "--kubeconfig", "--profile", "--region", "--exclude", "--include"),
    )
    at = next((i for i, word in enumerate(given[:3]) if word.text in _COPIES), None)
    if at is not None:
        _copied([word for word in given[at + 1 :] if "/" in word.text or ":" in word.text or word.plain][:2], effects)


_COPIES = names("cp sync mv rsync copy copyto move moveto")


def _restored(words: list[Word], command: Command, effects: Effects) -> None:
    """restic, borg: --target; --password-command starts a program."""
    for code in values(words, "--password-command"):
        run(code.text, effects)
    for word in values(words, "--target", "-t"):
        effects.write(word)


_OPENED = ("open", "create", "creat", "gopen", "file")


def _addresses(words: list[Word], command: Command, effects: Effects) -> None:
    """socat: two addresses, which open files and start programs. http://www.dest-unreach.org/socat/doc/socat.html"""
    given = [w for w in operands(words, "LlTtbB") if ":" in w.text]
    reads = {"-u": 0, "-U": 1}
    left_alone = next((at for flag, at in reads.items() if flag in (w.text for w in words)), None)
    for at, word in enumerate(given):
        for part in word.text.split("!!"):
            kind, _, rest = part.partition(":")
            path, *options = rest.split(",")
            if kind.lower() in ("exec", "system", "shell"):
                run(path.strip("\"'"), effects)
            elif kind.lower() in _OPENED and at != left_alone and "rdonly" not in options:
                effects.write(Word(path, word.plain))


def _second_or_last(words: list[Word], command: Command, effects: Effects) -> None:
    """sftp, lwp-download: from elsewhere, to the second operand; `get X HERE` and `!LINE` of what is fed to them."""
    connected(words, command, effects)
    for match in re.finditer(
        r"(?m)^\s*-?(?:get|reget|mget)(?:\s+-\w+)*\s+\S+\s+(\S+)|^\s*!(.+)$|^\s*lcd\s+(\S+)", "\n".join(command.fed)
    ):
        if match[2]:
            run(match[2], effects)
        else:
            effects.write(match[1] or match[3])
    for word in operands(words, "BbcDFiJloPRSs")[1:2]:
        effects.write(word)


def _captured(words: list[Word], command: Command, effects: Effects) -> None:
    """tcpdump, tshark, dumpcap, varnishlog: -w FILE."""
    for word in values(words, "-w"):
        effects.write(word)
    for code in values(words, "-z"):
        run(code.text, effects)


CONTAINERS: Mapping[str, Program] = {
    **dict.fromkeys(("docker", "podman", "nerdctl"), _container),
    **dict.fromkeys(("kubectl", "oc", "aws", "gsutil", "gcloud", "rclone", "mc"), _fetched),
    "restic": _restored, "socat": _addresses,
    **dict.fromkeys(("sftp", "lwp-download"), _second_or_last),
    **dict.fromkeys(("tcpdump", "tshark", "dumpcap", "varnishlog", "varnishncsa"), _captured),
}  # fmt: skip
