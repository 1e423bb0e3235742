"""Whether the other side of a keeper's connection is still there. A lease is such a connection."""

import socket

_LOOK = socket.MSG_PEEK | socket.MSG_DONTWAIT


def gone(connection: socket.socket) -> bool:
    """Whether the other side has ended or closed it, or this one has."""
    try:
        return connection.recv(1, _LOOK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
