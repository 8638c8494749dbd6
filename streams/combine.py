"""The aggregate of a window that has ended: a pure function of what the log and the parties' shares say of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import numpy as np

from mpc_ops.schemes import Scheme, scheme
from protocol.aggregate import Aggregate, CellResult, Contributor, JointResult, JointValue
from protocol.body import SealNotes
from protocol.codec import LATEST
from protocol.control import AggregateShare
from protocol.errors import WireError
from protocol.roster import Roster
from protocol.share import SharePayload
from protocol.task import Task
from streams.agreement import Agreed, Ballot, Rules
from streams.conduct import Finding
from streams.joint.plan import Plan
from streams.joint.reveal import Revealed as RevealedJob
from streams.joint.reveal import reveal_job
from streams.policy import due_cells
from streams.reveal import Contradiction, Revealed, reveal

OpenShare = Callable[[AggregateShare], bytes]
"""Opens what a party has sealed to the collector; raises WireError."""


class Combiner:
    """Makes the aggregate of a window that has ended: pure, the same for the same log."""

    def __init__(self, *, task: Task, roster: Roster, open_share: OpenShare, plans: Sequence[Plan] = ()) -> None:
        """`plans`: one for each joint computation of the task, in its order."""
        assert len(plans) == len(task.joint), "internal error: a joint computation without a plan"
        self.party_names = task.party_names
        self._task = task
        self._roster = roster
        self._open_share = open_share
        self._plans = plans
        self._cells = roster.cells(task)
        self._due = np.flatnonzero(due_cells(task, roster)).tolist()
        self._scheme: Scheme = scheme(task.scheme.name, len(task.party))
        self._enough = Rules.of(task).enough
        self._names = task.measure_names
        measures = [task.measures[self._names[cell.measure]] for cell in self._cells]
        self._steps = np.array([measure.steps for measure in measures], dtype=np.int64)
        self._most_rows = task.limits.max_gateways * task.limits.max_rows

    def combine(self, window: int, ballot: Ballot) -> tuple[Aggregate, tuple[Finding, ...]]:
        """Return the window's aggregate, and what is wrong with the parties' shares. `ballot` must have ended."""
        terminal = ballot.terminal
        assert terminal is not None, "internal error: the window is still open"
        if terminal.outcome == "suppressed":
            at_fault = tuple(self.party_names[party] for party in terminal.at_fault)
            return self._suppressed(window, ballot, terminal.reason, at_fault), ()
        shares = {party: self._payload(ballot.shares[party]) for party in terminal.parties}
        result = reveal(self._scheme, shares, enough=self._enough)
        if isinstance(result, Contradiction):
            suspects = tuple(self.party_names[party] for party in result.suspects)
            findings = _findings(result.suspects, result.kind, window)
            return self._suppressed(window, ballot, "parties_disagree", suspects), findings
        cells = self._points(result)
        joint = self._reveal_jobs(shares, cells)
        aggregate = self._aggregate(
            window,
            ballot,
            result.parties,
            terminal.at,
            cells,
            joint=tuple(self._joint_result(number, one) for number, one in enumerate(joint)),
            notes=result.notes,
            verified=result.verified,
        )
        contradicted = {(one.finding, one.at_fault) for one in joint if one.finding is not None}
        told = [_findings(at_fault, kind, window) for kind, at_fault in sorted(contradicted)]
        return aggregate, (*_findings(result.unreadable, "unreadable_share", window), *chain.from_iterable(told))

    def _payload(self, share: AggregateShare) -> SharePayload | None:
        try:
            plaintext = self._open_share(share)
            held = len(self._scheme.held_by(share.party))
            return SharePayload.decode(plaintext, due=self._due, held=held, joint=len(self._plans))
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
        return tuple(cells[number] for number in self._due)

    def _suppressed(self, window: int, ballot: Ballot, reason: str, at_fault: tuple[str, ...]) -> Aggregate:
        """The aggregate of a window of which nothing is shown."""
        terminal = ballot.terminal
        assert terminal is not None, "internal error: the window is still open"
        cells = tuple(self._cell(number, reason=reason, at_fault=at_fault) for number in self._due)
        joint = tuple(self._job(number, reason=reason, at_fault=at_fault) for number in range(len(self._plans)))
        return self._aggregate(window, ballot, terminal.parties, terminal.at, cells, joint=joint)

    def _reveal_jobs(
        self, shares: Mapping[int, SharePayload | None], cells: tuple[CellResult, ...]
    ) -> list[RevealedJob]:
        sent = {party: share.joint for party, share in shares.items() if share is not None}
        bad = frozenset(number for number, cell in zip(self._due, cells, strict=True) if cell.reason == "overflow")
        return [
            reveal_job(plan, {party: share[number] for party, share in sent.items()}, overflowed=bad)
            for number, plan in enumerate(self._plans)
        ]

    def _joint_result(self, number: int, revealed: RevealedJob) -> JointResult:
        at_fault = tuple(self.party_names[party] for party in revealed.at_fault)
        return self._job(number, reason=revealed.reason, at_fault=at_fault, values=revealed.values)

    def _job(
        self, number: int, *, reason: str, at_fault: tuple[str, ...] = (), values: tuple[JointValue, ...] = ()
    ) -> JointResult:
        """Return a point with its `values`, or a suppressed job with its reason."""
        spec = self._task.joint[number]
        unit, resolution = spec.result(self._task.measures)
        return JointResult(
            name=spec.name,
            job=spec.job,
            outcome="point" if reason == "none" else "suppressed",
            unit=unit,
            resolution=resolution,
            reason=reason,
            at_fault=at_fault,
            values=values,
        )

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
        parties: tuple[int, ...],
        at: int,
        cells: tuple[CellResult, ...],
        *,
        joint: tuple[JointResult, ...],
        notes: Mapping[str, SealNotes] | None = None,
        verified: bool = False,
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
            parties=tuple(self.party_names[party] for party in parties),
            contributors=tuple(
                Contributor(gateway=name, organisation=organisation[name], late=one.late, dropped=one.dropped)
                for name in names
                if by_name
                for one in ((notes or {}).get(name, SealNotes()),)
            ),
            organisations=len(set(organisation.values())),
            gateways=len(names),
            absent=tuple(name for name in self._roster.gateways if by_name and name not in organisation),
            last_seal=agreed.last_seal if agreed else 0,
            revealed_at=min(max(at, 0), LATEST),  # Kafka takes any time that a writer claims
            cells=cells,
            joint=joint,
        )


def _findings(parties: tuple[int, ...], kind: str, window: int) -> tuple[Finding, ...]:
    return tuple(Finding(party=party, kind=kind, window=window) for party in parties)
