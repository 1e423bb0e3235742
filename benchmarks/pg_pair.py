"""A PostgreSQL primary with a synchronous standby on this machine, for a failover in the middle of a measurement.

https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
"""

import asyncio
import os
import shutil
import signal
import subprocess
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path

from mcp_backend.engines import binaries
from tests.daemon import free_port

USER = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""
QUIET = ("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "max_connections=200")


class Pair:
    """Two clusters in `folder`; `url` names both, and the one that may be written to is used."""

    def __init__(self, folder: Path) -> None:
        self._bin = binaries.find("postgresql").parent
        self._folder = folder
        self._ports = (free_port(), free_port())
        self._running: list[Process] = []
        both = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.url = f"postgresql://postgres@{both}/postgres"

    async def start(self) -> None:
        """Makes both and waits until the standby is a synchronous one."""
        folder = self._folder
        folder.mkdir(mode=0o700)
        if USER:
            shutil.chown(folder, USER)
        first, second = folder / "one", folder / "two"
        self._run("initdb", "-D", str(first), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
        await self._serve(first, 0)
        source = f"host=127.0.0.1 port={self._ports[0]} user=postgres application_name=second"
        self._run("pg_basebackup", "-D", str(second), "-d", source, "-R", "-X", "stream", "-c", "fast", "--no-sync")
        await self._serve(second, 1)
        self._sql(0, "alter system set synchronous_standby_names = 'second'")
        self._sql(0, "select pg_reload_conf()")
        while self._sql(0, "select sync_state from pg_stat_replication") != "sync\n":
            await asyncio.sleep(0.1)

    async def fail_over(self) -> None:
        """The primary dies at once, the standby takes its place."""
        first = self._running[0]
        os.kill(first.pid, signal.SIGQUIT)  # Its children die with it, without a last word to anybody.
        await first.wait()
        await asyncio.to_thread(self._run, "pg_ctl", "promote", "-D", str(self._folder / "two"))

    async def stop(self) -> None:
        """Ends what runs."""
        for process in self._running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGQUIT)
            await process.wait()

    async def _serve(self, data: Path, number: int) -> None:
        command = [str(self._bin / "postgres"), "-D", str(data), "-p", str(self._ports[number]), *QUIET]
        self._running.append(
            await asyncio.create_subprocess_exec(*command, cwd=self._folder, stdout=DEVNULL, stderr=DEVNULL, user=USER)
        )
        while not self._sql(number, "select 'up'", check=False).startswith("up"):
            assert self._running[-1].returncode is None, f"{data} does not start"
            await asyncio.sleep(0.1)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments], cwd=self._folder, check=True, capture_output=True, user=USER
        )

    def _sql(self, number: int, text: str, *, check: bool = True) -> str:
        address = f"postgresql://postgres@127.0.0.1:{self._ports[number]}/postgres"
        command = [str(self._bin / "psql"), "-Atc", text, address]
        return subprocess.run(command, check=check, capture_output=True, text=True).stdout
