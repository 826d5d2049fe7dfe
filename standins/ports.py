"""Ports for servers that are stopped and started again at the same address."""

from __future__ import annotations

import random
import socket

#: Below the ports that systems give to outgoing connections (Linux from 32768 on, others from 49152): one of
#: those could be taken by a client while its server is down.
_RANGE = range(15_000, 32_000)
_ATTEMPTS = 100


def listen(port: int | None = None) -> socket.socket:
    """A socket bound to this port of the loopback interface, or to a free one where it is None or taken.

    Raises OSError when none is free.
    """
    for _ in range(_ATTEMPTS):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port or random.choice(_RANGE)))
        except OSError:
            listener.close()
            port = None
        else:
            return listener
    raise OSError(f"no port of {_RANGE.start} to {_RANGE.stop - 1} is free")


def number(listener: socket.socket) -> int:
    """The port to which a socket is bound."""
    port: int = listener.getsockname()[1]
    return port
