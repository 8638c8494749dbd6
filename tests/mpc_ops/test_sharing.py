"""Sharing and revealing over Z/2^64, against Python integers."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from mpc_ops import sharing
from mpc_ops.cells import layout, sums
from mpc_ops.schemes import Scheme, scheme
from mpc_ops.sharing import expand, reveal, shard

MODULUS = 1 << 64
SCHEMES = [scheme("additive", n) for n in range(2, 8)] + [scheme("replicated", 3)]
words = st.sampled_from([0, 1, 1 << 63, (1 << 63) - 1, MODULUS - 1]) | st.integers(0, MODULUS - 1)
columns = st.lists(words, max_size=40).map(lambda values: np.array(values, dtype=np.uint64))
seeds = st.binary(min_size=32, max_size=32)


def all_components(column: np.ndarray, some_seeds: list[bytes]) -> list[np.ndarray]:
    components = [expand(seed, len(column)) for seed in some_seeds] + shard(column, some_seeds)[-1:]
    assert all(map(np.array_equal, components, shard(column, some_seeds)))  # the gateway commits to what parties expand
    return components


def signed(value: int) -> int:
    return value - MODULUS if value >= 1 << 63 else value


@given(columns, st.lists(seeds, min_size=1, max_size=6))
def test_components_add_up_to_the_values(column: np.ndarray, some_seeds: list[bytes]) -> None:
    """For 2 to 7 components, extreme values included, the sum modulo 2^64 is the value."""
    components = all_components(column, some_seeds)
    for row, value in enumerate(column.tolist()):
        assert sum(int(part[row]) for part in components) % MODULUS == value
    assert reveal(components).tolist() == [signed(value) for value in column.tolist()]


@given(st.sampled_from(SCHEMES), st.data())
def test_sums_by_cell_reveal_exactly(s: Scheme, data: st.DataObject) -> None:
    """Every set of enough parties reveals the exact sum of every cell, from nothing but their own sums."""
    values = data.draw(st.lists(st.integers(0, (1 << 52) - 1), max_size=30))
    cell_ids = np.array(data.draw(st.lists(st.integers(0, 4), min_size=len(values), max_size=len(values))), np.intp)
    order, rows = layout(cell_ids, 6)
    column = np.array(values, dtype=np.uint64)[order]
    components = all_components(column, [bytes([j]) * 32 for j in range(s.components - 1)])
    at_party = [{j: sums(components[j], rows) for j in s.held_by(party)} for party in range(s.parties)]

    expected = [sum(v for v, c in zip(values, cell_ids.tolist(), strict=True) if c == cell) for cell in range(6)]
    for parties in combinations(range(s.parties), s.enough):
        known = {j: part for party in parties for j, part in at_party[party].items()}
        assert reveal([known[j] for j in range(s.components)]).tolist() == expected


@given(columns, st.lists(seeds, min_size=2, max_size=5, unique=True), st.data())
def test_all_but_one_component_fit_any_value(column: np.ndarray, some_seeds: list[bytes], data: st.DataObject) -> None:
    """Whatever the other components are, each value is possible: exactly one missing component makes it so."""
    other = np.array(data.draw(st.lists(words, min_size=len(column), max_size=len(column))), dtype=np.uint64)
    assert np.array_equal(shard(other, some_seeds)[-1] - shard(column, some_seeds)[-1], other - column)


@pytest.mark.parametrize(
    "count", [0, 1, 3, sharing._BLOCK - 1, sharing._BLOCK, sharing._BLOCK + 1, 3 * sharing._BLOCK + 7]
)
def test_blocks_leave_no_seam(count: int) -> None:
    """Working in blocks changes nothing: a shorter expansion is a prefix, and shares fit across the borders."""
    seed = bytes(range(32))
    stream = expand(seed, count)
    assert stream.dtype == np.uint64
    assert stream.flags.writeable
    assert np.array_equal(stream, expand(seed, count + 5)[:count])
    values = np.arange(count, dtype=np.uint64)
    assert np.array_equal(shard(values, [seed])[-1], values - stream)


def test_the_keystream_is_aes_256_ctr() -> None:
    """FIPS 197 appendix C.3 block cipher, through the counter: block 0 of key 00..1f is AES(0), block 1 is AES(1)."""
    seed = bytes(range(32))
    ecb = Cipher(algorithms.AES256(seed), modes.ECB()).encryptor()  # noqa: S305 - one block of the reference vector
    assert ecb.update(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "8ea2b7ca516745bfeafc49904b496089"
    blocks = b"".join(ecb.update(counter.to_bytes(16, "big")) for counter in range(3))
    expected = [int.from_bytes(blocks[i : i + 8], "little") for i in range(0, 48, 8)]
    assert expand(seed, 6).tolist() == expected
    assert expand(seed, 5).tolist() == expected[:5]


def test_big_endian_machines_expand_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are little-endian on the wire of every machine: swapped exactly once where the machine is not."""
    plain = expand(bytes(32), 8)
    monkeypatch.setattr(sharing, "byteorder", "big")
    assert np.array_equal(expand(bytes(32), 8), plain.byteswap())


@given(columns)
def test_shares_look_unlike_each_other(column: np.ndarray) -> None:
    """Other seeds give other explicit components: none is the value, none repeats."""
    if len(column):
        one, two = shard(column, [b"1" * 32])[-1], shard(column, [b"2" * 32])[-1]
        assert not np.any(one == two)
        assert not np.any(one == column)


def test_values_stay_as_they_are() -> None:
    """The gateway's column is read, never written."""
    column = np.array([1, 2, 3], dtype=np.uint64)
    column.flags.writeable = False
    shard(column, [bytes(32), bytes(32)])
    parts = [column, column]
    assert reveal(parts).tolist() == [2, 4, 6]
    assert column.tolist() == [1, 2, 3]


def test_wrong_seeds_and_components_are_refused() -> None:
    """A short seed, no seed at all, or components of unequal length never give numbers."""
    with pytest.raises(ValueError, match="32 bytes"):
        expand(bytes(31), 1)
    with pytest.raises(ValueError, match="32 bytes"):
        shard(np.zeros(1, np.uint64), [bytes(16)])
    with pytest.raises(ValueError, match="two components"):
        shard(np.zeros(1, np.uint64), [])
    with pytest.raises(ValueError, match="all components"):
        reveal([])
    with pytest.raises(ValueError, match="all components"):
        reveal([np.zeros(1, np.uint64), np.zeros(2, np.uint64)])
