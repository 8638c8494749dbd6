"""Which windows are due on one partition: every window of the task from the roster's first one on, in order.

Windows are placed on partitions by a hash, so the windows of one partition are not evenly spaced; "the next one" has
to be looked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import partition_of_window
from protocol.windows import start_of


@dataclass(frozen=True, slots=True, kw_only=True)
class DueWindows:
    """The windows of partition `partition` of a task under one roster version."""

    task: Task
    roster: Roster
    partition: int

    @property
    def first(self) -> int:
        """The earliest start of a window that any partition can have. Earlier windows belong to nobody."""
        size, offset = self.task.window.size, self.task.window.utc_offset
        earliest = max(self.task.valid_from, self.roster.effective_from)
        return start_of(earliest + size - 1, size, offset)

    def __contains__(self, window: int) -> bool:
        """Tell whether a record of this window may stand in this partition's logs.

        A window's records in another partition would have another order: they are no records.
        """
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
        return partition_of_window(self.task.hash, window, self.roster.partitions) == self.partition
