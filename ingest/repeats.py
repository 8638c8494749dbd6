"""Drop exact repeats: the same source, sensor, measure, time and value. MQTT delivers again after lost connections.

What is remembered of a reading goes to the disk, so it must not give the reading away: a plain hash of 10-bit values
is guessed in no time. So each window has its own key, derived from the gateway's storage secret (which is not in the
spool) and a random salt, and both the salt and what was remembered go with the window.

fingerprint = AES-256_k1(stream XOR (time || value)), stream = HMAC-SHA256_k2(source, sensor, measure)[:16]

This is a PRF over its inputs: streams are random and secret, so two inputs meet before the cipher with probability
2^-128 only. One AES call then does a whole batch, where an HMAC for each reading would cost more than all the rest of
the gateway.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

SALT_SIZE = 16
SIZE = 16


class Repeats:
    """What one window has had."""

    __slots__ = ("_encrypt", "_seen", "_streams", "_streams_key", "salt")

    def __init__(self, *, secret: bytes, salt: bytes, window: int, remembered: bytes = b"") -> None:
        key = hmac.digest(secret, b"sotto/1 repeats\0" + salt + window.to_bytes(8, "little", signed=True), "sha256")
        self.salt = salt
        self._streams_key = hmac.digest(key, b"streams", "sha256")
        cipher = Cipher(algorithms.AES(hmac.digest(key, b"values", "sha256")), modes.ECB())  # noqa: S305  one block each: a PRP
        self._encrypt = cipher.encryptor()
        self._seen = set(_cut(remembered))
        self._streams: dict[tuple[str, str, str], bytes] = {}

    def __len__(self) -> int:
        return len(self._seen)

    def stream(self, source: str, sensor: str, measure: str) -> bytes:
        """Return the 16 secret bytes of one measure of one sensor."""
        parts = (source, sensor, measure)
        found = self._streams.get(parts)
        if found is None:
            texts = [part.encode("utf-8", "surrogatepass") for part in parts]
            message = b"".join(len(text).to_bytes(4, "little") + text for text in texts)
            found = self._streams[parts] = hmac.digest(self._streams_key, message, "sha256")[:16]
        return found

    def fingerprints(
        self, streams: Sequence[bytes], index: NDArray[np.intp], times: NDArray[np.int64], values: NDArray[np.float64]
    ) -> bytes:
        """Return 16 bytes for each of n readings; `index` (intp[n]) says which of `streams` each belongs to."""
        secret = np.frombuffer(b"".join(streams), dtype=np.uint64).reshape(-1, 2)
        blocks = secret[index]
        blocks[:, 0] ^= times.view(np.uint64)
        blocks[:, 1] ^= (values + 0.0).view(np.uint64)  # + 0.0: minus zero is zero
        return self._encrypt.update(blocks.tobytes())

    def new(self, fingerprints: bytes) -> NDArray[np.bool_]:
        """Remember n fingerprints; return bool[n], False where one was there before (in this call as well)."""
        each = _cut(fingerprints)
        fresh = set(each)
        if len(fresh) == len(each) and self._seen.isdisjoint(fresh):
            self._seen |= fresh
            return np.ones(len(each), dtype=np.bool_)
        result = np.empty(len(each), dtype=np.bool_)
        for number, one in enumerate(each):
            result[number] = one not in self._seen
            self._seen.add(one)
        return result


def _cut(data: bytes) -> list[bytes]:
    return [data[i : i + SIZE] for i in range(0, len(data), SIZE)]
