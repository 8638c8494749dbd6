"""Comparing two samples of what a party sees, by counting."""

from __future__ import annotations

from typing import Any

import numpy as np

LIMIT = 14.0
"""Standard deviations of a chi-square: far beyond what some thousand comparisons reach by chance."""


def words_of(data: bytes, count: int) -> Any:
    octets = np.frombuffer(data, dtype=np.uint8)
    if len(octets) % count or len(octets) < count:
        return octets.astype(np.uint64)
    rows = octets.reshape(count, -1)[:, :8].astype(np.uint64)
    return (rows << (np.arange(rows.shape[1], dtype=np.uint64) * np.uint64(8))).sum(axis=1, dtype=np.uint64)


def distance(first: Any, second: Any) -> float:
    """Of two samples' highest and lowest three bits: the larger two-sample chi-square, in units of its deviation."""
    worst = 0.0
    top = np.uint64(max(int(first.max(initial=0)), int(second.max(initial=0)), 1).bit_length())
    for shift in (np.uint64(0), top - np.uint64(min(3, int(top)))):
        a, b = (np.bincount(((x >> shift) & np.uint64(7)).astype(np.intp), minlength=8) for x in (first, second))
        used = (a + b) > 0
        chi = float((((a - b) ** 2)[used] / (a + b)[used]).sum())
        freedom = max(int(used.sum()) - 1, 1)
        worst = max(worst, (chi - freedom) / (2 * freedom) ** 0.5)
    return worst
