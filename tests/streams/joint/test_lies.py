"""One party lies somewhere in a joint run: what the collector gets is right, or nothing."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from typing import Any

import pytest

from mpc_ops.joint.jobs import (
    Circuit,
    Job,
    LeastSquares,
    LinearSolve,
    Polynomial,
    Product,
    Rank,
    Threshold,
    numbers,
)
from mpc_ops.joint.linear import System
from mpc_ops.joint.netlist import parse
from mpc_ops.joint.replicated import reveal, share
from mpc_ops.randomness import Stream
from mpc_ops.rings import Z64
from mpc_ops.rounds import CheckFailedError, MessageError
from protocol.hpke import SUITES
from protocol.rounds import Messages, Stop
from streams.joint.keys import PartyKeys, RunPlace, contribution_info
from streams.joint.run import JobEnd, JointRun, window_program
from tests.streams.joint.rounds_log import Program, RoundsLog, keys_of
from tests.trial import make_trial

TRIAL = make_trial()
ADDER = parse("5 8\n1 3\n2 1 1\n\n2 1 0 1 3 XOR\n2 1 3 2 6 XOR\n2 1 0 1 4 AND\n2 1 3 2 5 AND\n2 1 4 5 7 XOR\n")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A job of each kind, on small inputs."""

    job: Job
    columns: tuple[int, ...]
    expected: list[int]

    def __str__(self) -> str:
        return type(self.job).__name__

    def program(self) -> Program:
        shares = share(Z64, Z64.element(list(self.columns)), Stream(bytes(32)))
        return window_program([(self.job, lambda party: shares[party])])


CHEAP = (
    Case(job=Threshold(limits=(5, -7), largest=10**6), columns=(6, -9), expected=[1, 0]),
    Case(job=Rank(columns=3, largest=9, places=(0, -1), what="values"), columns=(3, -9, 8), expected=[8, -9]),
    Case(job=Rank(columns=2, largest=9, places=(0,), what="indices"), columns=(7, 2), expected=[0]),
    Case(job=Product(pairs=2, first=1000, second=1000), columns=(7, -2, 5, 3), expected=[29]),
    Case(job=Polynomial(coefficients=(7, -3, 0, 1), largest=100, points=2), columns=(2, -10), expected=[9, -963]),
    Case(job=Circuit(netlist=ADDER, widths=(2, 1), instances=2), columns=(3, 1, 1, 0), expected=[1, 1, 1, 0]),
)
LINEAR = (
    Case(
        job=LinearSolve(system=System(size=2, matrix=100, right=300, scale=10)),
        columns=(2, 1, 1, 3, 5, 10),
        expected=[10, 30],
    ),
    Case(
        job=LeastSquares(rows=3, size=2, matrix=10, right=30, scale=10),
        columns=(1, 0, 1, 1, 1, 2, 1, 3, 5),
        expected=[10, 20],
    ),
)


