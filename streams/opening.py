"""Which windows a root works on: those that are due since they, or later ones, were heard of, or by its clock. Pure.

Windows are opened in order. One that is heard of too long before its time waits (it is *parked*).
"""

from __future__ import annotations

from typing import Final

from streams.due import MAX_AHEAD, DueWindows

MOST_DUE: Final = 1_000
"""So many windows are worked on at a time: a task that starts long after its first window does not open them all."""


class Opening:
    """Times are ms; `now` is the party's clock, `at` Kafka's."""

    def __init__(self, due: DueWindows) -> None:
        self._due = due
        self._known = due.first - 1  # the latest window heard of that is not too far ahead
        self._heard: dict[int, int] = {}  # Kafka's time of the first record of each window not yet forgotten
        self.next = due.first
        """Windows before it are open, or over."""

    def note(self, window: int, at: int) -> None:
        """Kafka took a record of this window at `at`, which is kept."""
        self._heard[window] = min(at, self._heard.get(window, at))

    def hear(self, window: int, now: int) -> None:
        """A window is due when it, or a later one, is heard of; but one too far ahead of the clock starts nothing."""
        if window <= now + MAX_AHEAD:
            self._known = max(self._known, window)

    def come_due(self, now: int) -> None:
        """Windows that everybody is silent about are due by the clock, while the task lasts.

        After its end only what is heard of counts: a task whose whole time lies in the past is a replay.
        """
        task = self._due.task
        if now < task.valid_until + task.window.give_up_after:
            self._known = max(self._known, min(now - task.window.size - task.window.lateness, task.valid_until - 1))
        waited = [start for start in self._heard if self._known < start <= now + MAX_AHEAD]
        self._known = max([self._known, *waited])

    def advance(self, room: int) -> list[int]:
        """The windows to be opened now, in order, at most `room`. They count as open from here on."""
        new: list[int] = []
        if self.next > self._known:
            return new  # the usual case
        for window in self._due.starting(self.next, self._known + 1):
            if len(new) >= room:
                return new
            self.next = window + 1
            new.append(window)
        self.next = max(self.next, self._known + 1)
        return new

    def heard(self, window: int, now: int) -> int:
        """When this window was heard of first: by Kafka's time, at most `now`."""
        return min(now, self._heard.get(window, now))

    def parked(self, now: int) -> list[int]:
        """The windows whose time has not come although there are records of them."""
        return sorted(window for window in self._heard if window > now + MAX_AHEAD)

    def skip(self, until: int) -> None:
        """Open no window that starts before `until`."""
        self.next = max(self.next, until)

    def forget_below(self, over: int) -> None:
        """Windows that start before `over` are over."""
        for window in [window for window in self._heard if window < over]:
            del self._heard[window]
        self.skip(over)
