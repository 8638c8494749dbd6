"""When the waits of a root end: only in calm, since what a party could not read must not count as silence. Pure.

Calm is being connected and having read all topics to their ends, without interruption; with each interruption the
deadlines begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from protocol.task import Task
from streams.agreement import MANIFESTS

PATIENCE: Final = 5_000
"""A log that grows is never read to its end for long: only being behind for so many ms on end is an interruption."""


@dataclass(slots=True, kw_only=True)
class Times:
    """When the waits of one window began (ms). `heard`: Kafka's time of its first record.

    Waits follow each other, each with the whole deadline: for gateways (`since` the window was opened), for the other
    parties' manifests (`told`: since the own one stands in the log), for their part in joint computation (`decided`),
    for their shares (`ran`: since that has ended here, or at once where there is none).
    """

    since: int
    heard: int
    told: int | None = None
    decided: int | None = None
    ran: int | None = None

    def set_back(self, now: int) -> None:
        """A clock that was hours ahead has been set right: what began in its future begins now, not hours later."""
        self.since = min(self.since, now)
        self.told = _earlier(self.told, now)
        self.decided = _earlier(self.decided, now)
        self.ran = _earlier(self.ran, now)


class Deadlines:
    """The deadlines of all windows of one root."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._calm: int | None = None  # since when connected and read to the end, without interruption
        self._behind: int | None = None  # since when there has been something to read

    @property
    def calm(self) -> bool:
        """Whether deadlines run."""
        return self._calm is not None

    def look(self, now: int, *, connected: bool, caught_up: bool) -> None:
        """See whether there is calm; `caught_up`: all topics are read to their ends."""
        if connected and caught_up:
            self._behind = None
            if self._calm is None:
                self._calm = now
            return
        if self._behind is None:
            self._behind = now
        if not connected or now - self._behind > PATIENCE:
            self._calm = None

    def set_back(self, now: int) -> None:
        """As `Times.set_back`."""
        self._calm, self._behind = _earlier(self._calm, now), _earlier(self._behind, now)

    def after(self, window: int, since: int) -> int:
        """When waiting ends that began at `since`: not before the window's end, and only in calm."""
        begin = max(since, self._task.window_end(window), self._calm if self._calm is not None else since)
        return begin + self._task.window.deadline

    def of_phase(self, window: int, times: Times, phase: int) -> int:
        """When the present wait ends.

        That for manifests begins with the own one, that for shares with the end of the own joint run: parties whose
        deadlines for a silent gateway, or a silent party, pass at about the same time must not shut each other out,
        since two shares alone cannot be verified.
        """
        begins = (times.told, None) if phase == MANIFESTS else (times.ran, times.decided)
        return self.after(window, next((at for at in begins if at is not None), times.since))

    def give_up(self, window: int, times: Times) -> int:
        """By Kafka's time of the first record, so that a party that is restarted every day gives up as well."""
        return max(times.heard, self._task.window_end(window)) + self._task.window.give_up_after


def _earlier(at: int | None, now: int) -> int | None:
    return None if at is None else min(at, now)
