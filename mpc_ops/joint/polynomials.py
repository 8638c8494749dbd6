"""Polynomials at shared points, in any scheme that multiplies, with logarithmically many rounds.

Whole numbers: the result is exact modulo the ring's order, and it is the caller's ranges that keep it below.
"""

from __future__ import annotations

import numpy as np

from mpc_ops.joint.base import Scheme, inner, plus
from mpc_ops.rounds import Array, Interactive


def powers(scheme: Scheme, x: Array, highest: int) -> Interactive[Array]:
    """x, x^2 .. x^highest along a new last axis. Rounds: log2 of `highest`, rounded up; one product for each power.

    Each round multiplies what is known by its highest power. Raises ValueError for a power below 1.
    """
    if highest < 1:
        raise ValueError("powers begin with the first")
    known = x[..., None]
    while (count := known.shape[-1]) < highest:
        factors = known[..., : highest - count]
        products = yield from scheme.multiply(factors, np.repeat(known[..., -1:], factors.shape[-1], axis=-1))
        known = np.concatenate([known, products], axis=-1)
    return known


def evaluate(scheme: Scheme, coefficients: Array, x: Array) -> Interactive[Array]:
    """c0 + c1 x + .. for public coefficients (degree + 1,), from the constant on. Rounds: log2 degree, rounded up."""
    constant = np.broadcast_to(coefficients[0], x.shape[1:])
    if len(coefficients) == 1:
        return scheme.public(np.ascontiguousarray(constant))
    terms = yield from powers(scheme, x, len(coefficients) - 1)
    ring = scheme.ring
    return plus(scheme, ring.total(ring.mul(terms, coefficients[1:]), -1), constant)


def evaluate_shared(scheme: Scheme, coefficients: Array, x: Array) -> Interactive[Array]:
    """The same for a share of the coefficients (held, degree + 1). Rounds: one more; one element for each result."""
    constant = np.broadcast_to(coefficients[:, :1].reshape(-1, *[1] * (x.ndim - 1)), x.shape)
    if coefficients.shape[1] == 1:
        return constant.copy()
    terms = yield from powers(scheme, x, coefficients.shape[1] - 1)
    slopes = coefficients[:, 1:].reshape(-1, *[1] * (x.ndim - 1), coefficients.shape[1] - 1)
    products = yield from inner(scheme, terms, np.broadcast_to(slopes, terms.shape))
    return scheme.ring.add(products, constant)
