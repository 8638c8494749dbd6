"""Rounds and bytes of the work that `make bench` measures, counted from what the protocols say they send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from benchmarks.joint_work import COMPARISONS, LINEAR, MAXIMUM, MEDIAN, PRODUCTS, SUM, SYSTEM, operations
from mpc_ops.joint.checked import AND_ROUNDS, FIELD_ROUNDS, bucket
from mpc_ops.rings import F61, F127
from tests.vectors.measured import run_operation

DIGEST = 32
CHALLENGE = 4 * 8 + DIGEST
OPERATIONS = {operation.name: operation for operation in operations()}


def octets(bits: int) -> int:
    return -(-bits // 8)


def ands_of_comparisons(count: int) -> Iterator[int]:
    """Bytes in each round: carry-save, generate, and a tree of groups, the last of which needs no propagate."""
    yield from (8 * count, 8 * count)
    yield from (octets(count * width) for width in (64, 32, 16, 8, 4))
    yield octets(count)


def checked_ands(sizes: Sequence[int]) -> int:
    """Products of so many bytes, in words of 64 bits, each compared with a bucket of random ones."""
    words = sum(-(-size // 8) for size in sizes)
    size = bucket(words)
    made = 8 * (words + 1) * size
    opened = 8 * (2 * size * words + 3 * size) + DIGEST
    return made + CHALLENGE + opened + 2 * DIGEST


def checked_products(count: int, width: int) -> int:
    """One element for each, one for their sum, the random factor opened, the test masked and opened."""
    return CHALLENGE + width * count + width + (width + DIGEST + CHALLENGE) + width + (width + DIGEST)


def confirmed(count: int) -> int:
    """Three lists lifted, with one AND and two conversions of two bits for each value; the inverses; the test."""
    width, single = F127.size(1), octets(3 * count)
    lifted = single + 2 * 2 * 3 * count * width
    inverses = 2 * count * width + (2 * count * width + DIGEST)
    products = 2 * 2 * 3 * count + 2 * count + 1
    checks = checked_ands([single]) + checked_products(products, width)
    return CHALLENGE + lifted + inverses + width + checks + width + DIGEST


def sort(count: int, *, checked: bool) -> int:
    """Values and indices shuffled, in two of three steps at each party; all pairs compared and opened; one value."""
    pairs = count * (count - 1) // 2
    ands = list(ands_of_comparisons(pairs))
    both = 2 * 2 * 8 * count + sum(ands) + octets(pairs) + 8
    return both + confirmed(count) + checked_ands(ands) + 2 * DIGEST if checked else both


COMPARED = list(ands_of_comparisons(1000))
WIDTH = F61.size(1)
EXPECTED = {
    (SUM, "unchecked"): (1, 8),
    (SUM, "checked"): (1, 8 + DIGEST),
    (PRODUCTS, "unchecked"): (2, 2 * 1000 * WIDTH),
    (PRODUCTS, "checked"): (1 + FIELD_ROUNDS + 1, 2 * 1000 * WIDTH + checked_products(1000, WIDTH) + DIGEST),
    (COMPARISONS, "unchecked"): (8 + 1, sum(COMPARED) + octets(1000)),
    (COMPARISONS, "checked"): (8 + AND_ROUNDS + 1, sum(COMPARED) + checked_ands(COMPARED) + octets(1000) + DIGEST),
}
for NAME in (MAXIMUM, MEDIAN):
    EXPECTED[NAME, "unchecked"] = (3 + 8 + 1 + 1, sort(100, checked=False))
    EXPECTED[NAME, "checked"] = (3 + 13 + 1 + 1, sort(100, checked=True))


@pytest.mark.parametrize(("name", "scheme"), EXPECTED, ids=" ".join)
def test_rounds_and_bytes_are_what_the_protocols_say(name: str, scheme: str) -> None:
    """To the byte, at every party."""
    result, _ = run_operation(OPERATIONS[name], scheme)
    assert (result.rounds, result.sent) == (EXPECTED[name, scheme][0], (EXPECTED[name, scheme][1],) * 3)


@pytest.mark.parametrize("scheme", ["unchecked", "checked"])
def test_a_linear_system_takes_the_same_whatever_is_drawn(scheme: str) -> None:
    """Rounds and bytes depend on the declared ranges, not on what the masks are; its vector holds how many."""
    first, transcript = run_operation(OPERATIONS[LINEAR], scheme)
    second, other = run_operation(OPERATIONS[LINEAR], scheme, seed=b"another")
    assert transcript != other
    assert (first.rounds, first.sent) == (second.rounds, second.sent)
    if scheme == "unchecked":
        assert first.rounds == SYSTEM.rounds + 1
