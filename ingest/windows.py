"""Which window a reading belongs to, and when a window is sealed. Pure: the clock is an argument.

Lateness is decided here, once, and sealed; nobody downstream decides it again. Windows are sealed in order and without
holes, empty ones too, so that silence means trouble. Two rules (reference/operators.md, B6 and B7):

wall    the gateway's clock has passed end + lateness. A gateway that finds no state is cold: it contributes from the
        first window that begins after its start, and seals as cold those that its predecessor cannot have sealed. It
        begins only when its clock is known to be right.
event   the readings' own clock (`ingest.event_clock`) has passed end + lateness, or nothing has come for `idle_after`
        (replay, history, tests).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Literal

from ingest.event_clock import EventClock
from protocol.windows import start_of

_AT_ONCE: Final = 64
"""Windows that are sealed in one step at most: a jump over a quiet month must not stop the gateway for minutes."""

FAR: Final = 10_000
"""So many windows far ahead of the readings' clock may be open. Each costs about 8 kB of memory, and a sensor with a
random clock would open all of the task's. Windows near the clock are always taken: a lonely sensor shuts out nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowRules:
    """All in milliseconds; `first` and `last` bound the windows of the task and the roster: first <= start < last."""

    size: int
    utc_offset: int
    lateness: int
    first: int
    last: int
    seals_by: Literal["wall", "event"]
    max_ahead: int
    idle_after: int


@dataclass(slots=True, kw_only=True)
class WindowBook:
    """The open windows of one gateway.

    `next` is the first window that is not sealed, None before the first one is known; `contributes_from` the first one
    that is not cold. Both survive a restart in the spool.
    """

    rules: WindowRules
    next: int | None = None
    contributes_from: int | None = None
    events: EventClock = field(init=False)
    heard: int = 0
    """When the last message came, by the gateway's clock."""
    open: set[int] = field(default_factory=set)
    """Windows that have readings."""
    overdue: int | None = None
    """When the last reading came for a window that is to be sealed already, by the gateway's clock."""

    def __post_init__(self) -> None:
        # a reading that is ahead by a window and its lateness is the next one of a slow sensor
        self.events = EventClock(leap=self.rules.size + self.rules.lateness)

    @classmethod
    def fresh(cls, rules: WindowRules, now: int) -> WindowBook:
        """Begin without state, at `now`."""
        book = cls(rules=rules, heard=now)
        book.begin(now)
        return book

    @classmethod
    def restored(
        cls, rules: WindowRules, now: int, *, following: int | None, contributes_from: int | None, windows: set[int]
    ) -> WindowBook:
        """Go on from what the spool kept: `windows` are those that have batches and no seal."""
        book = cls(rules=rules, next=following, contributes_from=contributes_from, heard=now, open=set(windows))
        book.events.restored(windows)
        return book

    @property
    def begun(self) -> bool:
        """Whether it is known where this gateway begins; before that nothing can be placed."""
        return self.rules.seals_by == "event" or self.next is not None

    def begin(self, now: int) -> None:
        """Set where a cold gateway begins; again, where it turns out that the clock was wrong the first time."""
        if self.rules.seals_by == "event":
            return
        size = self.rules.size
        self.contributes_from = max(start_of(now + size - 1, size, self.rules.utc_offset), self.rules.first)
        # What ended longer than `lateness` ago may have been sealed before the state was lost. A second seal would
        # make neither count, so only what cannot have been sealed is sealed as cold.
        self.next = max(start_of(now - self.rules.lateness, size, self.rules.utc_offset), self.rules.first)

    def window_of(self, time: int) -> int:
        """Return the window that holds a time, whether it is open or not."""
        return start_of(time, self.rules.size, self.rules.utc_offset)

    def place(self, time: int, now: int) -> int | str:
        """Return the window of a reading's time, or the reason why it is refused."""
        rules = self.rules
        if rules.seals_by == "wall" and time > now + rules.max_ahead:
            return "ahead"
        window = self.window_of(time)
        if not rules.first <= window < rules.last:
            return "outside_task"
        if self.contributes_from is not None and window < self.contributes_from:
            return "cold_start"
        if self.next is not None and window < self.next:
            return "late"
        return window

    def may_open(self, window: int, stored: Collection[int]) -> bool:
        """Tell whether one more window may be stored beside those that are, by event time; else it is open no more."""
        if self.rules.seals_by == "wall" or len(stored) < FAR or self.events.is_near(window):
            return True
        if sum(not self.events.is_near(one) for one in stored) < FAR:
            return True
        self.open.discard(window)
        return False

    def took(self, window: int, now: int) -> None:
        """Note a reading of an open window."""
        self.open.add(window)
        if self.rules.seals_by == "wall" and window + self.rules.size + self.rules.lateness <= now:
            self.overdue = now

    def catching_up(self, now: int, *, quiet: int) -> bool:
        """Tell whether overdue readings still came within the last `quiet` milliseconds.

        A broker that kept messages for hours delivers them in their order, and may pause: what is sealed in between
        would refuse the rest.
        """
        return self.overdue is not None and 0 <= now - self.overdue < quiet

    def clock_set(self, by: int) -> None:
        """The gateway's clock was set by so many milliseconds: silence lasts as long as it did."""
        self.heard += by
        if self.overdue is not None:
            self.overdue += by

    def is_cold(self, window: int) -> bool:
        """Tell whether the gateway lost, or never had, readings of this window."""
        return self.contributes_from is not None and window < self.contributes_from

    def due(self, now: int) -> list[int]:
        """Return the windows to seal now, in order; at most some at once."""
        rules, size = self.rules, self.rules.size
        first = self.next
        until: int | None
        if rules.seals_by == "wall":
            # every window whose end + lateness has passed, and cold ones at once, so that nobody waits for them
            until = start_of(now - rules.lateness, size, rules.utc_offset)
            if self.contributes_from is not None:
                until = max(until, self.contributes_from)
        else:
            if first is None:
                first = min(self.open, default=None)
            until = self._until(now)
        if first is None or until is None:
            return []
        return list(range(first, min(until, rules.last, first + _AT_ONCE * size), size))

    def _until(self, now: int) -> int | None:
        """Return before which window everything is sealed, by event time."""
        size, offset = self.rules.size, self.rules.utc_offset
        times = []
        if self.events.time is not None:
            times.append(start_of(self.events.time - self.rules.lateness, size, offset))
        if self.open and now - self.heard >= self.rules.idle_after and (rest := self.events.at_rest()) is not None:
            times.append(start_of(rest, size, offset) + size)
        return max(times, default=None)

    def sealed(self, window: int) -> None:
        """Close a window for good."""
        self.next = window + self.rules.size
        self.open.discard(window)
