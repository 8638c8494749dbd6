"""How many rows each cell of a stored batch has: sealed, since a count is data, and a count by label even more so.

A gateway that is restarted in the middle of a window has to know them, or it would either pass the task's limit of
rows or refuse readings that are within it. The key goes with the window, as that of `ingest.repeats` does. What lies
beside the counts in the spool (the batch's core hash, its fingerprints) is bound to them: a bit that flipped on the
disk is found when the window goes on, and not by parties that can make nothing of it.
"""

from __future__ import annotations

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from numpy.typing import NDArray

from protocol.derive import derive

_NONCE = bytes(12)


class SealedCounts:
    """Seals and opens the counts of one window's batches."""

    __slots__ = ("_box",)

    def __init__(self, *, secret: bytes, salt: bytes, window: int) -> None:
        context = window.to_bytes(8, "little", signed=True)
        self._box = AESGCMSIV(derive(secret, tag="rows of an open window", context=context, salt=salt))

    def seal(self, rows: NDArray[np.int64], beside: bytes) -> bytes:
        """Seal int64[cells], most of them 0; `beside` must come back as it is.

        The nonce is fixed: with SIV it may be, and `beside` holds the core's hash, which no other batch has.
        """
        there = np.flatnonzero(rows)
        content = np.concatenate([[len(rows)], there, rows[there]]).astype("<u4")
        return self._box.encrypt(_NONCE, content.tobytes(), beside)

    def open(self, sealed: bytes, beside: bytes) -> NDArray[np.int64] | None:
        """Return int64[cells], or None where something was changed."""
        try:
            content = np.frombuffer(self._box.decrypt(_NONCE, sealed, beside), dtype="<u4").astype(np.int64)
        except InvalidTag:
            return None
        rows = np.zeros(content[0], dtype=np.int64)
        there, counts = content[1:].reshape(2, -1)
        rows[there] = counts
        return rows
