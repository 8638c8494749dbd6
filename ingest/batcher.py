"""What is collected and not yet in the spool, and when it goes there. Pure: the clock is an argument.

All open windows are stored together, so that a message is acknowledged when everything before it is durable: also one
whose readings fall into several windows, and one that held nothing of use. A batch closes by the number of readings,
by age, or when nothing has come for `max_idle`: a broker with its 20 messages in flight waits for an acknowledgement
then, and soon drops what queues behind.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ingest.config import BatchSection
from ingest.decode import Row


class Ack(NamedTuple):
    """An MQTT message to acknowledge: its id, and the connection on which that id means this message."""

    connection: int
    mid: int


@dataclass(slots=True)
class Collected:
    """Rows by window and number of the source, and the messages that they came in."""

    rows: dict[int, dict[int, list[Row]]] = field(default_factory=dict)
    acks: list[Ack] = field(default_factory=list)


class Batcher:
    """Collects until it is due."""

    def __init__(self, rules: BatchSection) -> None:
        self._rules = rules
        self._collected = Collected()
        self._readings = 0
        self._first: int | None = None
        self._last = 0

    def add(self, window: int, source: int, row: Row) -> None:
        """Put a row into its window."""
        by_source = self._collected.rows.get(window)
        if by_source is None:
            by_source = self._collected.rows[window] = {}
        rows = by_source.get(source)
        if rows is None:
            rows = by_source[source] = []
        rows.append(row)
        self._readings += len(row.values)

    def heard(self, now: int, ack: Ack | None) -> None:
        """A message came, whatever became of it."""
        if self._first is None:
            self._first = now
        self._last = now
        if ack is not None:
            self._collected.acks.append(ack)

    def clock_set(self, by: int) -> None:
        """The clock was set by so many milliseconds; what was collected is as old as before."""
        self._first = None if self._first is None else self._first + by
        self._last += by

    @property
    def unacknowledged(self) -> int:
        """Messages that wait for the next commit."""
        return len(self._collected.acks)

    def wait(self, now: int) -> int | None:
        """Return the milliseconds until `due`, 0 where it is now, None where nothing is collected."""
        if self._first is None:
            return None
        if self._readings >= self._rules.max_rows:
            return 0
        # a clock that was set back must not hold a batch for as long
        age, idle = max(0, now - self._first), max(0, now - self._last)
        return max(0, min(self._rules.max_age - age, self._rules.max_idle - idle))

    def due(self, now: int) -> bool:
        """Tell whether what was collected goes to the spool now."""
        return self.wait(now) == 0

    def drain(self) -> Collected:
        """Return what was collected, and begin anew."""
        collected = self._collected
        self._collected, self._readings, self._first = Collected(), 0, None
        return collected
