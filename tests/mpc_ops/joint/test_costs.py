"""Rounds and bytes of the work that `make bench` measures, counted from what the protocols say they send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import pytest

from benchmarks.joint_work import COMPARISONS, LINEAR, MAXIMUM, MEDIAN, PRODUCTS, SUM, SYSTEM, operations
from mpc_ops.joint.checked import AND_ROUNDS, FIELD_ROUNDS, bucket
from mpc_ops.rings import F61, F127
from tests.vectors.measured import run_operation

DIGEST = 32
CHALLENGE = 4 * 8 + DIGEST
Sent: TypeAlias = tuple[int, int, int]
"""Bytes from each party."""
OPERATIONS = {operation.name: operation for operation in operations()}


def octets(bits: int) -> int:
    return -(-bits // 8)


def ands_of_comparisons(count: int, parts: Sequence[int]) -> list[list[int]]:
    """Bytes in each round, of each product: carry-save, generate, and a tree of groups for each part of a word, the
    lowest first, which needs no propagate in the end; then the two are joined.
    """
    rounds: list[list[int]] = []
    for place, width in enumerate(parts):
        tree = [width >> level for level in range(width.bit_length() - 1)]
        tree[-1] = tree[-1] if place else 1
        for number, bits in enumerate((width, width, *tree)):
            rounds += [[]] if number == len(rounds) else []
            rounds[number].append(octets(count * bits))
    return rounds + [[octets(count)]] * (len(parts) - 1)


def checked_ands(rounds: Sequence[Sequence[int]]) -> int:
    """Products of so many bytes, in words of 64 bits, each compared with a bucket of random ones, made beside them.

    Each part of a word goes on by itself: it looks at what there is when it has taken its own products in.
    """
    words = made = 0
    under_way: dict[int, tuple[int, int]] = {}
    for sizes in [*rounds, []]:
        for part in range(2):
            more, lacking = under_way.pop(part, (0, 0))
            words, made = words + more, made + lacking
            if part < len(sizes):
                more = -(-sizes[part] // 8)
                under_way[part] = more, max(0, (words + more + 1) * bucket(words + more) - made)
    opened = 8 * (2 * bucket(words) * words + 3 * bucket(words)) + DIGEST
    return 8 * made + CHALLENGE + opened + 2 * DIGEST


def checked_products(count: int, width: int) -> int:
    """One element for each, one for their sum, the random factor opened, the test masked and opened."""
    return CHALLENGE + width * count + width + (width + DIGEST + CHALLENGE) + width + (width + DIGEST)


def confirmed(count: int) -> int:
    """Three lists lifted, with one AND and two conversions of two bits for each value; the inverses; the test."""
    width, single = F127.size(1), octets(3 * count)
    lifted = single + 2 * 2 * 3 * count * width
    inverses = 2 * count * width + (2 * count * width + DIGEST)
    products = 2 * 2 * 3 * count + 2 * count
    checks = checked_ands([[single]]) + checked_products(products, width)
    return CHALLENGE + lifted + inverses + width + checks + width + DIGEST


def sort(count: int, *, checked: bool) -> Sent:
    """Values and indices shuffled, in two messages from one party and one from each other; all pairs compared, in words
    of 32 + 8 bits, and opened; one value.
    """
    pairs = count * (count - 1) // 2
    ands = ands_of_comparisons(pairs, (32, 8))
    both = total(ands) + octets(pairs) + 8
    if checked:
        both += confirmed(count) + checked_ands(ands) + 2 * DIGEST
    first, second, third = (messages * 2 * 8 * count + both for messages in (1, 2, 1))
    return first, second, third


def total(rounds: Sequence[Sequence[int]]) -> int:
    return sum(map(sum, rounds))


COMPARED = ands_of_comparisons(1000, (64,))
CHECKS_COMPARED = checked_ands(COMPARED) + DIGEST
WIDTH = F61.size(1)
EXPECTED: dict[tuple[str, str], tuple[int, Sent]] = {
    (SUM, "unchecked"): (1, (8,) * 3),
    (SUM, "checked"): (1, (8 + DIGEST,) * 3),
    (PRODUCTS, "unchecked"): (2, (2 * 1000 * WIDTH,) * 3),
    (PRODUCTS, "checked"): (1 + FIELD_ROUNDS + 1, (2 * 1000 * WIDTH + checked_products(1000, WIDTH) + DIGEST,) * 3),
    (COMPARISONS, "unchecked"): (len(COMPARED) + 1, (total(COMPARED) + octets(1000),) * 3),
    (COMPARISONS, "checked"): (
        len(COMPARED) + AND_ROUNDS + 1,
        (total(COMPARED) + CHECKS_COMPARED + octets(1000),) * 3,
    ),
}
for NAME in (MAXIMUM, MEDIAN):
    EXPECTED[NAME, "unchecked"] = (2 + 8 + 1 + 1, sort(100, checked=False))
    EXPECTED[NAME, "checked"] = (2 + 11 + 1 + 1, sort(100, checked=True))


@pytest.mark.parametrize(("name", "scheme"), EXPECTED, ids=" ".join)
def test_rounds_and_bytes_are_what_the_protocols_say(name: str, scheme: str) -> None:
    """To the byte, at every party."""
    result, _ = run_operation(OPERATIONS[name], scheme)
    assert (result.rounds, result.sent) == EXPECTED[name, scheme]


@pytest.mark.parametrize("scheme", ["unchecked", "checked"])
def test_a_linear_system_takes_the_same_whatever_is_drawn(scheme: str) -> None:
    """Rounds and bytes depend on the declared ranges, not on what the masks are; its vector holds how many."""
    first, transcript = run_operation(OPERATIONS[LINEAR], scheme)
    second, other = run_operation(OPERATIONS[LINEAR], scheme, seed=b"another")
    assert transcript != other
    assert (first.rounds, first.sent) == (second.rounds, second.sent)
    if scheme == "unchecked":
        assert first.rounds == SYSTEM.rounds() + 1
