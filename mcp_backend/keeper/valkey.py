"""Valkey, or a Redis of the system, its append-only file in `data`. https://valkey.io/topics/valkey.conf"""

import contextlib
import socket

from mcp_backend.keeper.engine import Engine, write


class Valkey(Engine):
    """One server whose only user needs a password; every write is on the disk before it is answered."""

    def command(self) -> list[str]:
        """A file, so that the password is on no command line. It runs in `data`, so no path has to be written."""
        lines = (
            "bind 127.0.0.1",
            f"port {self.port}",
            f"requirepass {self.secrets['backend']}",
            "dir .",
            'save ""',
            "appendonly yes",
            # Once a second is not enough: while that write runs, the server answers before it has written the next.
            "appendfsync always",
            "daemonize no",
        )
        write("valkey.conf", "\n".join(lines) + "\n")
        return [self.program, "../valkey.conf"]

    def ready(self) -> bool:
        """Whether the server on the port knows our password and has its data back (`LOADING` before that)."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as client:
            client.settimeout(1)
            client.sendall(f"AUTH {self.secrets['backend']}\r\nPING\r\nINFO server\r\n".encode())
            said = b""
            while b"tcp_port:" not in said and (part := client.recv(65536)):
                said += part
            if said[:1] == b"-" or b"+PONG" not in said:
                return False
            told = dict(line.split(":", 1) for line in said.decode(errors="replace").split("\r\n") if ":" in line)
            self.version = told.get("valkey_version") or told.get("redis_version", "")
            return told.get("process_id") == str(self.process.pid if self.process else "")
        return False

    def urls(self) -> dict[str, str]:
        """The user's URL."""
        return {"url": f"redis://default:{self.secrets['backend']}@127.0.0.1:{self.port}/0"}
