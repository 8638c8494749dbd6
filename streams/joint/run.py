"""A joint run: the fold over the records of one window on `rounds`, at one party (SPEC 8.4). Pure.

The records of one window lie in one partition, so all parties read them in one order. The first valid record of each
party for the round that is open counts; the round ends when three count, and only then can anybody know the history
that a record of the next round has to name. So nothing has to be kept for later: a record that does not count
when it is read never will.

What this party says follows from the log and its keys. A party that is started again takes the log from its
beginning, arrives at the same place, and has nothing to say that stands there already.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from mpc_ops.joint.checked import Checked
from mpc_ops.joint.jobs import Job, Shared
from mpc_ops.joint.linear import SingularError
from mpc_ops.joint.quotients import QuotientError
from mpc_ops.joint.ranges import RangeError
from mpc_ops.randomness import Randomness
from mpc_ops.rings import Z64
from mpc_ops.rounds import Array, CheckFailedError, Interactive, MessageError, Round, together
from mpc_ops.sessions import Party, Session
from protocol.errors import WireError
from protocol.rounds import Keys, Messages, RoundsRecord, Stop, associated
from streams.joint.keys import PairKeys, PartyKeys, RunPlace, next_history

T = TypeVar("T")
CONTRADICTED: Final = "contradicted"
"""The reason where this party's own record in the log is not what it says: its key, or its log, is in two places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Why a run has no result, and who may be to blame."""

    reason: str
    suspects: tuple[int, ...]


