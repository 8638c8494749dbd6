"""What a party says about one window: its manifest, its part of joint computation, its share, the end of a wait.

It is said when what the party holds, what the log says and the deadlines allow it, and once: what this worker has
written, or finds in the log, it does not write again. Nothing of it counts before it stands in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from protocol.control import AggregateShare, Close, ControlRecord, GiveUp, Manifest
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.share import JointShare, SharePayload
from protocol.task import Task
from streams.agreement import MANIFESTS, SHARES, Agreed, Ballot, Rules
from streams.assembly import Assemblies
from streams.deadlines import Deadlines, Times
from streams.joint.desk import JointDesk
from streams.policy import Totals, judge, totals
from streams.reading import Reading

SealShare = Callable[[SharePayload, int, bytes], tuple[bytes, bytes]]
"""(payload, window, digest of the agreed set) -> (id of the collector's key, sealed bytes)."""

Written = ControlRecord | RoundsRecord
"""What a root writes: to control, or to rounds."""


@dataclass(slots=True, kw_only=True)
class OpenWindow:
    """A window that a root works on.

    `goal`: how far the leafs have to read before a gateway that is missing counts as silent, None before the deadline;
    `whole`: the party's sums over the agreed set; `wrote`: what this worker has written, by kind and phase.
    """

    times: Times
    goal: Mapping[int, int] | None = None
    whole: Totals | None = field(default=None, repr=False)
    wrote: set[tuple[str, int]] = field(default_factory=set)


class Speech:
    """One root's. `held`: how many components the party holds; `floor`: the lowest window it is not through with."""

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        party: int,
        held: int,
        rules: Rules,
        assemblies: Assemblies,
        reading: Reading,
        deadlines: Deadlines,
        desk: JointDesk | None,
        seal_share: SealShare,
        floor: Callable[[], int],
    ) -> None:
        self._task = task
        self._roster = roster
        self._party = party
        self._held = held
        self._rules = rules
        self._assemblies = assemblies
        self._reading = reading
        self._deadlines = deadlines
        self._desk = desk
        self._seal_share = seal_share
        self._floor = floor

    def about(self, window: int, state: OpenWindow, ballot: Ballot, now: int) -> Iterator[Written]:
        """Say what is to be said now about a window that has not ended."""
        times = state.times
        if ballot.agreed is None:
            if times.told is None and self._party in ballot.manifests:
                times.told = now
            yield from self._manifest(window, state, ballot)
        else:
            if times.decided is None:
                times.decided = now
            yield from self._share(window, state, ballot, ballot.agreed)
            if times.ran is None and self._has_run(window, ballot):
                times.ran = now
        if self._deadlines.calm:
            yield from self._endings(window, state, ballot, now)

    def _manifest(self, window: int, state: OpenWindow, ballot: Ballot) -> Iterator[Written]:
        if self._party in ballot.manifests or ("manifest", 0) in state.wrote:
            return
        assembly = self._assemblies.of(window)
        if not all(assembly.answered(name) for name in self._roster.gateways) and not self._read_all(state):
            return
        state.wrote.add(("manifest", 0))
        yield Manifest(
            window=window,
            party=self._party,
            floor=self._floor(),
            last_seal=assembly.last_seal(),
            entries=assembly.entries(),
            faults=assembly.faults(),
        )

    def _read_all(self, state: OpenWindow) -> bool:
        """Whether the deadline has passed and the leafs have read all that was in the shares then.

        Otherwise a gateway would be left out although its records were there.
        """
        return state.goal is not None and self._reading.leafs_reached(state.goal)

    def _share(self, window: int, state: OpenWindow, ballot: Ballot, agreed: Agreed) -> Iterator[Written]:
        if self._party in ballot.shares or ("share", 0) in state.wrote or ballot.contradicted(self._party):
            return
        assembly = self._assemblies.of(window)
        contents = assembly.contents(agreed.entries)
        if contents is None:
            return
        if state.whole is None:
            state.whole = totals(self._task, self._roster, contents, held=self._held)
        results: tuple[JointShare, ...] | None = ()
        if self._desk is not None:
            yield from self._desk.about(window, agreed, state.whole)
            results = self._desk.results(window)
        if results is None:
            return
        notes = {name: assembly.notes(name) for name in contents}
        payload = judge(self._task, self._roster, state.whole, notes=notes, joint=results)
        key_id, sealed = self._seal_share(payload, window, agreed.digest)
        state.wrote.add(("share", 0))
        yield AggregateShare(
            window=window, party=self._party, floor=self._floor(), digest=agreed.digest, key_id=key_id, sealed=sealed
        )

    def _has_run(self, window: int, ballot: Ballot) -> bool:
        """Whether nothing of joint computation keeps this party's share back."""
        return self._desk is None or self._party in ballot.shares or self._desk.results(window) is not None

    def _endings(self, window: int, state: OpenWindow, ballot: Ballot, now: int) -> Iterator[Written]:
        """End a wait that has become too long, as soon as the log is such that ending it means something."""
        phase, times = ballot.phase, state.times
        if now < self._deadlines.of_phase(window, times, phase):
            return
        rules = self._rules
        if phase == SHARES and times.ran is None and self._desk is not None and rules.close_by is not None:
            self._desk.abandon(window)
            times.ran = now
            return
        there: Mapping[int, object] = ballot.manifests if phase == MANIFESTS else ballot.shares
        may = rules.close_by is not None and len(there) >= rules.enough
        mine = phase == SHARES or self._party in ballot.manifests
        if may and mine and self._party not in ballot.closed[phase] and ("close", phase) not in state.wrote:
            state.wrote.add(("close", phase))
            yield Close(window=window, party=self._party, phase=phase)
        gone = self._party in ballot.given_up[phase] or ("give-up", phase) in state.wrote
        if now >= self._deadlines.give_up(window, times) and not gone:
            state.wrote.add(("give-up", phase))
            yield GiveUp(window=window, party=self._party)
