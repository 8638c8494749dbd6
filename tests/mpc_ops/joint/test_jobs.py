"""Jobs over aggregate shares, checked and not: their results, what they hold back, and what they refuse at once."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from examples.aes_128 import aes_128
from mpc_ops.joint.checked import Checked
from mpc_ops.joint.jobs import (
    Circuit,
    LeastSquares,
    LinearSolve,
    Polynomial,
    Product,
    Rank,
    Threshold,
    numbers,
    opened,
)
from mpc_ops.joint.linear import SingularError, System
from mpc_ops.joint.netlist import parse
from mpc_ops.rings import Z64
from mpc_ops.rounds import CheckFailedError
from mpc_ops.sessions import HEADER_SIZE
from tests.mpc_ops.joint.common import Checked3, Replicated3

FULL_ADDER = "5 8\n1 3\n2 1 1\n\n2 1 0 1 3 XOR\n2 1 3 2 6 XOR\n2 1 0 1 4 AND\n2 1 3 2 5 AND\n2 1 4 5 7 XOR\n"
SYSTEM = System(size=2, matrix=100, right=300, scale=1000)
RIDGE = LeastSquares(rows=3, size=2, matrix=100, right=300, scale=1000, ridge=7)


def fitted(rows: list[list[int]], right: list[int], *, scale: int, ridge: int) -> list[int]:
    """The least squares of two unknowns by Cramer's rule, rounded half up."""
    g = [[sum(row[i] * row[k] for row in rows) + (ridge if i == k else 0) for k in range(2)] for i in range(2)]
    h = [sum(row[i] * value for row, value in zip(rows, right, strict=True)) for i in range(2)]
    det = g[0][0] * g[1][1] - g[0][1] * g[1][0]
    exact = [
        Fraction(h[0] * g[1][1] - h[1] * g[0][1], det),
        Fraction(g[0][0] * h[1] - g[1][0] * h[0], det),
    ]
    return [floor(scale * x + Fraction(1, 2)) for x in exact]


