"""Products modulo 2^bits - 1 of numbers in 64-bit words (`mpc_ops.rings.carries`), from limbs of 16 and 32 bits.

Limbs of 16 or 32 bits are how words lie in memory anyway. A product's limb is a sum of products of limbs

    z[k] = sum of x[i] y[k - i],      y[j - L] = 2^(16 L - bits) y[j] for the L limbs of 16 bits of y,

since 2^bits = 1. So every z[k] is an inner product of x with a part of one array of 2 L numbers, and its carries
wait until all are added up. Between many numbers and as many, numpy adds these up in uint64, with x in limbs of 32
bits: below 2^60. Between matrices it is a product of matrices of floats, exact below 2^53, and the machine's BLAS.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpc_ops.rings.carries import WORD, Words, add, joined, words_for

_BLOCK = 1 << 10
"""Numbers that are multiplied in one go."""
_ALONE = 1 << 18
"""Terms up to which OpenBLAS takes one thread: parties on one machine have more to do, and threads wait for threads."""
_FLOATS = 1 << 20
"""Floats of the left matrix that are multiplied in one go."""


def multiply(x: Words, y: Words, bits: int) -> Words:
    """x y, number by number: (n, words)."""
    result = np.empty_like(x)
    limbs, wide = -(-bits // 16), -(-bits // 32)
    for start in range(0, len(x), _BLOCK):
        block = slice(start, start + _BLOCK)
        left = x[block].view("<u4")[:, :wide].T.astype(np.uint64, order="C")
        count = left.shape[1]
        right = np.empty((2 * limbs, count), dtype=np.uint64)
        right[limbs:] = y[block].view("<u2")[:, :limbs].T
        np.left_shift(right[limbs:], np.uint64(16 * limbs - bits), out=right[:limbs])
        row = right.strides[0]
        shifted = np.ndarray((wide, limbs, count), np.uint64, right, limbs * row, (-2 * row, row, 8))
        result[block] = joined(np.einsum("in,ikn->kn", left, shifted), 16, bits)
    return result


def matrix_product(x: Words, y: Words, bits: int) -> Words:
    """Stacks of matrices: (s, n, k, words) and (s, k, m, words) give (s, n, m, words)."""
    limbs = -(-bits // 16)
    most = (1 << (53 - 32 - (16 * limbs - bits))) // limbs  # terms that add up below 2^53
    parts = [
        _exact_product(x[:, :, start : start + most], y[:, start : start + most], bits)
        for start in range(0, max(x.shape[2], 1), most)
    ]
    result = parts[0]
    for part in parts[1:]:
        result = add(result, part, bits)
    return result.reshape(*x.shape[:2], y.shape[2], words_for(bits))


def _shifted(y: Words, bits: int) -> NDArray[np.float64]:
    """The limbs of (s, k, m, words) as matrices (s, k L, m L): line (i, a), column (j, b): limb b - a of y[i, j]."""
    shape, limbs = y.shape[:3], -(-bits // 16)
    twice = np.empty((*shape, 2 * limbs))
    twice[..., limbs:] = np.ascontiguousarray(y).view("<u2")[..., :limbs]
    np.multiply(twice[..., limbs:], 1 << (16 * limbs - bits), out=twice[..., :limbs])
    matrix, line, number = twice.strides[:3]
    view = np.ndarray((*shape[:2], limbs, shape[2], limbs), np.float64, twice, 8 * limbs, (matrix, line, -8, number, 8))
    return view.reshape(shape[0], shape[1] * limbs, shape[2] * limbs)


def _exact_product(x: Words, y: Words, bits: int) -> Words:
    (stack, count, terms), columns, limbs = x.shape[:3], y.shape[2], -(-bits // 16)
    result = np.empty((stack, count, columns, words_for(bits)), dtype=WORD)
    line = max(terms * limbs, 1)
    lines = max(_FLOATS // line, 1)
    matrices = max(_FLOATS // (line * max(min(lines, count), columns * limbs, 1)), 1)
    for start in range(0, stack, matrices):
        some = slice(start, start + matrices)
        shifted = _shifted(y[some], bits)
        for first in range(0, count, lines):
            left = np.ascontiguousarray(x[some, first : first + lines]).view("<u2")[..., :limbs].astype(np.float64)
            sums = _blockwise(left.reshape(*left.shape[:2], terms * limbs), shifted, limbs).reshape(-1, limbs)
            numbers = joined(sums.T.astype(np.uint64, order="C"), 16, bits)
            result[some, first : first + lines] = numbers.reshape(*left.shape[:2], columns, words_for(bits))
    return result.reshape(-1, words_for(bits))


def _blockwise(left: NDArray[np.float64], right: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    """(s, n, k) times (s, k, m), as products of matrices of `_ALONE` terms, and so many columns, at most."""
    (stack, count, inner), width = left.shape, right.shape[2]
    depth = max(min(inner, _ALONE // (16 * columns)), 1)
    lines = _ALONE // (depth * columns)
    result = np.zeros((stack, count, width))
    for start in range(0, count, lines):
        for column in range(0, width, columns):
            place = (slice(None), slice(start, start + lines), slice(column, column + columns))
            for term in range(0, inner, depth):
                terms = slice(term, term + depth)
                result[place] += np.matmul(left[:, place[1], terms], right[:, terms, place[2]])
    return result