class JointRun(Generic[T]):
    """One party's run. Feed it with `take` in the order of the log, then write what `pending` says."""

    def __init__(self, *, place: RunPlace, keys: PartyKeys, program: Callable[[Party], Interactive[T]]) -> None:
        self.party = keys.party
        self.stopped: Stopped | None = None
        self.ignored = 0
        """How many records did not count: of another set, round or history, or a second one."""
        self._place = place
        self._keys = keys
        self._program = program
        self._session: Session[T] | None = None
        self._pairs: dict[int, PairKeys] = {}
        self._history = b""
        self._counted: dict[int, Keys | Messages] = {}
        self._hashes: dict[int, bytes] = {}
        self._own: RoundsRecord | None = None
        self._silent = False
        self.round_number: int | None = None
        """The round that is open; None while keys are awaited."""

    @property
    def done(self) -> bool:
        """Whether the program has ended: `result` is there."""
        return self._session is not None and self._session.done

    @property
    def result(self) -> T:
        """What the program returned. Raises ValueError before its end."""
        if self._session is None:
            raise ValueError("the run has not begun")
        return self._session.result

    @property
    def waits_for(self) -> tuple[int, ...]:
        """The parties, this one too, whose record the open round lacks."""
        if self.done or self.stopped is not None:
            return ()
        return tuple(party for party in sorted((self.party, *self._keys.peers)) if party not in self._counted)

    def pending(self) -> list[RoundsRecord]:
        """What this party has to say and the log does not hold yet. Asked twice, it says the same."""
        if self.done or self._silent or self.party in self._counted:
            return []
        if self._own is None:
            self._own = self._say()
        return [self._own]

    def take(self, record: RoundsRecord, raw: bytes) -> None:
        """Take the next record of this window in the log; `raw` are its bytes as they stand there."""
        if self.done or self._silent or not self._counts(record):
            self.ignored += 1
            return
        if record.party == self.party and not isinstance(record, Keys) and [record] != self.pending():
            self._silent = True
            self.stopped = Stopped(reason=CONTRADICTED, suspects=(self.party,))
            return
        if isinstance(record, Stop):
            self._silent = True
            # What this party has found itself says more than what another one claims, who may be the liar itself.
            suspects = {record.party, *record.suspects} - {self.party}
            self.stopped = self.stopped or Stopped(reason=record.reason, suspects=tuple(sorted(suspects)))
            return
        self._counted[record.party] = record
        self._hashes[record.party] = hashlib.sha256(raw).digest()
        if len(self._counted) == 1 + len(self._keys.peers):
            self._advance()

    def _counts(self, record: RoundsRecord) -> bool:
        if (record.window, record.digest) != (self._place.window, self._place.digest):
            return False
        if record.party in self._counted:
            return False
        if isinstance(record, Keys):
            return self.round_number is None
        return (record.number, record.history) == (self.round_number, self._history)

    def _say(self) -> RoundsRecord:
        window, digest = self._place.window, self._place.digest
        if self.round_number is None:
            sealed = tuple(self._keys.seal(self._place, peer) for peer in self._keys.peers)
            return Keys(window=window, party=self.party, digest=digest, contributions=sealed)
        number, history = self.round_number, self._history
        if self.stopped is not None:
            return Stop(
                window=window,
                party=self.party,
                digest=digest,
                number=number,
                history=history,
                reason=self.stopped.reason,
                suspects=self.stopped.suspects,
            )
        empty = Messages(window=window, party=self.party, digest=digest, number=number, history=history, sealed=())
        messages = tuple(
            (peer, self._pairs[peer].seal(message, self._bound(empty, peer)))
            for peer, message in sorted(self._outgoing().items())
        )
        return Messages(window=window, party=self.party, digest=digest, number=number, history=history, sealed=messages)

    def _outgoing(self) -> dict[int, bytes]:
        assert self._session is not None, "internal error: a round without a session"
        return self._session.outgoing

    def _bound(self, record: Messages, receiver: int) -> bytes:
        place = self._place
        return associated(task_hash=place.task_hash, roster_hash=place.roster_hash, record=record, receiver=receiver)

    def _advance(self) -> None:
        records, hashes = self._counted, [self._hashes[party] for party in sorted(self._hashes)]
        self._counted, self._hashes, self._own = {}, {}, None
        if self.round_number is None:
            self.round_number, self._history = 0, self._place.first_history(hashes)
            self._begin(records)
        else:
            self.round_number, self._history = self.round_number + 1, next_history(self._history, hashes)
            self._deliver(records)

    def _begin(self, records: dict[int, Keys | Messages]) -> None:
        closed = []
        for peer in self._keys.peers:
            record = records[peer]
            assert isinstance(record, Keys), "internal error: a round before the keys"
            sealed = record.contributions[self.party - (self.party > peer)]
            try:
                self._pairs[peer] = self._keys.pair(self._place, peer, sealed)
            except WireError:
                closed.append(peer)
        if closed:
            self.stopped = Stopped(reason="cannot_open", suspects=tuple(closed))
            return
        keys = {frozenset({self.party, peer}): pair.randomness for peer, pair in self._pairs.items()}
        # The first history covers task, roster, window, set and all keys records: no stream serves two pasts.
        randomness = Randomness(keys, context=self._history)
        party = Party(index=self.party, parties=1 + len(self._keys.peers), randomness=randomness)
        self._session = Session(party, self._program)

    def _deliver(self, records: dict[int, Keys | Messages]) -> None:
        assert self._session is not None, "internal error: a round without a session"
        messages, closed = {}, []
        for peer in self._keys.peers:
            record = records[peer]
            assert isinstance(record, Messages), "internal error: keys in a round"
            sealed = dict(record.sealed).get(self.party)
            if sealed is None:
                continue
            try:
                messages[peer] = self._pairs[peer].open(sealed, self._bound(record, self.party))
            except WireError:
                closed.append(peer)
        if closed:
            self.stopped = Stopped(reason="cannot_open", suspects=tuple(closed))
            return
        try:
            self._session.deliver(messages, self._history)
        except MessageError as error:
            suspects = self._keys.peers if error.sender is None else (error.sender,)
            self.stopped = Stopped(reason="wrong_message", suspects=suspects)
        except CheckFailedError:
            self.stopped = Stopped(reason="check_failed", suspects=self._keys.peers)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job has ended at one party: with a share of its result, or with the reason why it has none."""

    reason: str
    shared: Shared | None


def window_program(
    jobs: Sequence[tuple[Job | None, Callable[[int], Array]]],
) -> Callable[[Party], Interactive[tuple[JobEnd, ...]]]:
    """The program of a window: all jobs side by side, each a job and its columns by party, then an empty round.

    In that last round everybody says that its checks held: without all three there is no result anywhere. A job that
    is None ends at once. A system that is singular or out of range is so at all parties alike, and costs that job only.
    """

    def program(party: Party) -> Interactive[tuple[JobEnd, ...]]:
        ends: tuple[JobEnd, ...] = yield from together(*(_guarded(job, columns, party) for job, columns in jobs))
        yield Round()
        return ends

    return program


def _guarded(job: Job | None, columns: Callable[[int], Array], party: Party) -> Interactive[JobEnd]:
    if job is None:
        return JobEnd(reason="none", shared=None)
    try:
        shared = yield from job.shares(Checked(party, Z64), columns(party.index))
    except SingularError:
        return JobEnd(reason="singular_system", shared=None)
    except QuotientError:
        return JobEnd(reason="out_of_range", shared=None)
    except RangeError:
        return JobEnd(reason="overflow", shared=None)
    return JobEnd(reason="none", shared=shared)
