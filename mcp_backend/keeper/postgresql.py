"""PostgreSQL: a superuser `postgres`, and a role `backend` that owns the database `backend`.

https://www.postgresql.org/docs/current/app-postgres.html and app-initdb.html
"""

import os
import signal
import subprocess

from mcp_backend.keeper.engine import Engine, Failure, read

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "128MB",
    "max_connections": "50",
    "wal_level": "logical",
    "huge_pages": "off",
    "password_encryption": "scram-sha-256",
}
"""Few connections; memory is taken only as there is something to keep in it, and the catalog of a large schema has to
fit in a quarter of it. What keeps the user's data over a power cut (fsync, full_page_writes) stays on."""


class Postgresql(Engine):
    """A cluster in `data`, reached over TCP on the loopback interface with a SCRAM password."""

    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)
    refuses_root = True

    def create(self) -> None:
        """A cluster is made in a folder of another name and renamed when all is done: it is whole or not there."""
        if os.path.exists("data/PG_VERSION"):
            return
        import shutil

        shutil.rmtree("new", ignore_errors=True)
        os.mkdir("new", 0o700)
        self.give("new")
        initdb = os.path.join(os.path.dirname(self.program), "initdb")
        place = self._place("new")
        options = ["-U", "postgres", "-E", "UTF8", "-A", "trust", "--no-sync", *_locale(initdb)]
        self.step([initdb, "-D", place, *options], "new")
        with open("new/pg_hba.conf", "w", encoding="ascii") as file:
            file.writelines(f"host {what} all 127.0.0.1/32 scram-sha-256\n" for what in ("all", "replication"))
        single = [self.program, "--single", "-D", place, "-c", "exit_on_error=on", "-c", "fsync=off", "postgres"]
        self.step(
            single,
            "new",
            f"ALTER ROLE postgres PASSWORD '{scram(self.secrets['superuser'])}';\n"
            f"CREATE ROLE backend LOGIN PASSWORD '{scram(self.secrets['backend'])}';\n"
            "CREATE DATABASE backend OWNER backend;\n",
        )
        os.rmdir("data")
        os.rename("new", "data")
        # Its thousand files go to the disk while it is already in use.
        self.launch([initdb, "--sync-only", "-D", self._place("data")], "data", apart=True)

    def command(self) -> list[str]:
        """`postgres` with the settings that are ours; the user's own stay in `data/postgresql.conf`."""
        chosen = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        return [self.program, "-D", self._place("data"), "-p", str(self.port), *chosen]

    def ready(self) -> bool:
        """What `pg_ctl` looks at: our process id and the word `ready` in postmaster.pid."""
        lines = read("data/postmaster.pid").split("\n")
        if self.process is None or len(lines) < 8 or lines[0] != str(self.process.pid) or lines[7].strip() != "ready":
            return False
        self.version = self.log().partition("starting PostgreSQL ")[2].partition(" ")[0]
        return True

    def start(self) -> None:
        """Starts the cluster; says what to do when another major version made it."""
        _forget_postmaster()
        try:
            super().start()
        except Failure as failure:
            if "incompatible with server" not in self.log():
                raise
            made_by = read("data/PG_VERSION").strip()
            raise Failure(
                f"{self.folder}/data was made by PostgreSQL {made_by}, and {self.program} is another major version. "
                f"Set MCP_BACKEND_POSTGRESQL_BIN to the bin folder of a PostgreSQL {made_by}, or move that folder away "
                "to begin with an empty database"
            ) from failure

    def urls(self) -> dict[str, str]:
        """The owner of the database, who is no superuser, and the superuser in the same database."""
        rest = f"@127.0.0.1:{self.port}/backend"
        return {
            "url": f"postgresql://backend:{self.secrets['backend']}{rest}",
            "superuser_url": f"postgresql://postgres:{self.secrets['superuser']}{rest}",
        }

    def _place(self, folder: str) -> str:
        """The folder as the engine can name it: `nobody` is in it, but may not be able to walk there."""
        return "/proc/self/cwd" if self.identity == "nobody" else os.path.join(self.folder, folder)


def _forget_postmaster() -> None:
    """Removes the postmaster.pid of a killed server when its process id now belongs to another program.

    PostgreSQL would take that program for a running server and refuse to start; in containers, where few ids are in
    use, this is common. A process that is a PostgreSQL is left for PostgreSQL to judge.
    """
    process = read("data/postmaster.pid").partition("\n")[0]
    if process and read(f"/proc/{process}/comm").strip() != "postgres":
        os.unlink("data/postmaster.pid")


def scram(password: str) -> str:
    """The SCRAM-SHA-256 verifier of a password (RFC 5803 as PostgreSQL stores it), so that no log can hold the word."""
    import base64
    import hashlib
    import hmac

    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    client = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode() for part in (salt, client, server)]
    return f"SCRAM-SHA-256${rounds}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def _locale(initdb: str) -> list[str]:
    """C.UTF-8: the same order on every machine; from version 17 on without the machine's own locales."""
    said = subprocess.run([initdb, "--version"], stdout=subprocess.PIPE, check=False).stdout.decode()
    major = said.partition("(PostgreSQL) ")[2].partition(".")[0]
    if major.isdigit() and int(major) >= 17:
        return ["--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C.UTF-8"]
