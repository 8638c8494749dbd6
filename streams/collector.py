"""The collector: one for each partition of control. It folds the same log as the roots, opens what they have released
to it, and makes exactly one aggregate of each window.

It has no clock and decides nothing: which windows end, over which set, with whose shares, stands in the log. It can
open the parties' totals, never a share of one gateway. An outcome is recorded on control once its aggregate is in
Kafka, and nothing behind the collector's recorded floor is forgotten before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import numpy as np

from mpc_ops.schemes import Scheme, scheme
from protocol.aggregate import Aggregate, CellResult, Contributor
from protocol.body import SealNotes
from protocol.codec import LATEST
from protocol.control import AggregateShare, ControlRecord, Outcome
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.share import SharePayload
from protocol.task import Task
from streams.agreement import Agreed, Ballot, Terminal
from streams.due import DueWindows
from streams.policy import agreement_of
from streams.reveal import Contradiction, Revealed, reveal

OpenShare = Callable[[AggregateShare], bytes]
"""Opens what a party has sealed to the collector; raises WireError."""

Publish = Callable[[Aggregate], bytes]
"""Writes and signs an aggregate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An aggregate for the topic `aggregates`."""

    window: int
    aggregate: Aggregate
    value: bytes = field(repr=False)


class Collector:
    """Folds one partition. `first` and `end`: where reading of the control log begins, and where it ended then.

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
        first: int = 0,
        end: int = 0,
    ) -> None:
        self.due = DueWindows(task=task, roster=roster, partition=partition)
        self.agreement = agreement_of(task, roster, first=self.due.first)
        self._combiner = Combiner(task=task, roster=roster, open_share=open_share)
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
                there = ballot.manifests if ballot.agreed is None else ballot.shares
                windows.append(
                    {
                        "window": window,
                        "waits_for": "manifests" if ballot.agreed is None else "aggregate_shares",
                        "parties": [name for party, name in enumerate(names) if party not in there],
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
        aggregate = self._combiner.combine(window, ballot)
        value = self._publish(aggregate)
        yield Published(window=window, aggregate=aggregate, value=value)
        self._done.add(window)
        ballot.forget_contents()
        yield Outcome(window=window, floor=self._delivered_below(), digest=sha256(value).digest())

    def _delivered_below(self) -> int:
        """The start of the first window whose aggregate is not in Kafka, or what comes after all that are."""
        for window in self.due.starting(self._floor, max(self._done) + 1):
            if window not in self._done:
                return window
        return max(self._done) + 1


class Combiner:
    """Makes the aggregate of a window that has ended: pure, the same for the same log."""

    def __init__(self, *, task: Task, roster: Roster, open_share: OpenShare) -> None:
        self.party_names = task.party_names
        self._task = task
        self._roster = roster
        self._open_share = open_share
        self._cells = roster.cells(task)
        self._scheme: Scheme = scheme(task.scheme.name, len(task.party))
        self._names = task.measure_names
        measures = [task.measures[self._names[cell.measure]] for cell in self._cells]
        self._steps = np.array([measure.steps for measure in measures], dtype=np.int64)
        self._most_rows = task.limits.max_gateways * task.limits.max_rows

    def combine(self, window: int, ballot: Ballot) -> Aggregate:
        """Return the window's aggregate. `ballot` must have ended."""
        terminal = ballot.terminal
        assert terminal is not None, "internal error: the window is still open"
        if terminal.outcome == "suppressed":
            at_fault = tuple(self.party_names[party] for party in terminal.missing)
            cells = self._all_suppressed(terminal.reason, at_fault)
            return self._aggregate(window, ballot, terminal, cells, notes={}, verified=False)
        result = reveal(self._scheme, {party: self._payload(ballot.shares[party]) for party in terminal.parties})
        if isinstance(result, Contradiction):
            suspects = tuple(self.party_names[party] for party in result.suspects)
            cells = self._all_suppressed("parties_disagree", suspects)
            return self._aggregate(window, ballot, terminal, cells, notes={}, verified=False)
        return self._aggregate(
            window, ballot, terminal, self._points(result), notes=result.notes, verified=result.verified
        )

    def _payload(self, share: AggregateShare) -> SharePayload | None:
        try:
            plaintext = self._open_share(share)
            held = len(self._scheme.held_by(share.party))
            return SharePayload.decode(plaintext, cells=len(self._cells), held=held)
        except WireError:
            return None  # signed, and not what it has to be: this party is at fault

    def _points(self, result: Revealed) -> tuple[CellResult, ...]:
        cells: dict[int, CellResult] = {
            number: self._cell(number, reason=reason) for number, reason in result.suppressed
        }
        for number, count, units in zip(
            result.cells.tolist(), result.counts.tolist(), result.units.tolist(), strict=True
        ):
            if count > self._most_rows:
                cells[number] = self._cell(number, reason="overflow")
            elif not 0 <= units <= count * int(self._steps[number]):
                # No readings in range have such a sum: a gateway shared something else, or (unverified) a party lied.
                reason = "overflow" if result.verified else "parties_disagree"
                cells[number] = self._cell(number, reason=reason)
            else:
                minimum = self._task.measures[self._names[self._cells[number].measure]].minimum_steps
                cells[number] = self._cell(number, numbers=(count, units + count * minimum))
        return tuple(cells[number] for number in range(len(self._cells)))

    def _all_suppressed(self, reason: str, at_fault: tuple[str, ...]) -> tuple[CellResult, ...]:
        return tuple(self._cell(number, reason=reason, at_fault=at_fault) for number in range(len(self._cells)))

    def _cell(
        self,
        number: int,
        *,
        reason: str = "none",
        at_fault: tuple[str, ...] = (),
        numbers: tuple[int, int] | None = None,
    ) -> CellResult:
        """Return a point with its `numbers` (count, sum in steps), or without them a suppressed cell."""
        cell = self._cells[number]
        name = self._names[cell.measure]
        measure = self._task.measures[name]
        return CellResult(
            labels=dict(zip(self._task.labels, cell.labels, strict=True)),
            measure=name,
            unit=measure.unit,
            resolution=measure.resolution,
            outcome="suppressed" if numbers is None else "point",
            reason=reason,
            at_fault=at_fault,
            count=None if numbers is None else numbers[0],
            sum_steps=None if numbers is None else numbers[1],
        )

    def _aggregate(
        self,
        window: int,
        ballot: Ballot,
        terminal: Terminal,
        cells: tuple[CellResult, ...],
        *,
        notes: Mapping[str, SealNotes],
        verified: bool,
    ) -> Aggregate:
        agreed: Agreed | None = ballot.agreed
        names = [entry.gateway for entry in agreed.entries] if agreed else []
        organisation = {name: self._roster.gateways[name].organisation for name in names}
        by_name = self._task.policy.contributors == "names"
        return Aggregate(
            task=self._task.name,
            revision=self._task.revision,
            task_id=self._task.id,
            roster=self._roster.version,
            window_start=window,
            window_end=self._task.window_end(window),
            verified=verified,
            parties=tuple(self.party_names[party] for party in terminal.parties),
            contributors=tuple(
                Contributor(gateway=name, organisation=organisation[name], late=one.late, dropped=one.dropped)
                for name in names
                if by_name
                for one in (notes.get(name, SealNotes()),)
            ),
            organisations=len(set(organisation.values())),
            gateways=len(names),
            absent=tuple(name for name in self._roster.gateways if by_name and name not in organisation),
            last_seal=agreed.last_seal if agreed else 0,
            revealed_at=min(max(terminal.at, 0), LATEST),  # Kafka takes any time that a writer claims
            cells=cells,
        )
