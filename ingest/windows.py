"""Which window a reading belongs to, and when a window is sealed. Pure: the clock is an argument.

Lateness is decided here, once, and sealed; nobody downstream decides it again. Windows are sealed in order and without
holes, empty ones too, so that silence means trouble. Two rules (reference/operators.md, B6 and B7):

wall    the gateway's clock has passed end + lateness. A gateway that finds no state is cold: it contributes from the
first window
        that begins after its start, and seals as cold those that its predecessor cannot have sealed any more.
event   the newest reading is later than end + lateness, or nothing has come for `idle_after` (replay, history, tests).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from protocol.windows import start_of

_AT_ONCE: Final = 64
"""Windows that are sealed in one step at most: a jump over a quiet month must not stop the gateway for minutes."""


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
    newest: int | None = None
    """The latest event time so far."""
    heard: int = 0
    """When the last message came, by the gateway's clock."""
    open: set[int] = field(default_factory=set)
    """Windows that have readings."""

    @classmethod
    def fresh(cls, rules: WindowRules, now: int) -> WindowBook:
        """Begin without state, at `now`."""
        if rules.seals_by == "event":
            return cls(rules=rules, heard=now)
        size = rules.size
        first = max(start_of(now + size - 1, size, rules.utc_offset), rules.first)
        # What ended longer than `lateness` ago may have been sealed before the state was lost. A second seal would
        # make neither count, so only what cannot have been sealed is sealed as cold.
        begun = max(start_of(now - rules.lateness, size, rules.utc_offset), rules.first)
        return cls(rules=rules, next=begun, contributes_from=first, heard=now)

    @classmethod
    def restored(
        cls, rules: WindowRules, now: int, *, following: int | None, contributes_from: int | None, windows: set[int]
    ) -> WindowBook:
        """Go on from what the spool kept: `windows` are those that have batches and no seal."""
        newest = max(windows, default=None)
        return cls(
            rules=rules, next=following, contributes_from=contributes_from, newest=newest, heard=now, open=set(windows)
        )

    def place(self, time: int, now: int) -> int | str:
        """Return the window of a reading's time, or the reason why it is refused."""
        rules = self.rules
        if rules.seals_by == "wall" and time > now + rules.max_ahead:
            return "ahead"
        window = (time + rules.utc_offset) // rules.size * rules.size - rules.utc_offset
        if not rules.first <= window < rules.last:
            return "outside_task"
        if self.contributes_from is not None and window < self.contributes_from:
            return "cold_start"
        if self.next is not None and window < self.next:
            return "late"
        return window

    def note(self, window: int, time: int) -> None:
        """Take a reading into account that `place` has let in."""
        self.open.add(window)
        if self.newest is None or time > self.newest:
            self.newest = time

    def is_cold(self, window: int) -> bool:
        """Tell whether the gateway lost, or never had, readings of this window."""
        return self.contributes_from is not None and window < self.contributes_from

    def due(self, now: int) -> list[int]:
        """Return the windows to seal now, in order; at most some at once."""
        rules, size = self.rules, self.rules.size
        first = self.next
        if rules.seals_by == "wall":
            # every window whose end + lateness has passed, and cold ones at once, so that nobody waits for them
            until = start_of(now - rules.lateness, size, rules.utc_offset)
            if self.contributes_from is not None:
                until = max(until, self.contributes_from)
        else:
            if first is None:
                first = min(self.open, default=None)
            if first is None or self.newest is None:
                return []
            until = start_of(self.newest - rules.lateness, size, rules.utc_offset)
            if self.open and now - self.heard >= rules.idle_after:
                until = max(until, max(self.open) + size)
        if first is None:
            return []
        return list(range(first, min(until, rules.last, first + _AT_ONCE * size), size))

    def sealed(self, window: int) -> None:
        """Close a window for good."""
        self.next = window + self.rules.size
        self.open.discard(window)