class Liar(JointRun[Any]):
    """A party that flips one bit of one message before it seals it."""

    lie: tuple[int, int, float] = (-1, 0, 0.0)
    told = False

    def _outgoing(self) -> dict[int, bytes]:
        honest = super()._outgoing()
        number, which, where = self.lie
        if number != self.round_number or not honest:
            return honest
        receiver = sorted(honest)[which % len(honest)]
        message = bytearray(honest[receiver])
        bit = int(where * 8 * len(message))
        message[bit // 8] ^= 1 << bit % 8
        self.told = True
        return {**honest, receiver: bytes(message)}


@cache
def rounds_of(case: Case) -> int:
    """How many rounds the job takes when nobody lies."""
    log = RoundsLog(case.program(), trial=TRIAL).start()
    assert collected(case, log.finish()) == case.expected
    return sum(1 for record in map(log.decode, log.log) if isinstance(record, Messages)) // 3


def collected(case: Case, runs: Any) -> list[int]:
    """What the collector makes of three shares. Raises CheckFailedError where it has not three equal copies."""
    if not all(run.done for run in runs):
        raise CheckFailedError("a share is missing")
    ends = [run.result[0] for run in runs]
    assert all(isinstance(end, JobEnd) and end.shared is not None and end.reason == "none" for end in ends)
    return numbers(case.job, reveal(case.job.ring, [end.shared.values for end in ends]))


def lied(case: Case, chance: random.Random) -> str:
    """One try. Returns how it ended: told a right result, or stopped."""
    liar = chance.randrange(3)
    log = RoundsLog(case.program(), trial=TRIAL)
    run = Liar(place=log.place, keys=keys_of(log.trial, liar), program=case.program())
    run.lie = (chance.randrange(rounds_of(case) - 1), chance.randrange(2), chance.random())
    log.made[liar] = lambda: run
    log.start().finish()
    honest = [party for party in range(3) if party != liar]
    try:
        result = collected(case, log.runs)
    except CheckFailedError:
        for party in honest:
            stopped = log.runs[party].stopped
            assert stopped is not None
            assert liar in stopped.suspects
        stops = [record for record in map(log.decode, log.log) if isinstance(record, Stop)]
        assert all(liar in record.suspects for record in stops if record.party in honest)
        return stops[0].reason
    assert result == case.expected, f"a wrong number: {case}, {run.lie}"
    return "right" if run.told else "silent"


@pytest.mark.parametrize("case", CHEAP + LINEAR, ids=str)
def test_a_flipped_bit_never_makes_a_wrong_number(case: Case) -> None:
    """Any bit of any message of any job, 1,000 tries in all: the run stops, with the liar under suspicion."""
    chance = random.Random(5)
    ends = [lied(case, chance) for _ in range(20 if case in LINEAR else 160)]
    assert ends.count("check_failed") > ends.count("right")


@pytest.mark.parametrize("case", CHEAP, ids=str)
def test_a_flipped_bit_in_a_share_is_seen_by_the_collector(case: Case) -> None:
    """What a party sends at the end is compared with the copies of the others: never a wrong number."""
    runs = RoundsLog(case.program(), trial=TRIAL).start().finish()
    ends = [run.result[0].shared for run in runs]
    for party, component in product(range(3), range(2)):
        size = len(case.job.ring.encode(ends[party].values[component]))
        for bit in range(0, 8 * size, 5):
            shares = [end.values.copy() for end in ends]
            data = bytearray(case.job.ring.encode(shares[party][component]))
            data[bit // 8] ^= 1 << bit % 8
            try:
                shares[party][component] = case.job.ring.decode(bytes(data), shares[party][component].shape)
                with pytest.raises(CheckFailedError):
                    reveal(case.job.ring, shares)
            except MessageError:
                pass  # bytes that no share has


class OtherContent(PartyKeys):
    """A party that seals to one peer another contribution than the one that it uses."""

    def seal(self, place: RunPlace, peer: int) -> bytes:
        other = place if peer != self.peers[0] else RunPlace(**{**asdict(place), "window": place.window + 1})
        card = self._cards[peer]
        info = contribution_info(place, card, sender=self.party, receiver=peer)
        return SUITES[str(card.suite)].seal(self.contribution(other, peer), card.public_key(), info)


class Damaged(PartyKeys):
    """A party whose sealed contribution for one peer has one flipped bit."""

    def seal(self, place: RunPlace, peer: int) -> bytes:
        sealed = bytearray(super().seal(place, peer))
        sealed[len(sealed) // 2] ^= peer == self.peers[0]
        return bytes(sealed)


@pytest.mark.parametrize("kind", [OtherContent, Damaged])
@pytest.mark.parametrize("liar", range(3))
def test_a_lie_about_keys_stops_the_run(kind: type[PartyKeys], liar: int) -> None:
    """A contribution that does not open, or is not the one that its sender uses: no round is ever built on it."""
    case = CHEAP[0]
    log = RoundsLog(case.program(), trial=TRIAL)
    log.made[liar] = lambda: JointRun(place=log.place, keys=keys_of(TRIAL, liar, kind), program=case.program())
    for run in log.start().finish():
        assert run.stopped is not None
        assert not run.done
    stops = [record for record in map(log.decode, log.log) if isinstance(record, Stop)]
    for record in stops:  # the keys are wrong in both directions: either of the two may be the first to see it
        assert record.reason == "cannot_open"
        assert {record.party, *record.suspects} == {liar, keys_of(TRIAL, liar).peers[0]}
    assert stops
