"""Free ports on loopback."""

from __future__ import annotations

import itertools
import os
import socket

_LOWEST, _HIGHEST = 20_000, 32_000
# More than the roles of one demo: processes whose ids are neighbours begin so far from each other.
_APART = 40
_steps = itertools.count()


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now, another one each time.

    A role binds it only after it has imported itself, seconds later. So it is taken from below the ports that the
    kernel gives to outgoing connections (and to whoever asks for any): the roles make dozens of those meanwhile. And
    each process looks from a place of its own: of two demos that begin at once and choose by chance, one in a hundred
    finds a port taken. Should another process take it first all the same, its owner fails loudly.
    """
    while (step := next(_steps)) < _HIGHEST - _LOWEST:
        port = _LOWEST + (os.getpid() * _APART + step) % (_HIGHEST - _LOWEST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as its owner will
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise OSError("no free port on 127.0.0.1")
