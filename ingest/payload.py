"""Payload bytes to a JSON document, for input that nobody vouches for.

Never fatal: any bytes give a document or a RefusedError. Duplicate keys make a message malformed, since two readers
could take two different values; NaN, Infinity and numbers beyond binary64, which JSON does not have and sensors send,
are told apart later.
"""

from __future__ import annotations

import json

import msgspec

from ingest.paths import Document
from ingest.refusal import RefusedError

_decoder = msgspec.json.Decoder()
_WHITESPACE = b" \t\r\n"


def parse_json(payload: bytes) -> Document:
    """Return the document. Raises RefusedError(empty, malformed)."""
    if not payload:
        raise RefusedError("empty")
    try:
        try:
            document = _decoder.decode(payload)
        except msgspec.ValidationError:  # a number beyond binary64
            return _lenient(payload)
        except msgspec.DecodeError:
            if b"NaN" in payload or b"Infinity" in payload:
                return _lenient(payload)
            raise RefusedError("malformed") from None
        # Without white space each key of the text ends in `":`, and other places may look so too. As many as there are
        # keys in the document means that none was there twice; more means: look closely.
        keys = payload.translate(None, _WHITESPACE).count(b'":')
        if keys != (len(document) if type(document) is dict else 0) and keys != _keys(document):
            _lenient(payload)
    except (RecursionError, UnicodeDecodeError):
        raise RefusedError("malformed") from None
    return document


def _keys(node: Document) -> int:
    if type(node) is dict:
        return len(node) + sum(map(_keys, node.values()))
    return sum(map(_keys, node)) if type(node) is list else 0


def _lenient(payload: bytes) -> Document:
    """Parse with NaN and Infinity, and find duplicate keys: ten times slower, so only where it is needed."""
    try:
        return json.loads(payload.decode(), object_pairs_hook=_unique)
    except ValueError:
        raise RefusedError("malformed") from None


def _unique(pairs: list[tuple[str, Document]]) -> dict[str, Document]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise RefusedError("malformed")
    return found
