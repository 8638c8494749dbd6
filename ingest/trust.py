"""Whether this machine's clock may decide. Pure: all clocks are arguments.

Three witnesses, none of which is enough by itself: the kernel says whether NTP has set the clock; Kafka stamps every
record with its own time (LogAppendTime), which comes back with its confirmation; and the monotonic clock shows when
the wall clock was set. While the clock is not trusted, nothing is sealed and nothing is taken from MQTT: a reading
would be late, ahead, or (without a time of its own) in the wrong window, for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

BOUND: Final = 5_000
"""Milliseconds that the clock may be off Kafka's, and that it may be set by without a doubt."""

SETTLED: Final = 60_000
"""So long after it was set the clock counts as right again where Kafka's time is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A record that Kafka stamped with `stamp` (ms since 1970) between two moments of our monotonic clock (ms)."""

    sent: int
    confirmed: int
    stamp: int

    def ahead(self, wall: int, monotonic: int) -> int:
        """Return by how many ms `wall` is ahead of Kafka's clock at least, negative where behind, 0 where it agrees.

        The stamp was given somewhere between the two moments, so an answer that took long accuses nobody.
        """
        passed_since_sent, passed_since_confirmed = monotonic - self.sent, monotonic - self.confirmed
        return max(0, wall - self.stamp - passed_since_sent) + min(0, wall - self.stamp - passed_since_confirmed)


class ClockWatch:
    """Look at every turn of the loop; then read `right` and `reason`."""

    def __init__(self) -> None:
        self.right = True
        self.reason = ""
        self.kafka: int | None = None
        """Kafka's time now, ms since 1970, as far as its last answer tells."""
        self._base: int | None = None
        self._set_at: int | None = None

    def look(self, wall: int, monotonic: int, *, synchronised: bool | None, answer: Answer | None) -> int:
        """Return by how many milliseconds the clock was set since the last look, 0 where it was not.

        `synchronised` is None where the kernel cannot be asked; `answer` is Kafka's last one, None without any.
        """
        base = wall - monotonic
        by = 0 if self._base is None else base - self._base
        if abs(by) > BOUND:
            self._set_at = monotonic
        else:
            by = 0
        self._base = base
        self.kafka = None if answer is None else answer.stamp + monotonic - (answer.sent + answer.confirmed) // 2
        self.reason = self._doubt(wall, monotonic, synchronised, answer)
        self.right = not self.reason
        return by

    def _doubt(self, wall: int, monotonic: int, synchronised: bool | None, answer: Answer | None) -> str:
        if synchronised is False:
            return "not synchronised"
        if answer is not None:
            if abs(answer.ahead(wall, monotonic)) > BOUND:
                return "more than 5 s off Kafka's"
            self._set_at = None  # set to Kafka's time
        elif self._set_at is not None:
            if monotonic - self._set_at < SETTLED:
                return "it was set a moment ago"
            self._set_at = None
        return ""
