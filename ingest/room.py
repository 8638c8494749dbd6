"""How much room the spool has, and what happens at its bounds.

size    "stop": the gateway stops reading from MQTT, so that the broker keeps what comes; "drop_oldest": the window of
        the oldest batch leaves the spool.
age     always: a window that Kafka could not get for so long leaves the spool. No other gateway's window waits for it.

Only windows leave, never batches: see `ingest.gateway.Gateway.give_up`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from ingest.commit import Waiting
from protocol.errors import SottoError
from protocol.units import format_duration, format_size, iso

_ROOM_AGAIN: Final = 0.9
"""Where reading goes on: with a bound and no distance it would stop and go on with every record."""
_LOOK: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`max_size` in bytes of sealed records, `max_age` in milliseconds. For people: `kafka`, where Kafka is, and
    `file`, the name of the gateway's configuration."""

    max_size: int
    max_age: int
    when_full: Literal["stop", "drop_oldest"]
    kafka: str
    file: str

    def is_full(self, size: int, *, before: bool) -> bool:
        """Tell whether there is no room; `before` is the answer of the last time."""
        return size >= self.max_size * (_ROOM_AGAIN if before else 1)

    def why_to_give_up(self, oldest: Waiting, *, full: bool, now: int | None, window_size: int) -> str | None:
        """Return why the window of the oldest batch has to leave the spool, None where it stays.

        `full` is the answer of `is_full`: once windows have to go, so many go that there is some room. `now` is None
        while the clock cannot be relied on: then nothing is too old. A batch that was stored by a clock that was far
        behind is as old as its window, not as that clock.
        """
        if now is not None and now - max(oldest.stored_at, oldest.window + window_size) > self.max_age:
            return f"older than {format_duration(self.max_age)}"
        if self.when_full == "drop_oldest" and full:
            return "the spool was full"
        return None


class Filled(Protocol):
    """What is asked of the spool."""

    @property
    def size(self) -> int:
        """Bytes of records that Kafka has not confirmed."""
        ...

    def oldest(self) -> Waiting | None:
        """The window of the oldest batch."""
        ...

    def readings(self) -> int:
        """How many readings it holds."""
        ...


class Room:
    """What is known of the spool's room at the last look."""

    def __init__(self, bounds: Bounds, spool: Filled, *, window_size: int, utc_offset: int) -> None:
        self.bounds = bounds
        self.full = False
        self.oldest: Waiting | None = None
        self._spool = spool
        self._window_size = window_size
        self._utc_offset = utc_offset
        self._looked = -_LOOK
        self._away_since: int | None = None

    def look(self, *, wall: int, monotonic: int, right: bool, connected: bool) -> tuple[Waiting, str] | None:
        """Look again; return a window that has to leave the spool now, and why. Raises SpoolError.

        `right`: whether the wall clock can be relied on; `connected`: whether Kafka is reached.
        """
        if connected:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = wall
        self.full = self.bounds.is_full(self._spool.size, before=self.full)
        if not self.full and monotonic - self._looked < _LOOK:
            return None
        self._looked = monotonic
        self.oldest = self._spool.oldest()
        if self.oldest is None:
            return None
        why = self.bounds.why_to_give_up(
            self.oldest, full=self.full, now=wall if right else None, window_size=self._window_size
        )
        return None if why is None else (self.oldest, why)

    @property
    def way_out(self) -> str:
        """What to do about a full spool."""
        return f"Open the way to {self.bounds.kafka} or raise max_size"

    def full_error(self, wall: int) -> SottoError:
        """Say that reading from MQTT has stopped: how full, since when, and what to do. Raises SpoolError."""
        oldest = wall if self.oldest is None else self.oldest.stored_at
        age = format_duration(max(wall - oldest, 0) // 60_000 * 60_000)
        reached = "Kafka takes less than comes in"
        if self._away_since is not None:
            reached = f"Kafka not reached since {iso(self._away_since, self._utc_offset)}"
        return SottoError(
            f"the spool is full: {format_size(self._spool.size)} of {format_size(self.bounds.max_size)},"
            f" oldest batch {age}, {reached}",
            where=f"{self.bounds.file}: [spool] max_size",
            remedy="Reading from MQTT has stopped; the broker keeps messages as far as its own limits go"
            " (mosquitto: max_queued_messages).\n"
            f"{self.way_out}. Do not delete spool.db: it is the only copy,"
            f" sealed, of {self._spool.readings()} readings.",
        )
