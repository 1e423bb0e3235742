"""Programs that are read about when a line starts one of them: most lines start none, and a hook is to be quick."""

from mcp_backend.hosts.effects import Program
from mcp_backend.workspace.canonical import words

NAMES = {
    "archives": words(
        "7z 7za 7zr 7zz bsdtar bunzip2 bzip2 cpio gtar gunzip gzip lz4 p7zip pigz tar unxz unzip unzstd xz zip zstd"
    ),
    "building": words(
        "coverage create-astro create-expo-app create-next-app create-nuxt-app create-react-app create-remix "
        "create-svelte create-vite create-vue grpc_tools.protoc mariadb-dump mktemp mongodump mysqldump pg_dump "
        "pg_dumpall pip pip3 protoc py.test pytest tarfile venv virtualenv zipfile"
    ),
    "containers": words(
        "aws docker dumpcap gcloud gsutil kubectl lwp-download mc nerdctl oc podman rclone restic sftp socat "
        "tcpdump tshark varnishlog varnishncsa"
    ),
    "editors": words("ed emacs ex gvim micro nano nvim pico red vi view vim"),
    "forges": words("gh glab"),
    "more_programs": words(
        "ansible compileall dasel dpkg-deb exiftool fallocate history husky json.tool lefthook nats objcopy "
        "overcommit pax pre-commit py_compile quopri redis-cli simple-git-hooks uu valkey-cli"
    ),
    "node_programs": words("bun bunx npm npx pnpm pnpx yarn"),
}
"""The programs of each file, which `tests/test_hook_lines.py` compares with what the file has."""


def program(name: str) -> Program | None:
    """What a program does, `None` where none of these files knows it. A cmdlet of PowerShell is known by its dash."""
    place = next((place for place, known in NAMES.items() if name in known), "powershell" if "-" in name else "")
    match place:
        case "archives":
            from mcp_backend.hosts.archives import ARCHIVES

            return ARCHIVES[name]
        case "building":
            from mcp_backend.hosts.building import BUILDERS

            return BUILDERS[name]
        case "containers":
            from mcp_backend.hosts.containers import CONTAINERS

            return CONTAINERS[name]
        case "editors":
            from mcp_backend.hosts.editors import EDITORS

            return EDITORS[name]
        case "forges":
            from mcp_backend.hosts.forges import FORGES

            return FORGES[name]
        case "more_programs":
            from mcp_backend.hosts.more_programs import MORE_PROGRAMS

            return MORE_PROGRAMS[name]
        case "node_programs":
            from mcp_backend.hosts.node_programs import NODE

            return NODE[name]
        case "powershell":
            from mcp_backend.hosts.powershell import CMDLETS

            return CMDLETS.get(name.lower())
        case _:
            return None