ADDER = parse(FULL_ADDER)
GOOD = [
    (Threshold(limits=(5, 5, -7), largest=10**6), [5, 6, -6], [0, 1, 1]),
    (Threshold(limits=(), largest=10**6), [], []),
    (Rank(columns=5, largest=10**6, places=(0, -1, 2), what="values"), [3, -9, 10**6, 3, 0], [10**6, -9, 3]),
    (Rank(columns=4, largest=9, places=(2,), what="values"), [1, 8, 2, 5], [2]),
    (Rank(columns=3, largest=100, places=(0,), what="indices"), [7, 99, -3], [1]),
    (Product(pairs=3, first=10**9, second=1 << 62), [10**9, -2, 3, 1 << 62, 5, 7], [(10**9 << 62) - 10 + 21]),
    (
        Polynomial(coefficients=(7, -3, 0, 1), largest=10**6, points=3),
        [0, 2, -(10**6)],
        [7, 9, 7 + 3 * 10**6 - 10**18],
    ),
    (LinearSolve(system=SYSTEM), [2, 3, 4, -1, 8, 1], [786, 2143]),
    (LinearSolve(system=SYSTEM, ridge=1), [1, 1, 1, 1, 3, 3], [1000, 1000]),
    (
        RIDGE,
        [2, 3, -4, 100, 6, 0, 8, -300, 10],
        fitted([[2, 3], [-4, 100], [6, 0]], [8, -300, 10], scale=1000, ridge=7),
    ),
    (Circuit(netlist=ADDER, widths=(3,)), [7], [1, 1]),
    (Circuit(netlist=ADDER, widths=(1, 2)), [1, 1], [0, 1]),
    (
        Circuit(netlist=ADDER, widths=(2, 1), instances=70),
        [part for k in range(70) for part in (k % 4, k // 4 % 2)],
        [bit for k in range(70) for bit in divmod(((k & 1) + (k >> 1 & 1) + (k // 4 % 2)), 2)[::-1]],
    ),
]
NAMES = [type(case[0]).__name__ for case in GOOD]


@pytest.mark.parametrize("kind", [Replicated3, Checked3])
@pytest.mark.parametrize(("job", "columns", "expected"), GOOD, ids=NAMES)
def test_jobs(kind: Any, job: Any, columns: list[int], expected: list[int]) -> None:
    """All parties get the same whole numbers, as many as the job says."""
    result = kind(Z64).run(lambda side, share: opened(side, job, share), Z64.element(columns))
    assert result.results == (expected,) * 3
    assert len(expected) == job.results


@pytest.mark.parametrize(("job", "columns", "expected"), GOOD, ids=NAMES)
def test_a_result_leaves_as_checked_shares(job: Any, columns: list[int], expected: list[int]) -> None:
    """Nothing that it depends on is unchecked when a party has its share, and only all shares together are a result."""
    journals = []

    def program(side: Checked, share: Any) -> Any:
        result = yield from job.shares(side, share)
        journals.append(len(side.journal))
        return result

    shares = Checked3(Z64).run(program, Z64.element(columns)).results
    assert journals == [0, 0, 0]
    assert all(share.values.shape == (2, job.elements) and share.ring == job.ring for share in shares)
    revealed = Replicated3(job.ring).reveal([share.values for share in shares])
    assert numbers(job, revealed) == expected
    with pytest.raises(ValueError, match="elements"):
        numbers(job, np.concatenate([revealed, revealed[:1], revealed[:1], job.ring.element([1])]))


@pytest.mark.parametrize(("job", "columns", "expected"), GOOD, ids=NAMES)
def test_a_lie_is_noticed_or_changes_nothing(job: Any, columns: list[int], expected: list[int]) -> None:
    """One party flips a bit of what it sends in one round: no share, or copies that differ, or the right result."""
    honest = Checked3(Z64).run(job.shares, Z64.element(columns))
    noticed = 0
    for number in sorted({0, 1, honest.rounds // 3, honest.rounds // 2, honest.rounds - 1}):

        def tamper(round_number: int, sender: int, receiver: int, message: bytes, at: int = number) -> bytes:
            lies = round_number == at and (sender, receiver) == (1, 0) and len(message) > HEADER_SIZE
            start, rest = message[:HEADER_SIZE], message[HEADER_SIZE:]
            return start + bytes([rest[0] ^ 1]) + rest[1:] if lies else message

        try:
            shares = Checked3(Z64).run(job.shares, Z64.element(columns), tamper=tamper).results
            assert numbers(job, Replicated3(job.ring).reveal([share.values for share in shares])) == expected
        except CheckFailedError:
            noticed += 1
    assert noticed or not columns


def test_aes_over_columns_of_32_bits() -> None:
    """FIPS 197, C.1: key and block in words of 32 bits, lowest wires first; one number out; two instances."""
    key, block = 0x000102030405060708090A0B0C0D0E0F, 0x00112233445566778899AABBCCDDEEFF
    job = Circuit(netlist=parse(aes_128()), widths=(32,) * 8, instances=2)
    words = [part >> 32 * place & 0xFFFFFFFF for part in (key, block) for place in range(4)]
    result = Replicated3(Z64).run(lambda side, share: opened(side, job, share), Z64.element(words * 2))
    assert result.results[0] == [0x69C4E0D86A7B0430D8CDB78070B4C55A] * 2


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Threshold(limits=(1 << 62,), largest=1 << 62), "distance"),
        (lambda: Rank(columns=3, largest=1, places=(3,), what="values"), "none of 3"),
        (lambda: Rank(columns=513, largest=1, places=(3,), what="values"), "1 to 512"),
        (lambda: Rank(columns=0, largest=1, places=(), what="values"), "1 to 512"),
        (lambda: Rank(columns=200, largest=1 << 56, places=(0,), what="values"), "bits of a value"),
        (lambda: Product(pairs=4, first=1 << 62, second=1 << 62), "sum of products"),
        (lambda: Polynomial(coefficients=(0, 0, 0, 1), largest=1 << 42, points=1), "polynomial"),
        (lambda: Product(pairs=1, first=1, second=1 << 63), "a column"),
        (lambda: Polynomial(coefficients=(1, 1), largest=1 << 63, points=1), "a column"),
        (lambda: LinearSolve(system=System(size=1, matrix=1 << 63, right=1, scale=1)), "a column"),
        (lambda: LeastSquares(rows=1, size=1, matrix=1, right=1 << 63, scale=1), "a column"),
        (lambda: Polynomial(coefficients=(), largest=1, points=1), "coefficient"),
        (lambda: LeastSquares(rows=10, size=10, matrix=1 << 62, right=1, scale=1), "bits need more"),
        (lambda: LeastSquares(rows=0, size=2, matrix=1, right=1, scale=1), "a row"),
        (lambda: Circuit(netlist=parse("1 67\n1 66\n1 1\n2 1 0 1 66 AND\n"), widths=(66,)), "1 to 64"),
        (lambda: Circuit(netlist=ADDER, widths=(1, 1)), "3 input wires"),
    ],
)
def test_what_could_overflow_is_refused_at_once(make: Any, reason: str) -> None:
    """When the job is made, before any window."""
    with pytest.raises(ValueError, match=reason):
        make()


def test_another_number_of_columns_is_refused() -> None:
    """Every job."""
    for job, columns, _ in GOOD:
        with pytest.raises(ValueError, match="columns"):
            Replicated3(Z64).run(lambda side, share, job=job: opened(side, job, share), Z64.element([*columns, 1]))


def test_a_singular_system_is_no_result() -> None:
    """It is said by its error, at all parties."""
    for job, columns in (
        (LinearSolve(system=SYSTEM), [1, 2, 2, 4, 1, 1]),
        (LeastSquares(rows=2, size=2, matrix=9, right=9, scale=1), [1, 2, 2, 4, 1, 1]),
    ):
        with pytest.raises(SingularError):
            Checked3(Z64).run(lambda side, share, job=job: opened(side, job, share), Z64.element(columns))


def test_the_highest_of_equal_ones_is_the_last() -> None:
    """Ties are in the order of the index, also where they come first."""
    job = Rank(columns=4, largest=9, places=(0, 1, 2, 3), what="indices")
    result = Replicated3(Z64).run(lambda side, share: opened(side, job, share), np.array([4, 9, 9, 4], dtype=np.uint64))
    assert result.results[0] == [2, 1, 3, 0]
