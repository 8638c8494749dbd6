"""Rows by cell, against dictionaries of Python integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_ops.cells import layout, sums

CELLS = [1, 2, 12, 256, 257, 1 << 16, (1 << 16) + 1, 1 << 20]


@given(st.data())
def test_sums_by_cell(data: st.DataObject) -> None:
    """Sums wrap modulo 2^64, and cells without rows, first, last and in between, give 0."""
    cells = data.draw(st.sampled_from(CELLS[:6]))
    rows = data.draw(st.lists(st.tuples(st.integers(0, cells - 1), st.integers(0, (1 << 64) - 1)), max_size=60))
    ids = np.array([cell for cell, _ in rows], dtype=np.intp)
    order, counts = layout(ids, cells)
    result = sums(np.array([value for _, value in rows], dtype=np.uint64)[order], counts)

    expected = dict.fromkeys(range(cells), 0)
    for cell, value in rows:
        expected[cell] = (expected[cell] + value) % (1 << 64)
    assert result.dtype == np.uint64
    assert result.tolist() == list(expected.values())


@pytest.mark.parametrize("cells", CELLS)
def test_layout_is_stable(cells: int) -> None:
    """Rows of one cell keep their order, whichever width the sort works on."""
    ids = np.random.default_rng(7).integers(max(0, cells - 300), cells, 2000).astype(np.intp)
    ids[:3] = (0, cells - 1, cells // 2)
    order, rows = layout(ids, cells)
    assert order.dtype == np.intp
    assert rows.dtype == np.int64
    assert order.tolist() == sorted(range(len(ids)), key=ids.tolist().__getitem__)
    assert np.array_equal(rows, np.bincount(ids, minlength=cells))


def test_no_rows_and_no_cells() -> None:
    """A window without readings is a batch like any other."""
    order, rows = layout(np.array([], dtype=np.intp), 4)
    assert (order.tolist(), rows.tolist()) == ([], [0, 0, 0, 0])
    assert sums(np.array([], dtype=np.uint64), rows).tolist() == [0, 0, 0, 0]
    assert sums(np.array([], dtype=np.uint64), np.array([], dtype=np.int64)).tolist() == []


@pytest.mark.parametrize("ids", [[-1], [3], [0, 1, 1 << 40]])
def test_ids_out_of_range_are_refused(ids: list[int]) -> None:
    """An id outside the table would land in another cell once it is narrowed."""
    with pytest.raises(ValueError, match="out of range"):
        layout(np.array(ids, dtype=np.intp), 3)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [1],
        [2, 2],
        [4, -1],
        [-1, 4],
        [0, 0],
        [(1 << 63) - 1, (1 << 63) - 1, 5],
        [1 << 62, 1 << 62, 1 << 62, (1 << 62) + 3],
    ],
)
def test_rows_that_do_not_add_up_are_refused(rows: list[int]) -> None:
    """A table of another organisation that lies about its rows, also by wrapping around 2^64, sums nothing."""
    with pytest.raises(ValueError, match="rows per cell"):
        sums(np.ones(3, dtype=np.uint64), np.array(rows, dtype=np.int64))
