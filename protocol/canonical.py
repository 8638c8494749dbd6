"""Canonical JSON, for hashes and signatures over documents.

RFC 8785 (JCS) restricted to texts, integers of less than 2^53, booleans, null, arrays and objects. Decimals travel as
text (`decimal_text`), so that no binary fraction is ever hashed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TypeAlias

Json: TypeAlias = str | int | Sequence["Json"] | Mapping[str, "Json"] | None

_LARGEST = 2**53 - 1


def _check(value: Json) -> None:
    if isinstance(value, float):
        msg = "internal error: a binary fraction in a canonical document"
        raise TypeError(msg)
    if isinstance(value, int) and abs(value) > _LARGEST:
        msg = "internal error: an integer above 2^53 in a canonical document"
        raise ValueError(msg)
    if isinstance(value, Mapping):
        for item in value.values():
            _check(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _check(item)


def canonical(document: Json) -> bytes:
    """Return the one UTF-8 encoding of a document. Keys are sorted by code point (all our keys are ASCII or labels)."""
    _check(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decimal_text(number: Decimal) -> str:
    """Return the one text of a decimal: no exponent, no trailing zeros, "0" for zero."""
    text = format(number, "f")  # all digits: normalize() would round to those of the decimal context
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def tagged_hash(tag: str, *parts: bytes) -> bytes:
    """Return SHA-256 over `"sotto/1 " tag 0x00` and the parts. The tag keeps hashes of different things apart."""
    digest = hashlib.sha256(b"sotto/1 " + tag.encode() + b"\0")
    for part in parts:
        digest.update(part)
    return digest.digest()
