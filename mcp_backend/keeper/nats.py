"""NATS with JetStream, its streams in `data`. https://docs.nats.io/running-a-nats-service/configuration"""

import contextlib
import json
import socket

from mcp_backend.keeper.engine import Engine, write


class Nats(Engine):
    """One server with one user, who may do everything; no monitoring port, no cluster."""

    def command(self) -> list[str]:
        """A file, so that the password is on no command line; in JSON, which the format of the configuration contains.

        It runs in `data`, so no path has to be written in a format that not every path fits in.
        """
        configuration = {
            "server_name": self.secrets["name"],
            "listen": f"127.0.0.1:{self.port}",
            "authorization": {"user": "backend", "password": self.secrets["backend"]},
            "jetstream": {"store_dir": "."},
        }
        write("nats.conf", json.dumps(configuration))
        return [self.program, "-c", "../nats.conf"]

    def ready(self) -> bool:
        """Whether the server on the port greets us (`INFO`) by the name that only ours has."""
        with contextlib.suppress(OSError, ValueError):
            with socket.create_connection(("127.0.0.1", self.port), 1) as client:
                greeting = json.loads(client.recv(65536).removeprefix(b"INFO "))
            self.version = str(greeting.get("version", ""))
            return bool(greeting.get("server_name") == self.secrets["name"])
        return False

    def urls(self) -> dict[str, str]:
        """The user's URL."""
        return {"url": f"nats://backend:{self.secrets['backend']}@127.0.0.1:{self.port}"}
