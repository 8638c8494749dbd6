"""Whether shared numbers are in their ranges: right for every word, and known before anything else is opened."""

from __future__ import annotations

from typing import Any

import pytest

from mpc_ops.joint.checked import AND_ROUNDS
from mpc_ops.joint.jobs import Job, LeastSquares, LinearSolve, Rank
from mpc_ops.joint.linear import System
from mpc_ops.joint.ranges import RangeError, rounds, within
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import F61, Z64, Bits, Ring
from mpc_ops.rounds import Array, CheckFailedError, Interactive
from mpc_ops.sessions import HEADER_SIZE
from tests.mpc_ops.joint.common import Checked3, Replicated3, stream

WORD = 1 << 64
TOP = 1 << 63
LIMITS = [0, 1, 1000, (1 << 61) - 1, (1 << 62) - 1, 1 << 62, (1 << 62) + 1, TOP - 1]
KINDS = [Replicated3, Checked3]


def around(largest: int) -> list[int]:
    """Both ends, their neighbours, and the ends of the words, with what lies half of them away."""
    ends = [-largest, largest, 0, -TOP, TOP - 1, TOP >> 1, -(TOP >> 1), TOP + largest, TOP - largest]
    return sorted({(end + step) % WORD for end in ends for step in (-2, -1, 0, 1, 2)})


def is_within(word: int, largest: int) -> bool:
    return -largest <= (word + TOP) % WORD - TOP <= largest


def accepts(kind: Any, words: list[int], largest: list[int], seed: bytes = b"") -> bool:
    """Whether `within` does, in as many rounds as it says; all parties alike."""
    found: list[bool] = []

    def program(side: Replicated, x: Array) -> Interactive[None]:
        try:
            yield from within(side, x, largest)
        except RangeError:
            found.append(False)
        else:
            found.append(True)

    result = kind(Z64).run(program, Z64.element(words), seed=seed)
    assert result.rounds == rounds(len(words)) + (AND_ROUNDS if kind is Checked3 and words else 0)
    assert len(found) == 3
    assert len(set(found)) == 1
    return found[0]


@pytest.mark.parametrize("largest", LIMITS)
def test_every_word_by_itself(largest: int) -> None:
    """Just inside, just outside, and what wraps: as Python's integers say."""
    for word in around(largest):
        assert accepts(Replicated3, [word], [largest]) == is_within(word, largest), (word, largest)


@pytest.mark.parametrize("kind", KINDS)
def test_one_outside_of_many(kind: Any) -> None:
    """Numbers of all ranges side by side are accepted; with one outside of its own they are not, wherever it stands."""
    words = [(sign * largest) % WORD for largest in LIMITS for sign in (1, -1)]
    largest = [limit for limit in LIMITS for _ in range(2)]
    assert accepts(kind, words, largest)
    for place, limit in enumerate(largest):
        outside = [(words[place] + step) % WORD for step in (1, -1, TOP)]
        for word in [word for word in outside if not is_within(word, limit)]:
            assert not accepts(kind, [*words[:place], word, *words[place + 1 :]], largest)


def test_random_words() -> None:
    """Any words, limits and shares."""
    drawn = stream("ranges").words(400)
    for index, (word, limit) in enumerate(zip(drawn[::2].tolist(), drawn[1::2].tolist(), strict=True)):
        largest = limit >> 1
        assert accepts(Replicated3, [word], [largest], bytes([index])) == is_within(word, largest)


def test_no_numbers_and_wrong_limits() -> None:
    """None are all in range; a limit for each, and none that no signed word has."""
    assert accepts(Checked3, [], [])
    for largest in ([1], [1, 1, 1], [1, TOP], [1, -1]):
        with pytest.raises(ValueError, match="limits"):
            accepts(Replicated3, [0, 0], largest)


@pytest.mark.parametrize("seed", range(10))
def test_a_lie_does_not_let_a_number_pass(seed: int) -> None:
    """One party flips a bit in any round: it is noticed, or changes nothing."""

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        if number != seed or (sender, receiver) != (1, 0) or len(message) == HEADER_SIZE:
            return message
        return message[:HEADER_SIZE] + bytes([message[HEADER_SIZE] ^ 1]) + message[HEADER_SIZE + 1 :]

    with pytest.raises((RangeError, CheckFailedError)):
        Checked3(Z64).run(lambda side, x: within(side, x, [5, 5]), Z64.element([5, 6]), tamper=tamper)


SYSTEM = System(size=2, matrix=100, right=300, scale=10)
FIT = LeastSquares(rows=3, size=2, matrix=100, right=300, scale=10)
WIDE = LinearSolve(system=System(size=1, matrix=TOP - 1, right=1 << 62, scale=1))
JOBS: list[tuple[Job, list[int], list[int]]] = [
    (Rank(columns=3, largest=9, places=(0,), what="values"), [9, -9, 0], [9] * 3),
    (Rank(columns=2, largest=(1 << 61) - 1, places=(0,), what="indices"), [9, (1 << 61) - 1], [(1 << 61) - 1] * 2),
    (LinearSolve(system=SYSTEM), [100, -100, 3, 4, 300, -300], [100] * 4 + [300] * 2),
    (FIT, [100, -100, 3, 4, 5, 6, 300, -300, 1], [100] * 6 + [300] * 3),
    (WIDE, [TOP - 1, -(1 << 62)], [TOP - 1, 1 << 62]),
]


class Opening(Replicated):
    """A side that notes over which ring it opens, and what."""

    seen: list[tuple[Ring, Any]]

    def over(self, ring: Ring) -> Replicated:
        other = Opening(self.party, ring)
        object.__setattr__(other, "seen", self.seen)
        return other

    def open(self, share: Array) -> Interactive[Array]:
        result = yield from super().open(share)
        self.seen.append((self.ring, result))
        return result


@pytest.mark.parametrize(("job", "columns", "largest"), JOBS, ids=lambda one: type(one).__name__)
def test_a_job_opens_nothing_before_it_knows_the_ranges(job: Job, columns: list[int], largest: list[int]) -> None:
    """The first opening is the bit; where it is 0 it is the only one, and the error comes, also where it is checked."""

    def outcome(kind: Any, values: list[int], seen: list[Any] | None = None) -> bool:
        def program(side: Any, share: Array) -> Interactive[bool]:
            if seen is not None:
                side = Opening(side.party, side.ring)
                object.__setattr__(side, "seen", seen)
            try:
                yield from job.shares(side, share)
            except RangeError:
                return False
            return True

        results = kind(Z64).run(program, Z64.element(values)).results
        assert len(set(results)) == 1
        return bool(results[0])

    seen: list[tuple[Ring, Any]] = []
    assert outcome(Replicated3, columns, seen)
    assert [(ring, values.tolist()) for ring, values in seen[:3]] == [(Bits(1), [1])] * 3
    assert len(seen) > 3
    for place, limit in enumerate(largest):
        for word in (limit + 1, -limit - 1, TOP, TOP - 1, -TOP + limit):
            outside = [*columns[:place], word, *columns[place + 1 :]]
            if is_within(word % WORD, limit):
                continue
            seen.clear()
            assert not outcome(Replicated3, outside, seen)
            assert [(ring, values.tolist()) for ring, values in seen] == [(Bits(1), [0])] * 3
    assert outcome(Checked3, columns)
    for word in (largest[0] + 1, TOP):
        assert not outcome(Checked3, [word, *columns[1:]])


def test_another_ring_is_refused() -> None:
    """Words have tops, residues have none."""
    with pytest.raises(ValueError, match="shares over"):
        Replicated3(F61).run(lambda side, x: within(side, x, [1]), F61.element([1]))
