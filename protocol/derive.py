"""Key derivation: HKDF-SHA256 (RFC 5869) with a tag for each use, and the fresh secrets of one batch."""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.keys import Entropy


def derive(secret: bytes, *, tag: str, context: bytes, salt: bytes | None = None) -> bytes:
    """Return 32 bytes that depend on the secret, the use (`tag`) and the context."""
    info = b"sotto/1 " + tag.encode() + b"\0" + context
    return HKDF(algorithm=SHA256(), length=32, salt=salt, info=info).derive(secret)


@dataclass(frozen=True, slots=True)
class Fresh:
    """Secrets for one use: from fresh random bytes, the gateway's own secret, and the content that they will hide.

    A machine that is restored from a snapshot, or a cloned card, repeats its random bytes. With the content in the
    derivation, equal randomness on other content still gives independent seeds, blinds and salts: no pad is used twice.
    """

    _secret: bytes = field(repr=False)
    _context: bytes

    @classmethod
    def draw(cls, entropy: Entropy, storage: bytes, *content: bytes) -> Fresh:
        """Draw 32 random bytes and bind them to the content (its own hash where it is long)."""
        context = b"".join(len(part).to_bytes(4, "little") + part for part in content)
        return cls(entropy(32) + storage, context)

    def take(self, tag: str, number: int = 0) -> bytes:
        """Return the 32 bytes for one use."""
        return derive(self._secret, tag=tag, context=bytes([number]) + self._context)
