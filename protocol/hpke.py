"""Sealing to a public key: HPKE (RFC 9180), base mode, single shot.

Two suites: ML-KEM-768 with X25519 (the default; what is recorded today stays closed to tomorrow's quantum computers),
and X25519 alone. HKDF-SHA256 and AES-256-GCM in both. `info` binds everything that the two sides must agree on; it is
always given, since base mode does not authenticate the sender and a copied ciphertext could be passed off as
another gateway's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from protocol.errors import WireError

PrivateKey: TypeAlias = X25519PrivateKey | MLKEM768X25519PrivateKey
PublicKey: TypeAlias = X25519PublicKey | MLKEM768X25519PublicKey

HYBRID: Final = "mlkem768-x25519"
CLASSIC: Final = "x25519"
_MLKEM_PUBLIC = 1184
_MLKEM_SEED = 64


@dataclass(frozen=True, slots=True)
class SealingSuite:
    """One of the suites, with the sizes of its keys."""

    name: str
    code: int
    suite: Suite
    public: int
    secret: int

    def private_key(self, secret: bytes) -> PrivateKey:
        """Rebuild a private key from its secret bytes (ML-KEM seed, then X25519 secret)."""
        if len(secret) != self.secret:
            msg = f"a sealing secret for {self.name} has {self.secret} bytes"
            raise ValueError(msg)
        if self.name == CLASSIC:
            return X25519PrivateKey.from_private_bytes(secret)
        return MLKEM768X25519PrivateKey(
            MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED]),
            X25519PrivateKey.from_private_bytes(secret[_MLKEM_SEED:]),
        )

    def public_bytes(self, secret: bytes) -> bytes:
        """Return the public key that belongs to secret bytes (ML-KEM public key, then X25519)."""
        classic = X25519PrivateKey.from_private_bytes(secret[-32:]).public_key().public_bytes_raw()
        if self.name == CLASSIC:
            return classic
        return MLKEM768PrivateKey.from_seed_bytes(secret[:_MLKEM_SEED]).public_key().public_bytes_raw() + classic

    def public_key(self, data: bytes) -> PublicKey:
        """Rebuild a public key. Raises ValueError for the wrong size or an invalid key."""
        if len(data) != self.public:
            msg = f"a sealing key for {self.name} has {self.public} bytes"
            raise ValueError(msg)
        classic = X25519PublicKey.from_public_bytes(data[-32:])
        if self.name == CLASSIC:
            return classic
        return MLKEM768X25519PublicKey(MLKEM768PublicKey.from_public_bytes(data[:_MLKEM_PUBLIC]), classic)

    def seal(self, plaintext: bytes, public: PublicKey, info: bytes) -> bytes:
        """Seal to a public key. Fresh randomness comes from the library, so two seals of one text differ."""
        return self.suite.encrypt(plaintext, public, info)

    def open(self, sealed: bytes, private: PrivateKey, info: bytes) -> bytes:
        """Open what was sealed under the same `info`, or raise WireError."""
        try:
            return self.suite.decrypt(sealed, private, info)
        except (InvalidTag, ValueError) as error:
            raise WireError("cannot_open") from error


def _suite(kem: KEM) -> Suite:
    return Suite(kem, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


SUITES: Final = {
    HYBRID: SealingSuite(HYBRID, 1, _suite(KEM.MLKEM768_X25519), 1216, 96),
    CLASSIC: SealingSuite(CLASSIC, 2, _suite(KEM.X25519), 32, 32),
}


def key_id(public: bytes) -> bytes:
    """Return the 16 bytes by which records name a sealing key."""
    return fingerprint(public)[:16]


def fingerprint(public: bytes) -> bytes:
    """Return the 32 bytes by which the roster pins a sealing key."""
    return hashlib.sha256(b"sotto/1 sealing key\0" + public).digest()
