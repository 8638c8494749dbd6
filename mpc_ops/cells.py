"""Rows by cell: laying a batch out so that each cell is one run, and summing the runs.

The gateway lays out once, before sharing; then neither seeds nor columns carry a row's cell, only the
number of rows per cell does, and a party sums runs instead of scattering.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def layout(cell_ids: NDArray[np.intp], cells: int) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The stable order of rows by cell: (order: intp[n], rows: int64[cells]).

    `column[order]` is the column laid out by cell, `rows[c]` says how many rows cell c has.
    Raises ValueError where an id is not in 0..cells-1.
    """
    if cell_ids.size and not 0 <= int(cell_ids.min()) <= int(cell_ids.max()) < cells:
        raise ValueError("a cell id is out of range")
    rows = np.bincount(cell_ids, minlength=cells).astype(np.int64, copy=False)
    # numpy sorts 8 and 16 bits by radix, several times faster than it compares longer ones
    if cells <= 1 << 8:
        return np.argsort(cell_ids.astype(np.uint8), kind="stable"), rows
    order = np.argsort(cell_ids.astype(np.uint16), kind="stable")  # the low 16 bits
    if cells > 1 << 16:
        if cells > 1 << 32:
            raise ValueError("more than 2^32 cells")
        high = (cell_ids[order] >> 16).astype(np.uint16)
        order = order[np.argsort(high, kind="stable")]
    return order, rows


def sums(column: NDArray[np.uint64], rows: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Sum uint64[n], laid out by cell, modulo 2^64: uint64[cells]; a cell without rows gives 0.

    Raises ValueError where `rows` do not add up to n: they come from another organisation.
    """
    count = len(column)
    if rows.size and not 0 <= int(rows.min()) <= int(rows.max()) <= count:  # and so their sum cannot wrap
        raise ValueError("rows per cell must lie between 0 and the number of rows")
    ends = np.cumsum(rows)
    if int(ends[-1] if rows.size else 0) != count:
        raise ValueError("rows per cell do not add up to the number of rows")
    result = np.zeros(len(rows), dtype=np.uint64)
    # reduceat gives column[start] for an empty run, so empty cells are left out of it
    filled = rows > 0
    if count:
        result[filled] = np.add.reduceat(column, (ends - rows)[filled])
    return result
