"""Sorting and its users, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mpc_ops.joint import ordering, ranges
from mpc_ops.joint.ranges import RangeError
from mpc_ops.joint.shuffling import shuffle
from mpc_ops.rings import F61, Z64
from mpc_ops.rounds import CheckFailedError, Interactive
from tests.mpc_ops.joint.common import Checked3, Replicated3, stream, words
from tests.mpc_ops.joint.replicated_operations import everything, everything_sorted

SCHEME = Replicated3(Z64)


def numbers(label: object, shape: tuple[int, ...], bits: int) -> Any:
    """Random signed numbers of so many bits, both ends among them."""
    drawn = words(label, int(np.prod(shape))).view(np.int64) >> np.int64(64 - bits)
    drawn[:2] = (-(1 << bits - 1), (1 << bits - 1) - 1)[: len(drawn)]
    return drawn.reshape(shape)


@pytest.mark.parametrize(
    ("shape", "bits"), [((1,), 63), ((2,), 62), ((3,), 61), ((40, 9), 59), ((200, 5), 2), ((60,), 57)]
)
def test_sorting(shape: tuple[int, ...], bits: int) -> None:
    """Values, indices, extremes, median and top k are numpy's, ties in order of their index, in at most 11 rounds."""
    x = numbers((shape, bits), shape, bits)
    result = SCHEME.run(lambda side, share: everything(side, share, bits), x.view(np.uint64))
    got = SCHEME.reveal(result.results).view(np.int64)
    assert np.array_equal(got, everything_sorted(x))
    assert result.rounds == ordering.rounds(shape[-1], bits) <= 11


def test_messages_are_as_large_as_said() -> None:
    """100 values of 32 bits: 4,950 comparisons of 32 + 8 bits, 156 ANDs and one more bit to open each; two columns are
    shuffled, in four messages.
    """
    result = SCHEME.run(lambda side, x: everything(side, x, 32), numbers("bytes", (100,), 32).view(np.uint64))
    widths = [32, 32, *(32, 16, 8, 4, 1), 8, 8, *(8, 4, 2), 1, 1]
    compared = sum(-(-4950 * width // 8) for width in widths)
    assert result.sent == tuple(messages * 2 * 100 * 8 + compared for messages in (1, 2, 1))


def test_a_shuffle_keeps_lists_together() -> None:
    """Each list comes back permuted, both columns alike, over any ring."""
    for scheme in (SCHEME, Replicated3(F61)):
        x = scheme.ring.element(np.arange(2 * 50 * 20, dtype=np.uint64).reshape(2, 50, 20))
        result = scheme.run(shuffle, x)
        got = scheme.reveal(result.results)
        assert result.rounds == 2
        assert np.array_equal(np.sort(got, axis=-1), x)
        assert np.array_equal(got[0] + np.uint64(1000), got[1])
        assert len({tuple(row) for row in (got[0] % np.uint64(20)).tolist()}) == 50


@pytest.mark.parametrize("values", [(1, 2, 3), (3, 1, 2), (7, 7, 7)])
def test_the_opened_order_says_nothing(values: tuple[int, ...]) -> None:
    """Whatever is sorted, also equal values, the opened ranks are each of the six permutations equally often."""

    def program(side: Any, x: Any) -> Interactive[Any]:
        columns = yield from shuffle(side, x)
        below = yield from ordering.comparisons(side, columns[:, 0] * np.uint64(4) + columns[:, 1], 6)
        ranks = yield from ordering.ranking(side, below, 3)
        return ranks

    lists = 3000
    x = np.stack([np.tile(Z64.element(list(row)), (lists, 1)) for row in (values, (0, 1, 2))])
    ranks = SCHEME.run(program, x).results[0]
    counts = np.bincount(ranks[:, 0] * 3 + ranks[:, 1], minlength=9)
    counts = counts[counts > 0]
    assert len(counts) == 6
    assert float(((counts - lists / 6) ** 2 / (lists / 6)).sum()) < 60  # 5 degrees of freedom: one run in 10^11


@pytest.mark.parametrize(
    ("count", "bits", "reason"), [(0, 8, "0 values"), (513, 8, "513 values"), (3, 62, "63"), (3, 0, "63")]
)
def test_what_cannot_be_sorted_is_refused(count: int, bits: int, reason: str) -> None:
    """No value, too many, or too wide for the index that tells ties apart."""
    with pytest.raises(ValueError, match=reason):
        SCHEME.run(lambda side, x: ordering.order(side, x, bits), np.zeros(count, dtype=np.uint64))
    with pytest.raises(ValueError, match="top 4 of 3"):
        ordering.Sorted(np.zeros((2, 3)), np.zeros((2, 3))).top(4)


def test_comparisons_that_contradict_each_other_are_noticed() -> None:
    """a < b < c < a is no order, whoever says so."""

    def tamper(number: int, sender: int, receiver: int, message: bytes) -> bytes:
        if number != ordering.rounds(3, 60) - 1 or sender != 0:
            return message
        return message[:16] + bytes([message[16] ^ 2]) + message[17:]

    found = 0
    for attempt in range(6):
        x = stream(attempt).words(3) >> np.uint64(8)
        try:
            SCHEME.run(lambda side, share: ordering.order(side, share, 60), x, tamper=tamper, seed=bytes([attempt]))
        except CheckFailedError:
            found += 1
    assert found >= 1


@pytest.mark.parametrize("scheme", [SCHEME, Checked3(Z64)])
@pytest.mark.parametrize("seed", range(4))
def test_values_without_an_order_are_no_lie_of_a_party(scheme: Any, seed: int) -> None:
    """Three values a third of 2^64 apart are each below the next one: whoever shared them left the declared range.

    However they are shared: what is lifted to compare the shuffled list with them is right for any word.
    """
    x = Z64.element([0, (1 << 64) // 3, 2 * ((1 << 64) // 3)]) >> np.uint64(2)  # two more bits are the index's
    for values in (x, x << np.uint64(2)):
        with pytest.raises(RangeError):
            scheme.run(
                lambda side, share: ordering.order(side, share, 60, largest=(1 << 59) - 1), values, seed=bytes([seed])
            )


@pytest.mark.parametrize("scheme", [SCHEME, Checked3(Z64)])
@pytest.mark.parametrize("shape", [(3,), (4, 9)])
def test_sorting_what_is_in_range(scheme: Any, shape: tuple[int, ...]) -> None:
    """Values whose range is tested beside, both ends among them: the same order."""
    x = np.clip(numbers(("ranged", shape), shape, 62 - 4), -(1 << 57) + 1, None)
    result = scheme.run(lambda side, share: values_of(side, share, 58, (1 << 57) - 1), x.view(np.uint64))
    assert np.array_equal(scheme.reveal(result.results).view(np.int64), np.sort(x, axis=-1))
    if scheme is SCHEME:
        assert result.rounds == 2 + ranges.rounds(x.size) + 1


def values_of(side: Any, x: Any, bits: int, largest: int) -> Interactive[Any]:
    """The sorted values."""
    result = yield from ordering.order(side, x, bits, largest=largest)
    return result.values
