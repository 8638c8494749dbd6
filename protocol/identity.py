"""Public identities as text: what people compare by telephone, and what files carry.

An identity is an Ed25519 public key (RFC 8032), written `ed25519:` and base64url without padding.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Annotated

from pydantic import BeforeValidator

_PREFIX = "ed25519:"
_FINGERPRINT = "sha256:"


def b64(data: bytes) -> str:
    """Encode as base64url without padding (RFC 4648, section 5)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: object, size: int | None = None) -> bytes:
    """Decode canonical base64url without padding. Raises ValueError for any other text or size."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        msg = "base64url text without padding is needed here"
        raise ValueError(msg)
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        msg = "base64url text without padding is needed here"
        raise ValueError(msg) from error
    if b64(data) != text:
        msg = "this base64url text is not canonical: a character was changed"
        raise ValueError(msg)
    if size is not None and len(data) != size:
        msg = f"this text holds {len(data)} bytes, {size} are needed: was a part cut off?"
        raise ValueError(msg)
    return data


def parse_identity(text: object) -> bytes:
    """Return the 32 bytes of an identity text."""
    if isinstance(text, str) and text.startswith(_PREFIX):
        return unb64(text.removeprefix(_PREFIX), 32)
    msg = 'an identity is written "ed25519:..."; it is printed by: sotto keys show FILE'
    raise ValueError(msg)


def format_identity(key: bytes) -> str:
    """Write 32 bytes as an identity text."""
    return _PREFIX + b64(key)


def parse_fingerprint(text: object) -> bytes:
    """Return the 32 bytes of a fingerprint text `sha256:...`."""
    if isinstance(text, str) and text.startswith(_FINGERPRINT):
        return unb64(text.removeprefix(_FINGERPRINT), 32)
    msg = 'a fingerprint is written "sha256:..."'
    raise ValueError(msg)


def format_fingerprint(digest: bytes) -> str:
    """Write a SHA-256 digest as a fingerprint text."""
    return _FINGERPRINT + b64(digest)


def spoken(data: bytes, bits: int = 130) -> str:
    """Write the first `bits` bits of a digest in lower-case base32 (RFC 4648): short enough to be read out.

    130 bits: against the author of a file, who searches for two files with one id, a few characters are not enough.
    """
    digits = base64.b32encode(data).decode().rstrip("=").lower()
    return digits[: bits // 5]


def in_groups(text: str, size: int = 4) -> str:
    """Put hyphens between groups of characters, for the telephone: "td5g-mlue-..."."""
    return "-".join(text[i : i + size] for i in range(0, len(text), size))


def spoken_fingerprint(identity: bytes) -> str:
    """Return the fingerprint of an identity for the telephone: 100 bits of SHA-256 in groups of four."""
    return in_groups(spoken(hashlib.sha256(b"sotto/1 identity\0" + identity).digest(), 100))


Identity = Annotated[bytes, BeforeValidator(parse_identity)]
Fingerprint = Annotated[bytes, BeforeValidator(parse_fingerprint)]


def _signature(text: object) -> bytes:
    return unb64(text, 64)


Signature = Annotated[bytes, BeforeValidator(_signature)]
