"""The joint computations of one root: one run for each window, fed from the log of rounds (SPEC 8.4).

A run needs the agreed set and all that this party holds of it; what the log of rounds says of a window before that
waits here, as it does after a restart. All that a run ends with is a share of each result, or the reason why there is
none: both go into the party's aggregate share, and wait for the others there.

A run that was left, because a deadline has passed, is never taken up again, and none is made with fewer parties: its
masks would cover other values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from mpc_ops.joint.jobs import Job
from protocol.rounds import Keys, RoundsRecord
from protocol.share import JointShare
from streams.agreement import Agreed
from streams.joint.keys import PartyKeys, RunPlace
from streams.joint.plan import Plan
from streams.joint.reveal import pack
from streams.joint.run import JobEnd, JointRun, Stopped, window_program
from streams.policy import Totals

MOST_HEARD: Final = 64 << 20
"""Bytes of one party's records for one window that wait here: more than a run has. A liar can say anything."""
MOST_KEYS: Final = 64 << 10
"""As long as this party's own keys do not stand in the log: then nothing but keys counts, of any window to come."""


@dataclass(slots=True)
class _Heard:
    """What the log has said of a window whose run has not begun here, and how many bytes each party wrote of it."""

    records: list[tuple[RoundsRecord, bytes]] = field(default_factory=list)
    by: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """What a job of a window has to do: for which groups, and which of them the policy keeps back.

    `job` is None, and `reason` says why, where it does nothing at all.
    """

    job: Job | None
    reason: str
    groups: tuple[int, ...] = ()
    hidden: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run and its work. `said`: rounds of which the own record has been handed out, None for the keys."""

    run: JointRun[tuple[JobEnd, ...]]
    work: tuple[_Work, ...]
    said: set[int | None] = field(default_factory=set)


Told = Callable[[int, Sequence[JointShare], Stopped | None], None]
NoRoom = Callable[[RoundsRecord], None]


class JointDesk:
    """`plans`: the task's jobs, in order.

    `told` is called once for each window, with how its jobs ended here; `no_room` with each record that is dropped
    because its party has said more than may wait.
    """

    def __init__(
        self,
        *,
        plans: Sequence[Plan],
        keys: PartyKeys,
        task_hash: bytes,
        roster_hash: bytes,
        told: Told,
        no_room: NoRoom,
    ) -> None:
        self._plans = tuple(plans)
        self._keys = keys
        self._task_hash = task_hash
        self._roster_hash = roster_hash
        self._told = told
        self._no_room = no_room
        self._heard: dict[int, _Heard] = {}
        self._runs: dict[int, _Run] = {}
        self._ended: dict[int, tuple[JointShare, ...]] = {}

    def hear(self, record: RoundsRecord, raw: bytes) -> None:
        """Take the next record of a window in the log of rounds; `raw`: its bytes there."""
        if record.window in self._ended:
            return
        if record.window in self._runs:
            self._runs[record.window].run.take(record, raw)
            return
        heard = self._heard.setdefault(record.window, _Heard())
        begun = self._keys.party in heard.by or record.party == self._keys.party
        if not begun and not isinstance(record, Keys):
            return  # round 0 opens behind the keys of all three: a record in front of one's own never counts
        heard.by[record.party] += len(raw)
        if heard.by[record.party] > (MOST_HEARD if begun else MOST_KEYS):
            self._no_room(record)
            return
        heard.records.append((record, raw))

    def about(self, window: int, agreed: Agreed, whole: Totals) -> Iterator[RoundsRecord]:
        """Go on with a window's run as far as the log allows, and say what is to be said now."""
        if window in self._ended:
            return
        missing = {*self._keys.peers, self._keys.party} - set(agreed.parties)
        if missing:
            self._end_all(window, "party_missing", tuple(sorted(missing)))
            return
        state = self._runs.get(window)
        if state is None:
            state = self._runs[window] = self._start(window, agreed, whole)
            for record, raw in self._heard.pop(window, _Heard()).records:
                state.run.take(record, raw)
        run = state.run
        if run.round_number not in state.said:
            said = run.pending()
            if said:
                state.said.add(run.round_number)
            yield from said
        if run.done:
            self._end(window, [_share(work, end) for work, end in zip(state.work, run.result, strict=True)])
        elif run.stopped is not None and not run.pending():  # a stop must reach the others before one's share
            self._end_all(window, "parties_disagree", run.stopped.suspects, run.stopped)

    def results(self, window: int) -> tuple[JointShare, ...] | None:
        """This party's part of the results, in the order of the jobs; None while the run goes on."""
        return self._ended.get(window)

    def abandon(self, window: int) -> None:
        """Wait no longer: the deadline has passed."""
        if window not in self._ended:
            self._end_all(window, "party_missing", self.waits_for(window))

    def waits_for(self, window: int) -> tuple[int, ...]:
        """The peers whose part in the open round is missing."""
        state = self._runs.get(window)
        return () if state is None else tuple(party for party in state.run.waits_for if party != self._keys.party)

    def forget(self, window: int) -> None:
        """Drop a window that has ended."""
        self._heard.pop(window, None)
        self._runs.pop(window, None)
        self._ended.pop(window, None)

    def forget_below(self, over: int) -> None:
        """Drop the windows that start before `over`."""
        for window in [window for window in (*self._heard, *self._runs, *self._ended) if window < over]:
            self.forget(window)

    def _start(self, window: int, agreed: Agreed, whole: Totals) -> _Run:
        work = tuple(_work(plan, whole) for plan in self._plans)
        jobs = [
            (one.job, partial(plan.columns, whole.sums, whole.counts, one.groups))
            for plan, one in zip(self._plans, work, strict=True)
        ]
        place = RunPlace(task_hash=self._task_hash, roster_hash=self._roster_hash, window=window, digest=agreed.digest)
        return _Run(run=JointRun(place=place, keys=self._keys, program=window_program(jobs)), work=work)

    def _end(self, window: int, shares: Sequence[JointShare], stopped: Stopped | None = None) -> None:
        self._ended[window] = tuple(shares)
        self._runs.pop(window, None)
        self._heard.pop(window, None)
        self._told(window, shares, stopped)

    def _end_all(self, window: int, reason: str, suspects: tuple[int, ...], stopped: Stopped | None = None) -> None:
        """No job has a result, and all have the same reason."""
        self._end(window, [JointShare(reason=reason, suspects=suspects) for _ in self._plans], stopped)


def _work(plan: Plan, whole: Totals) -> _Work:
    verdict = plan.verdict(whole)
    if verdict.reason != "none" or not verdict.groups:
        return _Work(job=None, reason=verdict.reason, hidden=verdict.hidden)
    return _Work(job=plan.job(verdict.groups), reason="none", groups=verdict.groups, hidden=verdict.hidden)


def _share(work: _Work, end: JobEnd) -> JointShare:
    """What goes to the collector of a job that has been computed, or that the policy, or its values, do not allow."""
    reason = work.reason if work.reason != "none" else end.reason
    if reason != "none":
        return JointShare(reason=reason)
    data = b"" if end.shared is None else pack(end.shared.ring, end.shared.values)
    return JointShare(groups=work.groups, hidden=work.hidden, data=data)
