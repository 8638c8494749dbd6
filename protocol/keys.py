"""Key files (secret) and cards (public), as text.

Each role has an Ed25519 identity. Parties and the collector have a sealing key as well, to which shares are sealed; and
a storage secret under which a party keeps its contributions in Kafka; a gateway has a storage secret from which its
seeds are derived. Private keys are made where they are used and never travel; cards do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from protocol.canonical import Json, canonical
from protocol.errors import ConfigError
from protocol.hpke import SUITES, PrivateKey, PublicKey, fingerprint, key_id
from protocol.identity import b64, format_identity, parse_identity, unb64

Entropy: TypeAlias = Callable[[int], bytes]
Role: TypeAlias = Literal["gateway", "party", "collector", "organisation"]
ROLES: Final = get_args(Role)


class _KeyText(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    format: Literal[1]
    role: Role
    name: str
    identity: str
    storage: str
    suite: str | None = None
    sealing: str | None = None


class _CardText(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1]
    role: Role
    name: str
    identity: str
    suite: str | None = None
    sealing_key: str | None = None
    signed: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The public half of a key file, signed by its own identity."""

    role: Role
    name: str
    identity: bytes
    suite: str | None
    sealing_key: bytes | None

    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the sealing key: what the roster pins."""
        assert self.sealing_key is not None, "internal error: this card has no sealing key"
        return fingerprint(self.sealing_key)

    @property
    def key_id(self) -> bytes:
        """The 16 bytes by which records name the sealing key."""
        assert self.sealing_key is not None, "internal error: this card has no sealing key"
        return key_id(self.sealing_key)

    def public_key(self) -> PublicKey:
        """Return the sealing key for HPKE."""
        assert self.suite is not None
        assert self.sealing_key is not None, "internal error: this card has no sealing key"
        return SUITES[self.suite].public_key(self.sealing_key)

    def statement(self) -> bytes:
        """Return what the identity signs."""
        document: Json = {
            "role": self.role,
            "name": self.name,
            "identity": format_identity(self.identity),
            "suite": self.suite,
            "sealing_key": None if self.sealing_key is None else b64(self.sealing_key),
        }
        return b"sotto/1 card\0" + canonical(document)

    @classmethod
    def from_text(cls, text: str, *, where: str) -> Card:
        """Read a card and check its signature. Raises ConfigError."""
        try:
            parsed = _CardText.model_validate(tomllib.loads(text))
            card = cls(
                role=parsed.role,
                name=parsed.name,
                identity=parse_identity(parsed.identity),
                suite=parsed.suite,
                sealing_key=None if parsed.sealing_key is None else unb64(parsed.sealing_key),
            )
            if (card.suite is None) != (card.sealing_key is None) or card.suite not in {None, *SUITES}:
                msg = "suite and sealing_key go together"
                raise ValueError(msg)
            if card.suite is not None:
                card.public_key()
            Ed25519PublicKey.from_public_bytes(card.identity).verify(unb64(parsed.signed, 64), card.statement())
        except (ValueError, ValidationError, InvalidSignature) as error:
            raise ConfigError(
                "this is not a valid card, or it was changed on its way",
                where=where,
                remedy="ask its owner to send the .card file again; compare the fingerprint: sotto keys show FILE",
            ) from error
        return card


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """The secrets of one role. Nothing of it is ever printed."""

    role: Role
    name: str
    identity: Ed25519PrivateKey = field(repr=False)
    storage: bytes = field(repr=False)
    suite: str | None = None
    sealing_secret: bytes | None = field(default=None, repr=False)

    @classmethod
    def generate(cls, *, role: Role, name: str, suite: str, entropy: Entropy) -> KeyFile:
        """Make new keys. Parties and the collector get a sealing key of the suite."""
        sealing = role in ("party", "collector")
        return cls(
            role=role,
            name=name,
            identity=Ed25519PrivateKey.from_private_bytes(entropy(32)),
            storage=entropy(32),
            suite=suite if sealing else None,
            sealing_secret=entropy(SUITES[suite].secret) if sealing else None,
        )

    @property
    def public_identity(self) -> bytes:
        """The 32 bytes of the public identity."""
        return self.identity.public_key().public_bytes_raw()

    def private_key(self) -> PrivateKey:
        """Return the sealing key for HPKE."""
        assert self.suite is not None
        assert self.sealing_secret is not None, "internal error: this role has no sealing key"
        return SUITES[self.suite].private_key(self.sealing_secret)

    def card(self) -> Card:
        """Return the public half."""
        sealing_key = None
        if self.suite is not None and self.sealing_secret is not None:
            sealing_key = SUITES[self.suite].public_bytes(self.sealing_secret)
        return Card(
            role=self.role,
            name=self.name,
            identity=self.public_identity,
            suite=self.suite,
            sealing_key=sealing_key,
        )

    def card_text(self) -> str:
        """Write the card, signed."""
        card = self.card()
        lines = [
            "# A public card of Sotto: may be mailed. Compare its fingerprint by telephone: sotto keys show FILE",
            "format      = 1",
            f'role        = "{card.role}"',
            f'name        = "{card.name}"',
            f'identity    = "{format_identity(card.identity)}"',
        ]
        if card.suite is not None and card.sealing_key is not None:
            lines += [f'suite       = "{card.suite}"', f'sealing_key = "{b64(card.sealing_key)}"']
        lines.append(f'signed      = "{b64(self.identity.sign(card.statement()))}"')
        return "\n".join(lines) + "\n"

    def to_text(self) -> str:
        """Write the key file. It is secret: mode 0600, never sent, in no image."""
        lines = [
            "# SECRET key of Sotto. It stays on this machine, mode 0600; in no image, no backup of the platform.",
            "format   = 1",
            f'role     = "{self.role}"',
            f'name     = "{self.name}"',
            f'identity = "{b64(self.identity.private_bytes_raw())}"',
            f'storage  = "{b64(self.storage)}"',
        ]
        if self.suite is not None and self.sealing_secret is not None:
            lines += [f'suite    = "{self.suite}"', f'sealing  = "{b64(self.sealing_secret)}"']
        return "\n".join(lines) + "\n"

    @classmethod
    def from_text(cls, text: str, *, where: str) -> KeyFile:
        """Read a key file. Raises ConfigError, which never shows a part of it."""
        try:
            parsed = _KeyText.model_validate(tomllib.loads(text))
            if (parsed.suite is None) != (parsed.sealing is None) or parsed.suite not in {None, *SUITES}:
                msg = "suite and sealing go together"
                raise ValueError(msg)
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", parsed.name):
                msg = "name"
                raise ValueError(msg)
            secret = None
            if parsed.suite is not None:
                secret = unb64(parsed.sealing, SUITES[parsed.suite].secret)
            return cls(
                role=parsed.role,
                name=parsed.name,
                identity=Ed25519PrivateKey.from_private_bytes(unb64(parsed.identity, 32)),
                storage=unb64(parsed.storage, 32),
                suite=parsed.suite,
                sealing_secret=secret,
            )
        except (ValueError, ValidationError):
            # The cause is dropped on purpose: its text can show a part of the secret.
            raise ConfigError(
                "this is not a key file of Sotto, or it is damaged",
                where=where,
                remedy="restore it from its backup, or make a new one: sotto keys new ROLE NAME",
            ) from None
