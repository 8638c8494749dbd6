"""The root of a party: one for each partition number. It decides when to speak, and what, about each window.

It holds the party's contributions (`streams.assembly`) and the fold of the control log (`streams.agreement`), and
writes manifests, closes, give-ups and aggregate shares (`streams.speech`). Its clock only makes it write; what is
written decides nothing until it stands in the log. It sees shares of sums, never a reading, and nothing of what another
party holds.

Whatever it has in memory comes back by reading its topics from what it has committed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from mpc_ops.schemes import scheme
from protocol.contribution import Contribution, Progress
from protocol.control import ControlRecord, Outcome
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.task import Task
from streams.agreement import Ballot, Terminal
from streams.assembly import Assemblies
from streams.deadlines import Deadlines, Times
from streams.due import DueWindows
from streams.joint.desk import JointDesk
from streams.opening import MOST_DUE, Opening
from streams.policy import agreement_of
from streams.reading import Reading
from streams.speech import OpenWindow, SealShare, Speech, Written
from streams.waiting import waiting

_NOTHING: Final = Ballot()
"""What the log says of a window of which it says nothing. Only read."""


class Root:
    """The decisions of one root, over decoded records. `streams.root_fold` puts bytes around it.

    `control_first` and `control_end`: where reading of the control log begins, and where it ended then: the root
    writes and commits nothing before it has read that far. `joint`: where the task has jobs; only then there is a topic
    of rounds, with `rounds_first` and `rounds_end`. Every method that returns records expects them to be in Kafka, in
    this order, before it is called again.
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
        joint: JointDesk | None = None,
        rounds_first: int = 0,
        rounds_end: int = 0,
    ) -> None:
        held = len(scheme(task.scheme.name, len(task.party)).held_by(party))
        cells = {cell: number for number, cell in enumerate(roster.cells(task))}
        first, ends = {"contributions": contributions_first, "control": control_first}, {"control": control_end}
        if joint is not None:
            first["rounds"], ends["rounds"] = rounds_first, rounds_end
        self.party = party
        self.due = DueWindows(task=task, roster=roster, partition=partition)
        self.agreement = agreement_of(task, roster, first=self.due.first)
        self.reading = Reading(first=first, ends=ends)
        self.opening = Opening(self.due)
        self.deadlines = Deadlines(task)
        self.assemblies = Assemblies(cells=cells, held=held, max_rows=task.limits.max_rows)
        self.speech = Speech(
            task=task,
            roster=roster,
            party=party,
            held=held,
            rules=self.agreement.rules,
            assemblies=self.assemblies,
            reading=self.reading,
            deadlines=self.deadlines,
            desk=joint,
            seal_share=seal_share,
            floor=self.floor,
        )
        self.desk = joint
        self._task = task
        self._roster = roster
        self._ended = ended
        self._open: dict[int, OpenWindow] = {}
        self._gateway_heard: dict[str, int] = {}
        self._cut = control_first > 0  # until a floor is learned: the log may have lost what was before
        self._live = False
        self._ticked = 0

    # -- what comes in ----------------------------------------------------------------------------------------

    def contribution(
        self, window: int, record: Contribution | None, *, offset: int, at: int, now: int
    ) -> list[Written]:
        """Take the next record of the party's own contributions; None for one that could not be read."""
        self.reading.read("contributions", offset)
        if isinstance(record, Progress):
            self.reading.leaf(record)
            return self._speak(now)
        if record is None or window not in self.due or record.gateway not in self._roster.gateways:
            return []
        self._gateway_heard[record.gateway] = now
        if window < self.agreement.over:
            return []
        self._need("contributions", window, offset, at)
        if self._goes_on(window):
            self.assemblies.of(window).add(record)
        self.opening.hear(window, now)
        return self._speak(now, window)

    def control(self, record: ControlRecord | None, *, offset: int, at: int, now: int) -> list[Written]:
        """Take the next record of the control log, its own ones too; None for one that is not valid."""
        self.reading.read("control", offset)
        if record is not None and not isinstance(record, Outcome) and record.window in self.due:
            before = self.agreement.over
            if record.window >= before:
                self._need("control", record.window, offset, at)
            self.agreement.fold(record, offset=offset, at=at)
            self.opening.hear(record.window, now)
            if self.agreement.over > before:
                self._end_below(at)
                self._forget()
            return self._speak(now, record.window if self.agreement.over == before else None)
        return self._speak(now) if not self._live else []

    def rounds(self, record: RoundsRecord | None, raw: bytes, *, offset: int, at: int, now: int) -> list[Written]:
        """Take the next record of joint computation, its own ones too; None for one that is not valid."""
        assert self.desk is not None, "internal error: rounds of a task without jobs"
        self.reading.read("rounds", offset)
        if record is None or record.window not in self.due or not self._goes_on(record.window):
            return self._speak(now) if not self._live else []
        # Needed also where the run has been left here: whoever starts before the share is written begins it again.
        self._need("rounds", record.window, offset, at)
        self.desk.hear(record, raw)
        return self._speak(now, record.window)

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

        `connected`: Kafka answers; `caught_up`: and all topics are read to their ends. Deadlines run only then.
        `ends`: the end of each partition of the party's shares, asked for no earlier than `ends_at`; None where not
        known.
        """
        if now < self._ticked:
            self.deadlines.set_back(now)
            for state in self._open.values():
                state.times.set_back(now)
        self._ticked = now
        self.deadlines.look(now, connected=connected, caught_up=caught_up)
        if connected and caught_up:
            self.opening.come_due(now)
        if ends is not None and self.deadlines.calm:
            for window, state in self._open.items():
                if state.goal is None and ends_at >= self.deadlines.after(window, state.times.since):
                    state.goal = dict(ends)
        return self._speak(now)

    def committable(self) -> dict[str, int]:
        """Topic ("contributions", "control", "rounds") -> first offset that is still needed. Empty: commit nothing yet.

        Only what lies below the quorum floor may go, never what is below one's own (`reference/streams.md`); and the
        records that show where the quorum floor is must stay.
        """
        pin = self.agreement.pin()
        return self.reading.committable(pin) if self._live and pin is not None else {}

    # -- what is kept -----------------------------------------------------------------------------------------

    def _need(self, topic: str, window: int, offset: int, at: int) -> None:
        self.reading.need(topic, window, offset)
        self.opening.note(window, at)

    def _goes_on(self, window: int) -> bool:
        """Whether the window has no end in the log yet."""
        ballot = self.agreement.ballot(window)
        return window >= self.agreement.over and (ballot is None or ballot.terminal is None)

    def _end_below(self, at: int) -> None:
        """Tell how the open windows have ended that the quorum floor has passed."""
        for window in [window for window in self._open if window < self.agreement.over]:
            ballot = self.agreement.ballot(window) or _NOTHING
            self._ended(window, ballot.terminal or Terminal(outcome="suppressed", reason="window_over", at=at))
            del self._open[window]

    def _forget(self) -> None:
        """Drop what lies below the quorum floor: it has ended, for everyone."""
        over = self.agreement.over
        self.agreement.forget_below(over)
        self.assemblies.forget_below(over)
        self.reading.forget_below(over)
        self.opening.forget_below(over)
        if self.desk is not None:
            self.desk.forget_below(over)

    # -- speaking ---------------------------------------------------------------------------------------------

    def _speak(self, now: int, window: int | None = None) -> list[Written]:
        """Write what is to be written now: about one window and newly opened ones, or (None) about all."""
        if not self._live:
            if not self.reading.reached:
                return []
            self._begin()
            window = None
        new = self.opening.advance(MOST_DUE - len(self._open))
        for start in new:
            self._open[start] = OpenWindow(times=Times(since=now, heard=self.opening.heard(start, now)))
        chosen = [*self._open] if window is None else [*new, *([window] if window not in new else [])]
        return [record for start in chosen if start in self._open for record in self._about(start, now)]

    def _begin(self) -> None:
        """The log is read to the end that it had at the start: from now on this root takes part."""
        self._live = True
        if self._cut and self.agreement.pin() is None:
            # The log does not say how far the quorum was, so what it still shows of any window may be a part only:
            # all that is older than its end is over for this party, and it goes on with what comes.
            self.opening.skip(max((window + 1 for window in self.agreement.windows), default=self.opening.next))
        self.opening.skip(self.agreement.over)

    def floor(self) -> int:
        """The lowest window that this root is not through with: all below have ended in the log."""
        return max(self.agreement.over, min(self._open, default=self.opening.next))

    def _about(self, window: int, now: int) -> Iterator[Written]:
        ballot = self.agreement.ballot(window) or _NOTHING
        if ballot.terminal is None:
            yield from self.speech.about(window, self._open[window], ballot, now)
            return
        self._ended(window, ballot.terminal)
        del self._open[window]
        self.assemblies.forget(window)
        if self.desk is not None:
            self.desk.forget(window)
        ballot.forget_contents()

    # -- telling ----------------------------------------------------------------------------------------------

    @property
    def live(self) -> bool:
        """Whether the log has been read to the end that it had at the start."""
        return self._live

    def status(self, now: int) -> dict[str, Any]:
        """What every open window waits for, for /status: names and times, no counts and no shares."""
        return {
            "caught_up": self._live and self.deadlines.calm,
            "floor": self.floor(),
            "quorum_floor": self.agreement.over,
            "parked": self.opening.parked(now),
            "windows": [self._waiting(window, state, now) for window, state in sorted(self._open.items())],
        }

    def _waiting(self, window: int, state: OpenWindow, now: int) -> dict[str, Any]:
        ballot, deadlines = self.agreement.ballot(window) or _NOTHING, self.deadlines
        ends = deadlines.of_phase(window, state.times, ballot.phase) if deadlines.calm else None
        return waiting(
            window,
            task=self._task,
            roster=self._roster,
            party=self.party,
            rules=self.agreement.rules,
            ballot=ballot,
            assembly=self.assemblies.get(window),
            silent={name: max(0, now - heard) for name, heard in self._gateway_heard.items()},
            rounds=self.desk.waits_for(window) if self.desk is not None else (),
            goes_on=None if ends is None else max(0, ends - now),
            gives_up=max(0, deadlines.give_up(window, state.times) - now),
        )
