"""Checked results: right when all are honest, and never wrong when one bit of one message is flipped."""

from __future__ import annotations

from math import comb, log2
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import checked, comparing, gates, rounding
from mpc_ops.joint.base import inner
from mpc_ops.joint.checked import Checked, bucket
from mpc_ops.joint.linear import System, solve
from mpc_ops.joint.ordering import order
from mpc_ops.joint.quotients import DIVISION, divide
from mpc_ops.joint.replicated import Replicated
from mpc_ops.joint.shuffling import confirm
from mpc_ops.randomness import Randomness, trial_keys
from mpc_ops.rings import BITS, F61, F127, Z64, Bits
from mpc_ops.rounds import CheckFailedError, Interactive, MessageError, together
from mpc_ops.sessions import HEADER_SIZE, Party, Session, advance_history
from tests.mpc_ops.joint.common import EXTREMES, Checked3, Replicated3, stream, words


def product(side: Any, x: Any, y: Any) -> Interactive[Any]:
    z = yield from side.multiply(x, y)
    opened = yield from side.open(z)
    return opened


def dot(side: Any, x: Any, y: Any) -> Interactive[Any]:
    matrix = yield from side.matmul(x.reshape(2, 2, 5), y.reshape(2, 5, 2))
    value = yield from inner(side, x, y)
    opened = yield from side.open(np.concatenate([matrix.reshape(2, -1), value[:, None]], axis=1))
    return opened


def less(side: Any, x: Any, y: Any) -> Interactive[Any]:
    bit = yield from comparing.less(side, x, y)
    opened = yield from side.over(Bits(1)).open(bit)
    return opened


def lifted(side: Any, x: Any, y: Any) -> Interactive[Any]:
    values = yield from rounding.lift(side, np.stack([x, y], axis=1), F127)
    over = side.over(F127)
    z = yield from over.multiply(values[:, 0], values[:, 1])
    opened = yield from over.open(z)
    return opened


def quotient(side: Any, x: Any, y: Any) -> Interactive[Any]:
    share = yield from divide(side, x[:, :2], y[:, :2])
    opened = yield from side.over(DIVISION).open(share)
    return opened


def smallest(side: Any, x: Any, y: Any) -> Interactive[Any]:
    result = yield from order(side, np.concatenate([x[:, :3], y[:, 1:3]], axis=1), 20)
    over = side.over(F127)
    lifted = yield from rounding.lift(side, np.stack([result.minimum(), result.first_lowest()], axis=1), F127)
    opened = yield from over.open(lifted)
    return opened


SMALL = np.array([5, -3, 100, 7, 0, -1, 8, 12, 9, -1000], dtype=np.int64).view(np.uint64)
OTHER = np.array([3, 70, -4, 7, 1, -2, 8, 1, 900, 10], dtype=np.int64).view(np.uint64)
PROGRAMS = [
    (Checked3(F61), product, 1 + checked.FIELD_ROUNDS + 1),
    (Checked3(F127), product, 1 + checked.FIELD_ROUNDS + 1),
    (Checked3(BITS), product, 1 + checked.AND_ROUNDS + 1),
    (Checked3(F61), dot, 2 + checked.FIELD_ROUNDS + 1),
    (Checked3(Z64), less, 8 + checked.AND_ROUNDS + 1),
    (Checked3(Z64), lifted, 10 + 1 + checked.FIELD_ROUNDS + 1),
    (Checked3(Z64), smallest, 2 + 11 + 1 + 10 + (checked.FIELD_ROUNDS + 1)),
]


def inputs(scheme: Any) -> tuple[Any, Any]:
    return scheme.ring.element(SMALL), scheme.ring.element(OTHER)


