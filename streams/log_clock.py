"""The time that a party goes by: its own clock, but never ahead of Kafka's. Pure.

A party whose clock is hours ahead would find windows due that have not ended for anybody, wait out their deadlines and
write empty manifests. Every record of its topics carries the time at which Kafka took it, so a record that is read now
was written now or earlier: the smallest distance seen lately bounds how far the own clock is ahead. A leaf marks its
place when it takes a partition over, so there is such a record soon after every start; in silence the last bound
holds. Being behind only makes a party late; it is shown (`sotto_clock_offset_seconds`), not corrected: Kafka's clock
may be the wrong one.
"""

from __future__ import annotations

from typing import Final

LATELY: Final = 600_000
"""Milliseconds that a bound holds while there are newer ones, twice at most: a clock that drifts away is seen."""

JUMP: Final = 60_000
"""Milliseconds between two looks that nobody believes: the clock was set, or the process stood still."""


class LogClock:
    """`now` is asked several times a second, `read` told of every record."""

    def __init__(self) -> None:
        self._older: int | None = None
        self._newer: int | None = None
        self._since = 0
        self._last: int | None = None

    @property
    def ahead(self) -> int | None:
        """By how many ms the own clock is ahead of Kafka's at most; None before the first record."""
        return min((each for each in (self._older, self._newer) if each is not None), default=None)

    def read(self, at: int, wall: int) -> None:
        """A record that Kafka took at `at` (ms since 1970; 0 or less says nothing) is read at `wall`."""
        self._look(wall)
        if at <= 0:
            return
        if self._newer is None or wall - self._since > LATELY:
            self._older, self._newer, self._since = self._newer, wall - at, wall
        else:
            self._newer = min(self._newer, wall - at)

    def now(self, wall: int) -> int:
        """Return the time to go by when the own clock shows `wall`."""
        self._look(wall)
        return wall if self.ahead is None else wall - max(0, self.ahead)

    def _look(self, wall: int) -> None:
        """Let no time pass over a jump: from there a record has to say what time it is."""
        if self._last is not None and not 0 <= wall - self._last <= JUMP:
            by = wall - self._last
            self._older = None if self._older is None else self._older + by
            self._newer = None if self._newer is None else self._newer + by
            self._since += by
        self._last = wall
