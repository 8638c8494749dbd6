"""Reed-Solomon decoding of Shamir shares: wrong ones are found, and corrected where there are enough.

With n points of a polynomial of degree t, c <= (n - t - 1) // 2 wrong ones can be corrected, and then n - t - 1 - c
noticed (Gao, "A new algorithm for decoding Reed-Solomon codes", 2003: the extended Euclidean algorithm, as Berlekamp
and Welch without their linear system). Python integers: it runs only for values whose shares do not agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpc_ops.rounds import CheckFailedError

Polynomial = list[int]
"""Coefficients from the constant on, without zeros at the end; [] is 0."""


def decode(
    points: Sequence[int], values: Sequence[int], degree: int, p: int, *, most: int
) -> tuple[Polynomial, list[int]]:
    """The polynomial of at most `degree` through all but `most` values or fewer, and the indices of those.

    Modulo the prime p; points are distinct. Raises CheckFailedError where too many are wrong to say which.
    """
    count = len(points)
    f, rest = _euclid(points, values, degree, p)
    wrong = [i for i in range(count) if _at(f, points[i], p) != values[i] % p]
    if rest or len(f) > degree + 1 or len(wrong) > min(most, (count - degree - 1) // 2):
        raise CheckFailedError("shares do not agree, and too many may be wrong to tell which")
    return f, wrong


def interpolation(points: Sequence[int], targets: Sequence[int], p: int) -> list[list[int]]:
    """Lagrange's weights: row for each target, so that f(target) = sum of weight * f(point) for deg f < len(points)."""
    rows = []
    for target in targets:
        row = []
        for i, x in enumerate(points):
            top = bottom = 1
            for j, other in enumerate(points):
                if j != i:
                    top, bottom = top * (target - other) % p, bottom * (x - other) % p
            row.append(top * pow(bottom, -1, p) % p)
        rows.append(row)
    return rows


def _euclid(points: Sequence[int], values: Sequence[int], degree: int, p: int) -> tuple[Polynomial, Polynomial]:
    """Gao's quotient and remainder: f when the remainder is 0."""
    full: Polynomial = [1]
    through: Polynomial = []
    for x, y in zip(points, values, strict=True):  # Newton: `through` meets all points so far, `full` vanishes there
        step = (y - _at(through, x, p)) * pow(_at(full, x, p), -1, p) % p
        through = _plus(through, [step * c for c in full], p)
        full = _plus([0, *full], [-x * c for c in full], p)
    old, new = full, through
    old_v: Polynomial = []
    new_v: Polynomial = [1]
    while 2 * (len(new) - 1) >= len(points) + degree + 1:
        quotient, rest = _divide(old, new, p)
        old, new = new, rest
        old_v, new_v = new_v, _plus(old_v, [-c for c in _times(quotient, new_v, p)], p)
    return _divide(new, new_v, p)


def _at(f: Polynomial, x: int, p: int) -> int:
    value = 0
    for c in reversed(f):
        value = (value * x + c) % p
    return value


def _trimmed(f: Polynomial) -> Polynomial:
    while f and f[-1] == 0:
        f.pop()
    return f


def _plus(f: Sequence[int], g: Sequence[int], p: int) -> Polynomial:
    size = max(len(f), len(g))
    return _trimmed([((f[i] if i < len(f) else 0) + (g[i] if i < len(g) else 0)) % p for i in range(size)])


def _times(f: Polynomial, g: Polynomial, p: int) -> Polynomial:
    result = [0] * max(len(f) + len(g) - 1, 0)
    for i, a in enumerate(f):
        for j, b in enumerate(g):
            result[i + j] = (result[i + j] + a * b) % p
    return _trimmed(result)


def _divide(f: Polynomial, g: Polynomial, p: int) -> tuple[Polynomial, Polynomial]:
    rest = list(f)
    quotient = [0] * max(len(f) - len(g) + 1, 0)
    lead = pow(g[-1], -1, p)
    for shift in range(len(f) - len(g), -1, -1):
        c = rest[shift + len(g) - 1] * lead % p
        quotient[shift] = c
        for i, b in enumerate(g):
            rest[shift + i] = (rest[shift + i] - c * b) % p
    return _trimmed(quotient), _trimmed(rest)
