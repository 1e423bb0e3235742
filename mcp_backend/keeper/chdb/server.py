"""The program: loads chdb, has the kernel shut this process in, then serves until SIGTERM.

Run by its path, in the data folder, with `python -I -S`: PROGRAM (chdb's extension module) and PORT as arguments, the
password in `../secrets.json`. The module is loaded without its Python layer, which would import pandas and pyarrow.
"""

import contextlib
import ctypes
import glob
import importlib.machinery
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import sys
import threading
from os.path import abspath, dirname
from typing import Any

sys.path.insert(0, dirname(dirname(dirname(dirname(abspath(__file__))))))

from mcp_backend.keeper.chdb.fence import NoFence, enclose
from mcp_backend.keeper.chdb.process import Process
from mcp_backend.keeper.chdb.protocol import Handler

END_SECONDS = 10
"""How long an orderly end may take; what was inserted is safe in any case."""


def main(program: str, port: str) -> None:
    """Serves until SIGTERM."""
    with open("../secrets.json", encoding="utf-8") as file:
        password = str(json.load(file)["backend"])
    listener = socket.create_server(("127.0.0.1", int(port)), backlog=128)
    clear_dropped()
    chdb = load(program)
    with contextlib.suppress(OSError):
        # The C library loads it when an exception is thrown or a thread ends, which would be too late.
        ctypes.CDLL("libgcc_s.so.1")
    try:
        held = enclose([os.getcwd()], readable())
    except NoFence as missing:
        sys.exit(f"the local ClickHouse does not start without its fence: {missing}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    process = Process(chdb)
    Handler.process, Handler.password = process, password
    print(f"serving ClickHouse {process.version} behind a fence ({held})", flush=True)
    try:
        while True:
            connection, address = listener.accept()
            threading.Thread(target=_serve, args=(connection, address), daemon=True).start()
    finally:
        signal.alarm(END_SECONDS)
        process.close()
        os._exit(0)


def clear_dropped() -> None:
    """Removes the data of dropped tables, as a server does after some minutes and chdb never."""
    for path in glob.glob("metadata_dropped/*.sql"):
        if found := re.search(r"\.(([0-9a-f]{3})[0-9a-f-]{33})\.sql$", path):
            shutil.rmtree(f"store/{found[2]}/{found[1]}", ignore_errors=True)
            os.unlink(path)


def load(program: str) -> Any:
    """chdb's extension module, bound to its own symbols first, as chdb itself does it."""
    sys.setdlopenflags(os.RTLD_NOW | os.RTLD_DEEPBIND)
    loader = importlib.machinery.ExtensionFileLoader("_chdb", program)
    module = importlib.util.module_from_spec(importlib.machinery.ModuleSpec("_chdb", loader, origin=program))
    loader.exec_module(module)
    return module


def readable() -> list[str]:
    """What the engine reads beside its data: how much memory and how many processors there are, random bytes, and the
    libraries it maps, which it opens again to name the place of an exception."""
    places = ["/sys/fs/cgroup", "/sys/devices/system/cpu", "/proc/self/statm", "/proc/meminfo", "/dev/urandom"]
    with open("/proc/self/maps", encoding="utf-8") as maps:
        mapped = {line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}
    return [place for place in [*places, "/usr/lib/debug", *sorted(mapped)] if os.path.exists(place)]


def _serve(connection: socket.socket, address: tuple[str, int]) -> None:
    with connection, contextlib.suppress(ConnectionError, TimeoutError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        Handler(connection, address, None)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(*sys.argv[1:])
