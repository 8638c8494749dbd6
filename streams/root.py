"""The root of a party: one for each partition number. It decides when to speak, and what, about each window.

It holds the party's contributions (`streams.assembly`) and the fold of the control log (`streams.agreement`), and
writes manifests, closes, give-ups and aggregate shares. Its clock only makes it write; what is written decides nothing
until it stands in the log. It sees shares of sums, never a reading, and nothing of what another party holds.

Whatever it has in memory comes back by reading its two topics from what it has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mpc_ops.schemes import scheme
from protocol.contribution import Contribution, Progress
from protocol.control import AggregateShare, Close, ControlRecord, GiveUp, Manifest, Outcome
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.share import JointShare, SharePayload
from protocol.task import Task
from streams.agreement import MANIFESTS, SHARES, Agreed, Ballot, Terminal
from streams.assembly import Assembly
from streams.due import DueWindows
from streams.joint.desk import JointDesk
from streams.policy import Totals, agreement_of, judge, totals
from streams.waiting import waiting

SealShare = Callable[[SharePayload, int, bytes], tuple[bytes, bytes]]
"""(payload, window, digest of the agreed set) -> (id of the collector's key, sealed bytes)."""

Written = ControlRecord | RoundsRecord
"""What a root writes: to control, or to rounds."""

MOST_DUE: Final = 1_000
"""So many windows are worked on at a time: a task that starts long after its first window does not open them all."""

PATIENCE: Final = 5_000
"""A log that grows is never read to its end for long: only being behind for so many ms on end is an interruption."""


_NOTHING: Final = Ballot()
"""What the log says of a window of which it says nothing. Only read."""


@dataclass(slots=True)
class _Open:
    """A window that this root works on. `heard`: Kafka's time of its first record.

    Waits follow each other, each with the whole deadline: for gateways (`since` the window was opened), for the other
    parties' manifests (`told`: since the own one stands in the log), for their part in joint computation (`decided`),
    for their shares (`ran`: since that has ended here, or at once where there is none).
    """

    since: int
    heard: int
    told: int | None = None
    decided: int | None = None
    ran: int | None = None
    goal: Mapping[int, int] | None = None
    whole: Totals | None = field(default=None, repr=False)
    wrote: set[tuple[str, int]] = field(default_factory=set)


class Root:
    """The decisions of one root, over decoded records. `streams.party` puts bytes around it.

    `control_first` and `control_end`: where reading of the control log begins, and where it ended then: the root
    writes and commits nothing before it has read that far. Every method that returns records expects them to be in
    Kafka, in this order, before it is called again.
    """

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        party: int,
        partition: int,
        seal_share: SealShare,
        ended: Callable[[int, Terminal], None] = lambda _window, _terminal: None,
        control_first: int = 0,
        control_end: int = 0,
        contributions_first: int = 0,
        max_ahead: int = 300_000,
        joint: JointDesk | None = None,
        rounds_first: int = 0,
        rounds_end: int = 0,
    ) -> None:
        chosen = scheme(task.scheme.name, len(task.party))
        self.party = party
        self.due = DueWindows(task=task, roster=roster, partition=partition)
        self.agreement = agreement_of(task, roster, first=self.due.first)
        self._task = task
        self._roster = roster
        self._held = len(chosen.held_by(party))
        self._cells = {cell: number for number, cell in enumerate(roster.cells(task))}
        self._seal_share = seal_share
        self._ended = ended
        self._max_ahead = max_ahead
        self._assemblies: dict[int, Assembly] = {}
        self._open: dict[int, _Open] = {}
        self._known = self.due.first - 1  # the latest window heard of that is not too far ahead
        self._next = self.due.first  # windows before it are open or have ended
        self._heard: dict[int, int] = {}  # Kafka's time of the first record of each window not yet forgotten
        self._progress: dict[int, int] = {}
        self._gateway_heard: dict[str, int] = {}
        self._joint = joint
        self._place = {"contributions": contributions_first, "control": control_first, "rounds": rounds_first}
        self._needed: dict[str, dict[int, int]] = {name: {} for name in self._place}
        self._ends = {"control": control_end, "rounds": rounds_end}
        self._cut = control_first > 0  # until a floor is learned: the log may have lost what was before
        self._live = False
        self._calm: int | None = None  # since when connected and read to the end, without interruption
        self._behind: int | None = None  # since when there has been something to read
        self._ticked = 0

    # -- what comes in ----------------------------------------------------------------------------------------

    def contribution(
        self, window: int, record: Contribution | None, *, offset: int, at: int, now: int
    ) -> list[Written]:
        """Take the next record of the party's own contributions; None for one that could not be read."""
        self._place["contributions"] = offset + 1
        if isinstance(record, Progress):
            known = self._progress.get(record.partition, 0)
            self._progress[record.partition] = max(known, record.offset)
            return self._speak(now)
        if record is None or window not in self.due or record.gateway not in self._roster.gateways:
            return []
        self._gateway_heard[record.gateway] = now
        if window < self.agreement.over:
            return []
        self._note("contributions", window, offset, at)
        ballot = self.agreement.ballot(window)
        if ballot is None or ballot.terminal is None:
            self._assembly(window).add(record)
        self._hear(window, now)
        return self._speak(now, window)

    def control(self, record: ControlRecord | None, *, offset: int, at: int, now: int) -> list[Written]:
        """Take the next record of the control log, its own ones too; None for one that is not valid."""
        self._place["control"] = offset + 1
        if record is not None and not isinstance(record, Outcome) and record.window in self.due:
            before = self.agreement.over
            if record.window >= before:
                self._note("control", record.window, offset, at)
            self.agreement.fold(record, offset=offset, at=at)
            self._hear(record.window, now)
            if self.agreement.over > before:
                self._tell_over(at)
                self._forget()
            return self._speak(now, record.window if self.agreement.over == before else None)
        return self._speak(now) if not self._live else []

    def rounds(self, record: RoundsRecord | None, raw: bytes, *, offset: int, at: int, now: int) -> list[Written]:
        """Take the next record of joint computation, its own ones too; None for one that is not valid."""
        self._place["rounds"] = offset + 1
        if record is not None and record.window in self.due and record.window >= self.agreement.over:
            ballot = self.agreement.ballot(record.window)
            if self._joint is not None and (ballot is None or ballot.terminal is None):
                if self._joint.hear(record, raw):
                    self._note("rounds", record.window, offset, at)
                return self._speak(now, record.window)
        return self._speak(now) if not self._live else []

    def tick(
        self,
        now: int,
        *,
        connected: bool,
        caught_up: bool,
        ends: Mapping[int, int] | None = None,
        ends_at: int = 0,
    ) -> list[Written]:
        """Let time pass.

        `connected`: Kafka answers; `caught_up`: and both topics are read to their ends. Deadlines run only then, and
        begin anew after each interruption, since what the party has not been able to read must not count as silence.
        `ends`: the end of each partition of the party's shares, asked for no earlier than `ends_at`; None where not
        known.
        """
        if now < self._ticked:
            self._set_back(now)
        self._ticked = now
        if connected and caught_up:
            self._behind = None
            if self._calm is None:
                self._calm = now
            self._come_due(now)
        else:
            if self._behind is None:
                self._behind = now
            if not connected or now - self._behind > PATIENCE:
                self._calm = None
        if ends is not None and self._calm is not None:
            for window, state in self._open.items():
                if state.goal is None and ends_at >= self._deadline(window, state.since):
                    state.goal = dict(ends)
        return self._speak(now)

    def committable(self) -> dict[str, int]:
        """Topic ("contributions", "control", "rounds") -> first offset that is still needed. Empty: commit nothing yet.

        Only what lies below the quorum floor may go, never what is below one's own (`reference/streams.md`); and the
        records that show where the quorum floor is must stay.
        """
        pin = self.agreement.pin()
        if not self._live or pin is None:
            return {}
        places = {name: min(self._needed[name].values(), default=place) for name, place in self._place.items()}
        places["control"] = min(places["control"], pin)
        return places

    # -- hearing of windows -----------------------------------------------------------------------------------

    def _note(self, topic: str, window: int, offset: int, at: int) -> None:
        self._needed[topic].setdefault(window, offset)
        self._heard[window] = min(at, self._heard.get(window, at))

    def _assembly(self, window: int) -> Assembly:
        found = self._assemblies.get(window)
        if found is None:
            found = Assembly(cells=self._cells, held=self._held, max_rows=self._task.limits.max_rows)
            self._assemblies[window] = found
        return found

    def _hear(self, window: int, now: int) -> None:
        """A window is due when it, or a later one, is heard of; but one too far ahead of the clock starts nothing."""
        if window <= now + self._max_ahead:
            self._known = max(self._known, window)

    def _set_back(self, now: int) -> None:
        """A clock that was hours ahead has been set right: what began in its future begins now, not hours later."""
        for state in self._open.values():
            state.since = min(state.since, now)
            state.told = None if state.told is None else min(state.told, now)
            state.decided = None if state.decided is None else min(state.decided, now)
            state.ran = None if state.ran is None else min(state.ran, now)
        self._calm = None if self._calm is None else min(self._calm, now)
        self._behind = None if self._behind is None else min(self._behind, now)

    def _come_due(self, now: int) -> None:
        """Windows that everybody is silent about are due by the clock, while the task lasts.

        After its end only what is heard of counts: a task whose whole time lies in the past is a replay.
        """
        window = self._task.window
        if now < self._task.valid_until + window.give_up_after:
            self._known = max(self._known, min(now - window.size - window.lateness, self._task.valid_until - 1))
        parked = [start for start in self._heard if self._known < start <= now + self._max_ahead]
        self._known = max([self._known, *parked])

    def _advance(self, now: int) -> list[int]:
        """Open the windows that are due, in order; return the newly opened ones."""
        new: list[int] = []
        if self._next > self._known:
            return new  # the usual case
        for window in self.due.starting(self._next, self._known + 1):
            if len(self._open) >= MOST_DUE:
                break
            self._open[window] = _Open(since=now, heard=min(now, self._heard.get(window, now)))
            self._next = window + 1
            new.append(window)
        else:
            self._next = max(self._next, self._known + 1)
        return new

    def _tell_over(self, at: int) -> None:
        """Tell how the open windows ended that the quorum floor has passed."""
        for window in [window for window in self._open if window < self.agreement.over]:
            ballot = self.agreement.ballot(window) or Ballot()
            self._ended(window, ballot.terminal or Terminal(outcome="suppressed", reason="window_over", at=at))

    def _forget(self) -> None:
        """Drop what lies below the quorum floor: it has ended, for everyone."""
        over = self.agreement.over
        self.agreement.forget_below(over)
        held: tuple[dict[int, Any], ...] = (self._assemblies, self._open, self._heard, *self._needed.values())
        for windows in held:
            for window in [window for window in windows if window < over]:
                del windows[window]
        if self._joint is not None:
            self._joint.forget_below(over)
        self._next = max(self._next, over)

    # -- speaking ---------------------------------------------------------------------------------------------

    def _speak(self, now: int, window: int | None = None) -> list[Written]:
        """Write what is to be written now: about one window and newly opened ones, or (None) about all."""
        if not self._live:
            if any(self._place[name] < end for name, end in self._ends.items()):
                return []
            self._begin()
            window = None
        new = self._advance(now)
        chosen = [*self._open] if window is None else [*new, *([window] if window not in new else [])]
        return [record for start in chosen if start in self._open for record in self._about(start, now)]

    def _begin(self) -> None:
        """The log is read to the end that it had at the start: from now on this root takes part."""
        self._live = True
        if self._cut and self.agreement.pin() is None:
            # The log does not say how far the quorum was, so what it still shows of any window may be a part only:
            # all that is older than its end is over for this party, and it goes on with what comes.
            self._next = max([self._next, *(window + 1 for window in self.agreement.windows)])
        self._next = max(self._next, self.agreement.over)

    def _floor(self) -> int:
        """The lowest window that this root is not through with: all below have ended in the log."""
        return max(self.agreement.over, min(self._open, default=self._next))

    def _about(self, window: int, now: int) -> Iterator[Written]:
        state = self._open[window]
        ballot = self.agreement.ballot(window) or _NOTHING
        if ballot.terminal is not None:
            self._ended(window, ballot.terminal)
            del self._open[window]
            self._assemblies.pop(window, None)
            if self._joint is not None:
                self._joint.forget(window)
            ballot.forget_contents()
            return
        if ballot.agreed is None:
            if state.told is None and self.party in ballot.manifests:
                state.told = now
            yield from self._about_manifests(window, state, ballot)
        else:
            if state.decided is None:
                state.decided = now
            yield from self._about_shares(window, state, ballot, ballot.agreed)
            if state.ran is None and self._has_run(window, ballot):
                state.ran = now
        if self._calm is not None:
            yield from self._endings(window, state, ballot, now)

    def _about_manifests(self, window: int, state: _Open, ballot: Ballot) -> Iterator[Written]:
        if self.party in ballot.manifests or ("manifest", 0) in state.wrote:
            return
        assembly = self._assembly(window)
        if not all(assembly.answered(name) for name in self._roster.gateways) and not self._read_all(state):
            return
        state.wrote.add(("manifest", 0))
        yield Manifest(
            window=window,
            party=self.party,
            floor=self._floor(),
            last_seal=assembly.last_seal(),
            entries=assembly.entries(),
            faults=assembly.faults(),
        )

    def _read_all(self, state: _Open) -> bool:
        """Whether the deadline has passed and the leafs have read all that was in the shares then.

        Otherwise a gateway would be left out although its records were there.
        """
        if state.goal is None:
            return False
        return all(self._progress.get(partition, 0) >= end for partition, end in state.goal.items())

    def _about_shares(self, window: int, state: _Open, ballot: Ballot, agreed: Agreed) -> Iterator[Written]:
        if self.party in ballot.shares or ("share", 0) in state.wrote or ballot.contradicted(self.party):
            return
        assembly = self._assembly(window)
        contents = assembly.contents(agreed.entries)
        if contents is None:
            return
        if state.whole is None:
            state.whole = totals(self._task, self._roster, contents, held=self._held)
        results: tuple[JointShare, ...] | None = ()
        if self._joint is not None:
            yield from self._joint.about(window, agreed, state.whole)
            results = self._joint.results(window)
        if results is None:
            return
        notes = {name: assembly.notes(name) for name in contents}
        payload = judge(self._task, self._roster, state.whole, notes=notes, joint=results)
        key_id, sealed = self._seal_share(payload, window, agreed.digest)
        state.wrote.add(("share", 0))
        yield AggregateShare(
            window=window, party=self.party, floor=self._floor(), digest=agreed.digest, key_id=key_id, sealed=sealed
        )

    def _has_run(self, window: int, ballot: Ballot) -> bool:
        """Whether nothing of joint computation keeps this party's share back."""
        return self._joint is None or self.party in ballot.shares or self._joint.results(window) is not None

    def _endings(self, window: int, state: _Open, ballot: Ballot, now: int) -> Iterator[Written]:
        """End a wait that has become too long, as soon as the log is such that ending it means something."""
        phase = ballot.phase
        if now < self._phase_deadline(window, state, phase):
            return
        rules = self.agreement.rules
        if phase == SHARES and state.ran is None and self._joint is not None and rules.close_by is not None:
            self._joint.abandon(window)
            state.ran = now
            return
        there: Mapping[int, object] = ballot.manifests if phase == MANIFESTS else ballot.shares
        may = rules.close_by is not None and len(there) >= rules.enough
        mine = phase == SHARES or self.party in ballot.manifests
        if may and mine and self.party not in ballot.closed[phase] and ("close", phase) not in state.wrote:
            state.wrote.add(("close", phase))
            yield Close(window=window, party=self.party, phase=phase)
        gone = self.party in ballot.given_up[phase] or ("give-up", phase) in state.wrote
        if now >= self._give_up_at(window, state) and not gone:
            state.wrote.add(("give-up", phase))
            yield GiveUp(window=window, party=self.party)

    def _deadline(self, window: int, since: int) -> int:
        """When waiting ends that began at `since`: not before the window's end, and only in calm."""
        begin = max(since, self._task.window_end(window), self._calm if self._calm is not None else since)
        return begin + self._task.window.deadline

    def _phase_deadline(self, window: int, state: _Open, phase: int) -> int:
        """When the present wait ends.

        That for manifests begins with the own one, that for shares with the end of the own joint run: parties whose
        deadlines for a silent gateway, or a silent party, pass at about the same time must not shut each other out,
        since two shares alone cannot be verified.
        """
        begins = (state.told, None) if phase == MANIFESTS else (state.ran, state.decided)
        since = next((at for at in begins if at is not None), state.since)
        return self._deadline(window, since)

    def _give_up_at(self, window: int, state: _Open) -> int:
        """By Kafka's time of the first record, so that a party that is restarted every day gives up as well."""
        return max(state.heard, self._task.window_end(window)) + self._task.window.give_up_after

    # -- telling ----------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the log has been read to the end that it had at the start."""
        return self._live

    def status(self, now: int) -> dict[str, Any]:
        """What every open window waits for, for /status: names and times, no counts and no shares."""
        parked = [window for window in self._heard if window > now + self._max_ahead]
        return {
            "caught_up": self._live and self._calm is not None,
            "floor": self._floor(),
            "quorum_floor": self.agreement.over,
            "parked": sorted(parked),
            "windows": [self._waiting(window, state, now) for window, state in sorted(self._open.items())],
        }

    def _waiting(self, window: int, state: _Open, now: int) -> dict[str, Any]:
        ballot = self.agreement.ballot(window) or Ballot()
        return waiting(
            window,
            task=self._task,
            roster=self._roster,
            party=self.party,
            rules=self.agreement.rules,
            ballot=ballot,
            assembly=self._assemblies.get(window),
            silent={name: max(0, now - heard) for name, heard in self._gateway_heard.items()},
            rounds=self._joint.waits_for(window) if self._joint is not None else (),
            goes_on=max(0, self._phase_deadline(window, state, ballot.phase) - now) if self._calm is not None else None,
            gives_up=max(0, self._give_up_at(window, state) - now),
        )
