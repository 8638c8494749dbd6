"""Free ports on loopback."""

from __future__ import annotations

import secrets
import socket

_LOWEST, _HIGHEST = 20_000, 32_000
_given: set[int] = set()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, another one each time.

    A role binds it only after it has imported itself, seconds later. So it is taken from below the ports that the
    kernel gives to outgoing connections (and to whoever asks for any): the roles make dozens of those meanwhile.
    Should another process take it first all the same, its owner fails loudly.
    """
    for _ in range(_HIGHEST - _LOWEST):
        port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as its owner will
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise OSError("no free port on 127.0.0.1")
