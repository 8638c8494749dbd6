"""Every operation of joint computation, the schemes that offer it, and what it must give.

Here those that most schemes have; `replicated_operations` holds the others. The tests try each on many cases, and see
that every other scheme refuses it; the table in docs/joint-computation.md is made from these lists. A case is one
result: an element, an entry of a product, a word, a value of a sorted list, an instance of a circuit, a quotient, a
system.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc_ops.joint import base, polynomials
from mpc_ops.rings import BITS, F61, F127, Z64, Ring
from mpc_ops.rounds import Array, Interactive
from tests.mpc_ops.joint import cases
from tests.mpc_ops.joint.cases import Exact, several
from tests.mpc_ops.joint.common import AdditiveDealt, Checked3, Replicated3, Shamir5

MANY = 100_000
ADDITIVE, SHAMIR = AdditiveDealt(3), Shamir5(5, 2)
WORDS, SMALL, LARGE, BOOLEAN = (Replicated3(ring) for ring in (Z64, F61, F127, BITS))
SURE_WORDS, SURE_SMALL, SURE_LARGE, SURE_BOOLEAN = (Checked3(ring) for ring in (Z64, F61, F127, BITS))
EVERY = (ADDITIVE, SHAMIR, WORDS, SMALL, LARGE, BOOLEAN, SURE_WORDS, SURE_SMALL, SURE_LARGE, SURE_BOOLEAN)
NO_WORDS = (ADDITIVE, SHAMIR, SMALL, LARGE, BOOLEAN, SURE_SMALL, SURE_LARGE, SURE_BOOLEAN)
NO_FIELD = (ADDITIVE, SHAMIR, WORDS, SMALL, BOOLEAN, SURE_WORDS, SURE_SMALL, SURE_BOOLEAN)
NO_BITS = (ADDITIVE, SHAMIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`program` ends with opened values, for `inputs(ring, cases)` those of `expected(ring, *inputs)`, up to `errors`.

    `expected` gets and gives arrays of Python integers. `schemes`: on how many cases each is tried. `refused`: those
    that must say that they do not offer it. `chunk`: the first axis of inputs and result counts cases, and so many of
    them are run at a time, for the sake of memory.
    """

    name: str
    program: Callable[..., Interactive[Array]]
    inputs: Callable[[Ring, int], list[Array]]
    expected: Callable[..., Any]
    schemes: Mapping[Any, int]
    refused: tuple[Any, ...] = ()
    result: Ring | None = None
    errors: tuple[int, ...] = (0,)
    chunk: int | None = None


def opened(program: Callable[..., Interactive[Array]], ring: Ring | None = None) -> Callable[..., Interactive[Array]]:
    """The program, and its result opened."""

    def whole(side: Any, *shares: Array) -> Interactive[Array]:
        share = yield from program(side, *shares)
        result = yield from (side if ring is None else side.over(ring)).open(share)
        return result

    return whole


def local(of: Callable[..., Array]) -> Callable[..., Interactive[Array]]:
    """What takes no message, and its opening."""

    def whole(side: Any, *shares: Array) -> Interactive[Array]:
        result = yield from side.open(of(side, *shares))
        return result

    return whole


def public(ring: Ring, *shape: int) -> Array:
    """Constants that everybody knows, the same in a program and in what is expected."""
    return cases.some(ring, "public", shape)


def general(*without: Any) -> dict[Any, int]:
    """All schemes but some."""
    return dict.fromkeys((scheme for scheme in EVERY if scheme not in without), MANY)


def labels(count: int) -> Any:
    """Labels 0..4 of `count` values, the third of which nothing bears."""
    return np.random.default_rng(count).choice([0, 1, 3, 4], count)


def label_sums(ring: Ring, x: Any) -> Any:
    return np.stack([Exact(ring).total(x[:, labels(x.shape[1]) == label], -1) for label in range(5)], axis=-1)


LINEAR = [
    Operation(
        name="add, subtract",
        program=local(lambda side, x, y: side.ring.sub(side.ring.add(x, x), base.negated(side, y))),
        inputs=several(2),
        expected=lambda ring, x, y: Exact(ring).add(Exact(ring).add(x, x), y),
        schemes=general(),
    ),
    Operation(
        name="scale, add a constant",
        program=local(
            lambda side, x: base.plus(
                side, side.ring.mul(x, public(side.ring, x.shape[1])), public(side.ring, x.shape[1])[::-1].copy()
            )
        ),
        inputs=several(1),
        expected=lambda ring, x: Exact(ring).add(
            Exact(ring).mul(x, ring.integers(public(ring, len(x)))), ring.integers(public(ring, len(x)))[::-1]
        ),
        schemes=general(),
    ),
    Operation(
        name="y = A x, public matrix",
        program=local(lambda side, x: base.image(side, public(side.ring, 4, 3), x)),
        inputs=lambda ring, count: several(1, 3)(ring, count // 4),
        expected=lambda ring, x: Exact(ring).matmul(ring.integers(public(ring, 4, 3)), x[..., None])[..., 0],
        schemes=general(),
    ),
    Operation(
        name="sums by label",
        program=local(lambda side, x: base.sums_by_label(side, x, labels(x.shape[-1]), 5)),
        inputs=lambda ring, count: several(1, 20)(ring, count // 5),
        expected=label_sums,
        schemes=general(),
    ),
]

PRODUCTS = [
    Operation(
        name="product",
        program=opened(lambda side, x, y: side.multiply(x, y)),
        inputs=several(2),
        expected=lambda ring, x, y: Exact(ring).mul(x, y),
        schemes=general(SURE_WORDS),
        refused=(SURE_WORDS,),
    ),
    Operation(
        name="inner product",
        program=opened(base.inner),
        inputs=several(2, 4),
        expected=lambda ring, x, y: Exact(ring).total(Exact(ring).mul(x, y), -1),
        schemes=general(SURE_WORDS, SURE_BOOLEAN),
        refused=(SURE_WORDS, SURE_BOOLEAN),
    ),
    Operation(
        name="matrix product; y = A x, shared matrix",
        program=opened(lambda side, x, y: side.matmul(x, np.swapaxes(y, -1, -2))),
        inputs=lambda ring, count: several(2, 4, 3)(ring, count // 16),
        expected=lambda ring, x, y: Exact(ring).matmul(x, np.swapaxes(y, -1, -2)),
        schemes=general(SURE_WORDS, SURE_BOOLEAN),
        refused=(SURE_WORDS, SURE_BOOLEAN),
    ),
    Operation(
        name="polynomial, public coefficients",
        program=opened(lambda side, x: polynomials.evaluate(side, public(side.ring, 6), x)),
        inputs=several(1),
        expected=lambda ring, x: Exact(ring).polynomial(ring.integers(public(ring, 6)), x),
        schemes=general(SURE_WORDS),
        refused=(SURE_WORDS,),
    ),
    Operation(
        name="polynomial, shared coefficients",
        program=opened(polynomials.evaluate_shared),
        inputs=lambda ring, count: [cases.some(ring, "c", (6,)), cases.some(ring, "x", (count,))],
        expected=lambda ring, coefficients, x: Exact(ring).polynomial(coefficients, x),
        schemes=general(SURE_WORDS, SURE_BOOLEAN),
        refused=(SURE_WORDS, SURE_BOOLEAN),
    ),
]
