"""What time it is by the readings themselves, for `seals_by = "event"` (replay, history). Pure.

A window is sealed for good when this clock has passed its end, and what comes for it afterwards is late. So one sensor
with a wrong clock, or one mangled time, must not move it for all the others: it shows the latest time that **two**
witnesses have reached: two sensors, or two readings where there is one sensor only. What runs ahead alone stays in its
own window and moves nothing, until it is no longer alone, or until all fall silent and nobody has contradicted it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

ALONE: Final = 1_000
"""So many readings in a row from one sensor: the others have ended (a replay at full speed does not wait for them)."""

NIGHT: Final = 86_400_000
"""Milliseconds. After a restart, open windows are one history as long as no gap between them is longer."""


@dataclass(slots=True)
class _Witness:
    """A sensor and its latest time; `before`: the one before it, as far as known."""

    sensor: Hashable
    newest: int
    before: int | None = None


class EventClock:
    """`leap`: so many milliseconds ahead a reading is nothing strange."""

    def __init__(self, *, leap: int) -> None:
        self.time: int | None = None
        """The latest time that has two witnesses."""
        self._leap = leap
        self._first: _Witness | None = None
        self._second: _Witness | None = None
        self._doubted = False  # somebody spoke of a much earlier time while the first one was ahead
        self._row = 0  # readings in a row from the first one
        self._kept: int | None = None

    def restored(self, windows: Iterable[int]) -> None:
        """Take over the open windows of a former start, by their starts: who spoke of them is not known any more."""
        for window in sorted(windows):
            if self._kept is not None and window - self._kept > max(NIGHT, self._leap):
                break
            self._kept = window

    def heard(self, sensor: Hashable, time: int) -> None:
        """A sensor has sent a reading (or a gap) of this time, in milliseconds, which was not refused."""
        first, second = self._first, self._second
        if first is not None and sensor == first.sensor:
            self._row += 1
            _advance(first, time)
            if self._row >= ALONE:
                self._second, self._doubted = None, False
        else:
            self._row = 0
            if first is not None and self.time is not None and self.is_near(time) and not self.is_near(first.newest):
                self._doubted = True
            if second is None or sensor != second.sensor:
                second = _Witness(sensor, time) if second is None or time > second.newest else second
            else:
                _advance(second, time)
            if first is None:
                first, second = second, None
            elif second.newest > first.newest:
                first, second, self._doubted = second, first, False
            self._first, self._second = first, second
        self._move()

    def at_rest(self) -> int | None:
        """Return the time when nothing more comes: what nobody contradicted is believed, but not one lonely leap."""
        first = self._first
        known = [time for time in (self.time, self._kept) if time is not None]
        if first is not None and not self._doubted:
            if self.is_near(first.newest) or (first.before is None and self._second is None):
                known.append(first.newest)
            elif first.before is not None:
                known.append(first.newest if first.newest - first.before <= self._leap else first.before)
        return max(known, default=None)

    def is_near(self, time: int) -> bool:
        """Tell whether a time is past, or nothing strange to come next."""
        return self.time is not None and time <= self.time + self._leap

    def _move(self) -> None:
        if self._first is None:
            return
        vouched = self._first.before if self._second is None else self._second.newest
        if vouched is not None and (self.time is None or vouched > self.time):
            self.time = vouched
        if self.is_near(self._first.newest):
            self._doubted = False


def _advance(witness: _Witness, time: int) -> None:
    if time > witness.newest:
        witness.newest, witness.before = time, witness.newest
    elif time < witness.newest and (witness.before is None or time > witness.before):
        witness.before = time
