"""Recognise messages that the broker sends again where readings have no time of their own (`now/{station}`: 21.5).

Two equal readings a second apart are two readings there, so what is compared is the delivery: MQTT sends again under
the same id, with DUP set. Neither is enough by itself. Ids are used again, and mosquitto sets DUP also on what it has
queued and never delivered. So the content is compared as well (as an HMAC under the gateway's secret: this goes to the
disk), and a receipt is forgotten when its acknowledgement must have arrived: a constant reading under a used id would
be taken for a repeat otherwise, and lost.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Final, NamedTuple

KEPT: Final = 120_000
"""Milliseconds of one connection. A connection on which an acknowledgement got lost ends much earlier (keep-alive)."""

_STEP: Final = 10_000
"""Milliseconds that count at most between two messages: for the rest the process may have stood still, and the
connection may have ended without its notice."""


class _Receipt(NamedTuple):
    mac: bytes
    since: int


class Receipts:
    """What was delivered lately, by message id."""

    def __init__(self, *, secret: bytes, kept: Mapping[int, bytes], now: int) -> None:
        self._secret = secret
        self._receipts = {mid: _Receipt(mac, 0) for mid, mac in kept.items()}  # oldest first
        self._age = 0
        self._looked = now
        self._connection = -1
        self._new: dict[int, bytes] = {}
        self._unanswered: dict[int, None] = {}  # came since the last commit, repetitions too

    def heard(self, connection: int, now: int) -> None:
        """A message came, of any source.

        On a new connection all that was not acknowledged comes again, one after the other: nothing is forgotten before
        it had the time to, whatever comes first.
        """
        self._look(now)
        if connection != self._connection:
            self._connection = connection
            self._receipts = {mid: _Receipt(one.mac, self._age) for mid, one in self._receipts.items()}

    def _look(self, now: int) -> None:
        self._age += min(max(0, now - self._looked), _STEP)
        self._looked = now

    def repeated(self, topic: str, payload: bytes, *, mid: int, dup: bool) -> bool:
        """Tell whether this message has been here; remember it if not."""
        content = b"sotto/1 receipt\0" + topic.encode("utf-8", "surrogatepass") + b"\0" + payload
        mac = hmac.digest(self._secret, content, "sha256")[:16]
        before = self._receipts.pop(mid, None)
        self._receipts[mid] = _Receipt(mac, self._age)
        self._unanswered[mid] = None
        if dup and before is not None and before.mac == mac:
            return True
        self._new[mid] = mac
        return False

    def clock_set(self, by: int) -> None:
        """The clock was set by so many milliseconds; receipts are as old as before."""
        self._looked += by

    def take(self, now: int) -> tuple[tuple[tuple[int, bytes], ...], tuple[int, ...]]:
        """Return what to store, as (id, mac), and the ids to forget.

        The acknowledgements of what has come go out after this, so its time begins now, however long it was collected:
        while the process stood still, or over a jump of the clock.
        """
        self._look(now)
        for mid in self._unanswered:
            receipt = self._receipts.pop(mid, None)
            if receipt is not None:
                self._receipts[mid] = _Receipt(receipt.mac, self._age)
        forgotten = []
        for mid, receipt in self._receipts.items():
            if self._age - receipt.since < KEPT:
                break
            forgotten.append(mid)
        for mid in forgotten:
            del self._receipts[mid]
        new = tuple((mid, mac) for mid, mac in self._new.items() if mid in self._receipts)
        self._new, self._unanswered = {}, {}
        return new, tuple(forgotten)
