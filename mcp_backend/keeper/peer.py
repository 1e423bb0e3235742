"""Whether the other side of a keeper's connection is still there. A lease is such a connection."""

import socket


def gone(connection: socket.socket) -> bool:
    """Whether the other side has ended or closed it, or this one has."""
    try:
        return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
