"""Which windows are due on one partition: every window of the task from the roster's first one on, in order.

Windows are placed on partitions by a hash, so the windows of one partition are not evenly spaced; "the next one" has
to be looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from protocol.errors import WireError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import partition_of_window
from protocol.windows import start_of

MAX_AHEAD: Final = 300_000
"""Milliseconds: a window is opened no longer than this before it begins, whoever speaks of it."""


def check_begun(window: int, at: int) -> None:
    """Refuse a party's record that Kafka took (at `at`; 0 or less says nothing) before its window could be open.

    No party has opened it then, since none goes by a clock that is ahead of Kafka's (`streams.log_clock`). A liar could
    else write of all windows to come: that had to be kept, and held the committed place back, until they are over; and
    once Kafka has dropped it, who has read it and who has not would not know the same. Raises WireError.
    """
    if 0 < at < window - MAX_AHEAD:
        raise WireError("too_early")


class DueWindows:
    """The windows of partition `partition` of a task under one roster version.

    `first` is the earliest start of a window that any partition can have. Earlier windows belong to nobody.
    """

    def __init__(self, *, task: Task, roster: Roster, partition: int) -> None:
        self.task = task
        self.roster = roster
        self.partition = partition
        earliest = max(task.valid_from, roster.effective_from)
        self._known = lru_cache(maxsize=4_096)(self._has)  # asked for every record of a window
        self.first = start_of(earliest + task.window.size - 1, task.window.size, task.window.utc_offset)

    def __contains__(self, window: int) -> bool:
        """Tell whether a record of this window may stand in this partition's logs.

        A window's records in another partition would have another order: they are no records.
        """
        return self._known(window)

    def _has(self, window: int) -> bool:
        return window >= self.first and self.task.has_window(window) and self._here(window)

    def starting(self, at: int, until: int) -> Iterator[int]:
        """Yield the windows of this partition that start at `at` or later and before `until`, ascending."""
        size, offset = self.task.window.size, self.task.window.utc_offset
        window = start_of(max(at, self.first) + size - 1, size, offset)
        while window < min(until, self.task.valid_until):
            if self._here(window):
                yield window
            window += size

    def _here(self, window: int) -> bool:
        return _partition(self.task.hash, window, self.roster.partitions) == self.partition


# asked for every record of a window, and a hash each time
_partition = lru_cache(maxsize=4_096)(partition_of_window)
