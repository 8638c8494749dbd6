"""The collector: one for each partition of control. It folds the same log as the roots, opens what they have released
to it, and makes exactly one aggregate of each window.

It has no clock and decides nothing: which windows end, over which set, with whose shares, stands in the log. It can
open the parties' totals, never a share of one gateway. An outcome is recorded on control once its aggregate is in
Kafka, and nothing behind the collector's recorded floor is forgotten before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from protocol.aggregate import Aggregate
from protocol.control import ControlRecord, Outcome
from protocol.roster import Roster
from protocol.task import Task
from streams.agreement import Ballot, Terminal
from streams.combine import Combiner, OpenShare
from streams.conduct import Finding
from streams.due import DueWindows
from streams.joint.plan import Plan
from streams.policy import agreement_of

Publish = Callable[[Aggregate], bytes]
"""Writes and signs an aggregate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An aggregate for the topic `aggregates`, and which parties' shares were not what they have to be."""

    window: int
    aggregate: Aggregate
    value: bytes = field(repr=False)
    findings: tuple[Finding, ...] = ()


class Collector:
    """Folds one partition. `first` and `end`: where reading of the control log begins, and where it ended then.

    `plans`: one for each joint computation of the task, in its order.

    Every method that returns records expects them to be in Kafka, in this order, before it is called again.
    """

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        partition: int,
        open_share: OpenShare,
        publish: Publish,
        plans: Sequence[Plan] = (),
        first: int = 0,
        end: int = 0,
    ) -> None:
        self.due = DueWindows(task=task, roster=roster, partition=partition)
        self.agreement = agreement_of(task, roster, first=self.due.first)
        self._combiner = Combiner(task=task, roster=roster, open_share=open_share, plans=plans)
        self._publish = publish
        self._place = first
        self._end = end
        self._cut = first > 0
        self._live = False
        self._floor = self.due.first  # every window of this partition below it has its aggregate in Kafka
        self._done: set[int] = set()  # windows above the floor that have
        self._needed: dict[int, int] = {}
        self._own: tuple[int, int] | None = None  # the highest floor that our outcomes carry, and the last such offset

    def control(self, record: ControlRecord | None, *, offset: int, at: int) -> list[Published | Outcome]:
        """Take the next record of the control log; None for one that is not valid."""
        self._place = offset + 1
        before = self.agreement.over
        touched: int | None = None
        if isinstance(record, Outcome):
            if record.window in self.due:
                self._recall(record, offset)
        elif record is not None and record.window in self.due:
            touched = record.window
            if touched >= self._floor:
                self._needed.setdefault(touched, offset)
            self.agreement.fold(record, offset=offset, at=at)
        if not self._live:
            return self.begin()
        if touched is None:
            return []
        return [*self._end_all()] if self.agreement.over > before else [*self._end_one(touched)]

    def begin(self) -> list[Published | Outcome]:
        """Take part if the log is read to the end that it had at the start: call once when there is nothing to read."""
        if self._live or self._place < self._end:
            return []
        self._live = True
        if self._cut and self._own is None:
            # Nothing shows which windows already have an outcome: what the log does not begin with is over.
            self._raise_floor(max(self.agreement.over, min(self.agreement.windows, default=self.due.first)))
        return [*self._end_all()]

    def committable(self) -> int | None:
        """The first offset of control that is still needed; None: commit nothing yet."""
        pin = self.agreement.pin()
        if not self._live or pin is None or self._own is None:
            return None
        floor, offset = self._own
        needed = min((place for window, place in self._needed.items() if window >= floor), default=self._place)
        return min(needed, offset, pin)

    @property
    def live(self) -> bool:
        """Whether the log has been read to the end that it had at the start."""
        return self._live

    def status(self) -> dict[str, Any]:
        """What the open windows wait for, for /status."""
        names = self._combiner.party_names
        windows = []
        for window, ballot in sorted(self.agreement.windows.items()):
            if ballot.terminal is None:
                windows.append(
                    {
                        "window": window,
                        "waits_for": "manifests" if ballot.agreed is None else "aggregate_shares",
                        "parties": [names[party] for party in ballot.waited_for(len(names))],
                    }
                )
        return {
            "caught_up": self._live,
            "floor": self._floor,
            "quorum_floor": self.agreement.over,
            "windows": windows,
        }

    def _recall(self, outcome: Outcome, offset: int) -> None:
        """An outcome of our own stands in the log: its aggregate was in Kafka before, it is never made again."""
        if outcome.window >= self._floor:
            self._done.add(outcome.window)
            ballot = self.agreement.ballot(outcome.window)
            if ballot is not None and ballot.terminal is not None:
                ballot.forget_contents()
        if self._own is None or outcome.floor >= self._own[0]:
            self._own = (outcome.floor, offset)
        self._raise_floor(outcome.floor)

    def _raise_floor(self, floor: int) -> None:
        if floor <= self._floor:
            return
        self._floor = floor
        self.agreement.forget_below(min(floor, self.agreement.over))
        self._done = {window for window in self._done if window >= floor}
        self._needed = {window: offset for window, offset in self._needed.items() if window >= floor}

    def _end_all(self) -> Iterator[Published | Outcome]:
        """End all windows that have ended in the log; those below Q of which nobody spoke as well."""
        for window in self.due.starting(self._floor, self.agreement.over):
            if window not in self._done and self.agreement.ballot(window) is None:
                # The time of the window itself: whoever makes this aggregate again makes the same bytes.
                over = Terminal(outcome="suppressed", reason="window_over", at=self.due.task.window_end(window))
                yield from self._deliver(window, Ballot(terminal=over))
        for window in sorted(self.agreement.windows):
            yield from self._end_one(window)

    def _end_one(self, window: int) -> Iterator[Published | Outcome]:
        ballot = self.agreement.ballot(window)
        if ballot is not None and ballot.terminal is not None and window >= self._floor and window not in self._done:
            yield from self._deliver(window, ballot)

    def _deliver(self, window: int, ballot: Ballot) -> Iterator[Published | Outcome]:
        aggregate, findings = self._combiner.combine(window, ballot)
        value = self._publish(aggregate)
        yield Published(window=window, aggregate=aggregate, value=value, findings=findings)
        self._done.add(window)
        ballot.forget_contents()
        yield Outcome(window=window, floor=self._delivered_below(), digest=sha256(value).digest())

    def _delivered_below(self) -> int:
        """The start of the first window whose aggregate is not in Kafka, or what comes after all that are."""
        for window in self.due.starting(self._floor, max(self._done) + 1):
            if window not in self._done:
                return window
        return max(self._done) + 1