@pytest.mark.parametrize(
    ("scheme", "program", "rounds"), PROGRAMS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_honest_parties_get_what_they_get_unchecked(scheme: Any, program: Any, rounds: int) -> None:
    """The same values; checks take 3 rounds for ANDs, 6 for products, before an opening."""
    result = scheme.run(program, *inputs(scheme))
    plain = Replicated3(scheme.ring).run(program, *inputs(scheme))
    assert result.rounds == rounds
    for got, expected in zip(result.results, plain.results, strict=True):
        assert np.array_equal(got, expected)


def test_large_jobs_are_checked() -> None:
    """A division and a linear system, with all the openings on their way."""
    plain = Replicated3(Z64).run(quotient, SMALL, OTHER)
    result = Checked3(Z64).run(quotient, SMALL, OTHER)
    assert all(np.array_equal(got, plain.results[0]) for got in result.results)
    system = System(size=2, matrix=9, right=20, scale=1000)

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        share = yield from solve(side, a, b, system)
        opened = yield from side.open(share)
        return opened

    element = system.field.element
    solved = Checked3(system.field).run(program, element([[2, 3], [4, -1]]), element([8, 1]))
    assert system.field.signed(solved.results[0]) == [786, 2143]  # 11/14 and 15/7


class LyingReplicated(Replicated):
    """Notices nothing and goes on."""

    def failed(self, reason: str) -> None:
        pass


class LyingChecked(Checked):
    """A party that sends what it likes, and never stops because of it."""

    def over(self, ring: Any) -> Any:
        return LyingChecked(self.party, ring, self.journal, self.spare, self.running)

    def unchecked(self, ring: Any) -> Any:
        return LyingReplicated(self.party, ring)

    def failed(self, reason: str) -> None:
        pass


def among_liars(scheme: Any, program: Any, liar: int, flip: Any, seed: bytes, *values: Any) -> dict[int, Any]:
    """What the honest parties that end get, when one party flips bits as it sends. Who notices it falls silent."""
    shares = [scheme.share(values, index) for index, values in enumerate(values or inputs(scheme))]
    sessions: dict[int, Session[Any]] = {}
    for index, keys in enumerate(trial_keys(3, seed)):
        kind = LyingChecked if index == liar else Checked
        sessions[index] = Session(
            Party(index=index, parties=3, randomness=Randomness(keys, context=bytes(32))),
            lambda party, kind=kind: program(kind(party, scheme.ring), *(s[party.index] for s in shares)),
        )
    number = 0
    history = bytes(32)
    while any(not session.done for session in sessions.values()):
        posted = {
            (index, to): flip(number, to, message) if index == liar else message
            for index, session in sessions.items()
            for to, message in session.outgoing.items()
        }
        history = advance_history(history, posted)
        for index, session in list(sessions.items()):
            mine = {sender: message for (sender, to), message in posted.items() if to == index}
            try:
                if not session.done:
                    session.deliver(mine, history)
            except (CheckFailedError, MessageError):
                del sessions[index]
        number += 1
    return {index: session.result for index, session in sessions.items() if index != liar}


@pytest.mark.parametrize(
    ("scheme", "program", "rounds"), PROGRAMS, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_a_flipped_bit_is_noticed(scheme: Any, program: Any, rounds: int) -> None:
    """One bit of one message of a party that goes on lying: no honest party ends with a wrong result.

    Messages of every kind, in random places; over a thousand tries in all programs together.
    """
    honest = scheme.run(program, *inputs(scheme)).results[0]
    messages: list[tuple[int, int, int, int]] = []
    scheme.run(program, *inputs(scheme), observe=lambda r, s, t, m: messages.append((r, s, t, len(m))))
    random = np.random.default_rng(5)
    noticed = 0
    tries = 1 if len(messages) > 100 else 4
    for number, sender, receiver, size in messages[:: 1 + len(messages) // 150]:
        for place in random.integers(8 * HEADER_SIZE, 8 * size, tries).tolist():

            def flip(at: int, to: int, message: bytes) -> bytes:
                if (at, to) != (number, receiver):  # noqa: B023
                    return message
                flipped = bytearray(message)
                flipped[place // 8] ^= 1 << place % 8  # noqa: B023
                return bytes(flipped)

            results = among_liars(scheme, program, sender, flip, bytes([place % 251]))
            noticed += len(results) < 2
            assert all(np.array_equal(got, honest) for got in results.values())
    assert noticed > 0.9 * tries * len(messages[:: 1 + len(messages) // 150])


@pytest.mark.parametrize("liar", range(3))
def test_both_honest_parties_stop_before_an_opening(liar: int) -> None:
    """A wrong AND: none of the honest parties sends what the liar would need to see the result."""
    rounds: list[int] = []

    def flip(at: int, to: int, message: bytes) -> bytes:
        rounds.append(at)
        return message[:-1] + bytes([message[-1] ^ 1]) if at == 0 else message

    assert among_liars(Checked3(BITS), product, liar, flip, b"") == {}
    assert max(rounds) <= 1 + checked.AND_ROUNDS


def test_an_error_of_half_the_ring_is_noticed() -> None:
    """The error that Z/2^64 misses half of the time, here as the top bit of a product: 100 runs, none wrong."""
    x = F61.element(EXTREMES)

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        return message[:-1] + bytes([message[-1] ^ 0x10]) if (number, sender) == (0, 1) else message

    for attempt in range(100):
        with pytest.raises((CheckFailedError, MessageError)):
            Checked3(F61).run(product, x, x, tamper=tamper, seed=bytes([attempt]))


def test_products_over_words_are_refused() -> None:
    """A random combination over Z/2^64 does not find every lie; nor are matrices of bits offered."""
    with pytest.raises(ValueError, match="lift to a field"):
        Checked3(Z64).run(product, SMALL, SMALL)
    with pytest.raises(ValueError, match="not checked"):
        Checked3(BITS).run(lambda side, x: side.matmul(x[:, None], x[:, :, None]), SMALL)


def test_buckets() -> None:
    """As few as the papers say: 3 with the word itself from 2^20 on, 4 from 2^14; more for few; always 2^-40."""
    assert [bucket(1 << bits) + 1 for bits in (20, 14, 9)] == [3, 4, 6]
    for count in (1, 2, 10, 1000, 20_000):
        size = bucket(count)
        total = (count + 1) * size
        for spoiled in {1, min(2, count), -(-count // 2), count}:  # by symmetry the ends are the worst
            assert (count > 1000 and 2 < spoiled < count) or log2(comb(total, spoiled * size)) >= checked.SECURITY_BITS


def test_checks_cost_what_is_said() -> None:
    """1,000 comparisons: 253,000 ANDs in some 3,960 words, so B = 4 and 12 bits more for each AND, and hashes."""
    x = words("x", 1000) >> np.uint64(2)
    plain = Replicated3(Z64).run(less, x, x[::-1].copy())
    safe = Checked3(Z64).run(less, x, x[::-1].copy())
    packed = sum(-(-1000 * width // 64) for width in (64, 64, 64, 32, 16, 8, 4, 1))
    size = bucket(packed)
    assert size == 4
    # the random ANDs, the challenge, the opened words, hashes: two of them with each opening, two at the end
    extra = 8 * (packed + 1) * size + (32 + 32) + 8 * (2 * size * packed + 3 * size) + 32 + 2 * 32 + 32
    assert {safe.sent[party] - plain.sent[party] for party in range(3)} == {extra}


def test_gates_beside_each_other_do_not_rely_on_one_check() -> None:
    """An opening beside another one checks what is not checked yet, also when the other is just checking it."""

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        return together(product(side, x, y), product(side, y, y))

    z = Checked3(F61).run(program, *inputs(Checked3(F61)))
    assert np.array_equal(z.results[0][1], F61.mul(F61.element(OTHER), F61.element(OTHER)))
    assert z.rounds == 8


def test_what_fails_reveals_nothing() -> None:
    """When a product is wrong, the result is never on its way: the run ends in the check."""
    rounds: list[int] = []

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        rounds.append(number)
        return message[:-8] + bytes(8) if number == 0 else message

    x = F61.draw(stream("x"), (10,))
    with pytest.raises(CheckFailedError):
        Checked3(F61).run(product, x, x, tamper=tamper)
    assert max(rounds) < 7


def test_conversions_are_checked_in_their_field() -> None:
    """Bits to F_p and back through a comparison of lifted values: all of it in one journal."""

    def program(side: Any, x: Any, y: Any) -> Interactive[Any]:
        bits = yield from gates.to_bits(side, x)
        shares = yield from gates.from_bits(side, bits, F127)
        opened = yield from side.over(F127).open(shares)
        return opened

    result = Checked3(Z64).run(program, SMALL, OTHER)
    assert F127.integers(result.results[0]).tolist() == SMALL.tolist()


@pytest.mark.parametrize("column", [0, 1])
def test_a_list_that_is_another_list_is_noticed(column: int) -> None:
    """One added to a value or to an index, or two values exchanged between tuples: no shuffle."""

    x = np.arange(8, 16, dtype=np.uint64)
    tuples = np.stack([x, np.arange(8, dtype=np.uint64)])
    wrong = tuples.copy()
    wrong[column, 3] += np.uint64(1)
    far = tuples.copy()
    far[column, 3] += np.uint64(1 << 63)
    exchanged = tuples.copy()
    exchanged[column, [1, 2]] = exchanged[column, [2, 1]]
    for bits in (61, 63):

        def program(side: Any, before: Any, after: Any, bits: int = bits) -> Interactive[Any]:
            yield from confirm(side, before, after, bits=bits)

        Checked3(Z64).run(program, x, tuples[:, ::-1].copy())
        for after in (wrong, far, exchanged):
            with pytest.raises(CheckFailedError, match="another list"):
                Checked3(Z64).run(program, x, after)


def test_a_flipped_bit_in_a_linear_system_is_noticed() -> None:
    """In a sample of the messages of some ninety rounds: no honest party ends with a wrong solution."""
    system = System(size=2, matrix=9, right=20, scale=1000)
    scheme = Checked3(system.field)

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        share = yield from solve(side, a, b, system)
        opened = yield from side.open(share)
        return opened

    values = (system.field.element([[2, 3], [4, -1]]), system.field.element([8, 1]))
    messages: list[tuple[int, int, int, int]] = []
    honest = scheme.run(program, *values, observe=lambda r, s, t, m: messages.append((r, s, t, len(m)))).results[0]
    for number, sender, receiver, size in messages[7 :: len(messages) // 17]:

        def flip(at: int, to: int, message: bytes) -> bytes:
            if (at, to) != (number, receiver):  # noqa: B023
                return message
            return message[:-3] + bytes([message[-3] ^ 4]) + message[-2:]

        results = among_liars(scheme, program, sender, flip, bytes([number, size % 251]), *values)
        assert all(np.array_equal(got, honest) for got in results.values())
