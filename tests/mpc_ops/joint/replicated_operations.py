"""Operations that need replicated shares: logic, conversions, comparisons, sorting, fixed point, linear systems."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mpc_ops.joint import comparing, gates, ordering, quotients, rounding
from mpc_ops.joint.linear import System, least_squares, normal_equations, solve
from mpc_ops.joint.netlist import evaluate, parse
from mpc_ops.rings import BITS, F61, F127, F521, F1279, Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive
from tests.mpc_ops.joint import cases
from tests.mpc_ops.joint.cases import several, signed
from tests.mpc_ops.joint.common import Checked3, Replicated3
from tests.mpc_ops.joint.operations import (
    BOOLEAN,
    LARGE,
    LINEAR,
    MANY,
    NO_BITS,
    NO_FIELD,
    NO_WORDS,
    PRODUCTS,
    SURE_BOOLEAN,
    SURE_LARGE,
    SURE_WORDS,
    WORDS,
    Operation,
    local,
    opened,
)

CIRCUIT = cases.RandomCircuit(16, 200)
TITLES = {"z64": "Z/2^64"} | {f"f{bits}": f"2^{bits} - 1" for bits in (61, 127, 521, 1279)} | {"bits64": "bits"}


def _circuit(side: Any, x: Array, y: Array) -> Interactive[Array]:
    (result,) = yield from evaluate(side, parse(CIRCUIT.text()), [x, y])
    return result


def _from_bits(ring: Ring, width: int, schemes: Mapping[Any, int], *refused: Any) -> Operation:
    return Operation(
        name=f"Boolean shares to arithmetic ones over {TITLES[ring.name]}",
        program=opened(lambda side, x: gates.from_bits(side, x, ring, width), ring),
        inputs=lambda bits, count: [cases.some(bits, "x", (count,)) & Bits(width).ones],
        expected=lambda _, x: x,
        schemes=schemes,
        refused=(*NO_BITS, *refused),
        result=ring,
        chunk=1000,
    )


BITWISE = {BOOLEAN: MANY, SURE_BOOLEAN: MANY}
WORDWISE = {WORDS: MANY, SURE_WORDS: MANY}
LOGIC = [
    Operation(
        name=name,
        program=opened(program),
        inputs=several(arity),
        expected=expected,
        schemes=BITWISE,
        refused=NO_BITS,
        chunk=10_000,
    )
    for name, arity, program, expected in [
        ("AND", 2, gates.conjunction, lambda _, x, y: x & y),
        ("OR", 2, gates.disjunction, lambda _, x, y: x | y),
        ("multiplexer", 3, gates.choose, lambda _, c, x, y: (c & x) | (~c & y)),
        ("add in binary", 2, gates.add, lambda _, x, y: x + y),
        ("subtract in binary", 2, gates.subtract, lambda _, x, y: x - y),
    ]
] + [
    Operation(
        name="XOR, NOT",
        program=local(lambda side, x, y: gates.negation(side, x ^ y)),
        inputs=several(2),
        expected=lambda _, x, y: ~(x ^ y),
        schemes=BITWISE,
        refused=NO_BITS,
    ),
    Operation(
        name="circuit from a netlist",
        program=opened(_circuit),
        inputs=lambda ring, count: [cases.some(ring, label, (8, -(-count // 64))) for label in "xy"],
        expected=lambda _, x, y: CIRCUIT.evaluate(np.concatenate([x, y])),
        schemes=BITWISE,
        refused=NO_BITS,
    ),
    _from_bits(Z64, 64, {BOOLEAN: MANY}, SURE_BOOLEAN),
    _from_bits(F61, 64, BITWISE),
    _from_bits(F127, 16, BITWISE),
]


def everything(side: Any, x: Array, bits: int) -> Interactive[Array]:
    """All that a sorted list gives, as one share."""
    result = yield from ordering.order(side, x, bits)
    single = [result.minimum(), result.maximum(), result.first_lowest(), result.last_highest(), result.twice_median()]
    top = result.top(x.shape[-1])
    parts = [result.values, result.indices, top.values, top.indices, *(share[..., None] for share in single)]
    return np.concatenate(parts, axis=-1)


def everything_sorted(x: Any) -> Any:
    """The same by numpy: ties in the order of their index."""
    indices = np.argsort(x, axis=-1, kind="stable")
    values = np.take_along_axis(x, indices, axis=-1)
    n = x.shape[-1]
    middle = values[..., (n - 1) // 2] + values[..., n // 2]
    single = [values[..., 0], values[..., -1], indices[..., 0], indices[..., -1], middle]
    parts = [values, indices, values[..., ::-1], indices[..., ::-1], *(part[..., None] for part in single)]
    return np.concatenate(parts, axis=-1)


def _comparison(
    name: str, program: Any, inputs: Any, expected: Callable[..., Any], ring: Ring | None = None
) -> Operation:
    return Operation(
        name=name,
        program=opened(program, ring),
        inputs=inputs,
        expected=lambda _, *x: expected(*map(signed, x)),
        schemes=WORDWISE,
        refused=NO_WORDS,
        result=ring,
    )


def _lifting(ring: Ring, bits: int = 63) -> Operation:
    return Operation(
        name=f"lift to {TITLES[ring.name]}" + (f", from up to {bits} bits" if bits < 63 else ""),
        program=opened(lambda side, x: rounding.lift(side, x, ring, bits=bits), ring),
        inputs=cases.bounded(bits) if bits < 63 else several(1),
        expected=lambda _, x: signed(x),
        schemes=WORDWISE,
        refused=NO_WORDS,
        result=ring,
        chunk=5000,
    )


BIT = Bits(1)
COMPARISONS = [
    _comparison("less", comparing.less, cases.near, lambda x, y: (x < y) * 1, ring=BIT),
    _comparison("equal", comparing.equal, cases.alike, lambda x, y: (x == y) * 1, ring=BIT),
    _comparison(
        "inside a range",
        comparing.inside,
        cases.ranges,
        lambda x, low, high: ((low <= x) & (x <= high)) * 1,
        ring=BIT,
    ),
    _comparison(
        "sort, minimum, maximum, arg-max, top k, median",
        lambda side, x: everything(side, x, 59),
        cases.lists(10, 59),
        everything_sorted,
    ),
    _comparison("arithmetic shares to Boolean ones", gates.to_bits, several(1), lambda x: x, ring=BITS),
    *(_lifting(ring) for ring in (F61, F127, F521, F1279)),
    *(_lifting(ring, rounding.NEAR_BITS) for ring in (F61, F127)),
]


def _truncation(shift: int, words: int, field: int) -> list[Operation]:
    """`words` and `field`: on how many cases. All shifts together make many."""
    floor = lambda ring, x: signed(x, ring.order) >> shift  # noqa: E731
    return [
        Operation(
            name="truncate, over words",
            program=opened(lambda side, x: rounding.truncate(side, x, shift)),
            inputs=cases.bounded(62),
            expected=floor,
            schemes={WORDS: words},
            refused=(*NO_WORDS, SURE_WORDS),
            errors=(0, 1),
            chunk=2000,
        ),
        Operation(
            name="truncate, over a large field",
            program=opened(lambda side, x: rounding.truncate_large(side, x, shift, 80)),
            inputs=cases.bounded(80),
            expected=floor,
            schemes={LARGE: field, SURE_LARGE: field},
            refused=NO_FIELD,
            errors=(0, 1),
            chunk=2000,
        ),
    ]


def _reciprocal(side: Any, d: Array) -> Interactive[Array]:
    result = yield from quotients.reciprocal(side, d, scale=1 << 49)
    return result


def _grouped(side: Any, n: Array, d: Array) -> Interactive[Array]:
    """Each denominator for twenty numerators."""
    result = yield from quotients.nearest(side, n, d, RANGES.get(side.ring, RANGES[F127]))
    return result


QUOTIENT = quotients.LARGEST
RANGES = {
    ranges.field: ranges
    for ranges in (
        quotients.Quotients(numerator=83, denominator=74),
        quotients.Quotients(numerator=150, denominator=100),
    )
}
FIXED_POINT = [
    *_truncation(1, 30_000, 60_000),
    *_truncation(20, 30_000, 30_000),
    *_truncation(61, 40_000, 10_000),
    Operation(
        name="divide",
        program=opened(quotients.divide, quotients.DIVISION),
        inputs=cases.quotients(QUOTIENT),
        expected=lambda _, n, d: cases.nearest(signed(n), signed(d)),
        schemes=WORDWISE,
        refused=NO_WORDS,
        result=quotients.DIVISION,
        chunk=4000,
    ),
    Operation(
        name="divide, over a large field",
        program=opened(_grouped),
        inputs=lambda ring, count: cases.large_quotients(QUOTIENT, RANGES[ring])(ring, count),
        expected=lambda ring, n, d: cases.nearest(signed(n, ring.order), signed(d, ring.order)[:, None]),
        schemes={LARGE: MANY, Replicated3(F521): 20_000, SURE_LARGE: MANY, Checked3(F521): 5000},
        refused=NO_FIELD,
        chunk=100,
    ),
    Operation(
        name="reciprocal",
        program=opened(_reciprocal, quotients.DIVISION),
        inputs=lambda ring, count: cases.quotients(QUOTIENT)(ring, count)[1:],
        expected=lambda _, d: cases.nearest(1 << 49, signed(d)),
        schemes=WORDWISE,
        refused=NO_WORDS,
        result=quotients.DIVISION,
        chunk=4000,
    ),
]


def _solving(size: int, largest: int, count: int) -> Operation:
    system = System(size=size, matrix=largest, right=largest, scale=1000)
    return Operation(
        name="linear system",
        program=opened(lambda side, a, b: solve(side, a, b, system)),
        inputs=cases.systems(size, largest),
        expected=lambda ring, a, b: cases.solutions(signed(a, ring.order), signed(b, ring.order), 1000),
        schemes={Replicated3(system.field): count, Checked3(system.field): count},
        refused=NO_FIELD,
        chunk=2000,
    )


def _fitting(name: str, ridge: int) -> Operation:
    """Four rows of two columns; with a ridge the second column is twice the first every other time."""
    system = normal_equations(rows=4, columns=2, matrix=100, right=100, scale=1000, ridge=ridge)

    def expected(ring: Ring, rows: Any, rights: Any) -> Any:
        x, y = signed(rows, ring.order), signed(rights, ring.order)
        turned = np.swapaxes(x, -1, -2)
        return cases.solutions(turned @ x + ridge * np.eye(2, dtype=int), (turned @ y[..., None])[..., 0], 1000)

    return Operation(
        name=name,
        program=opened(lambda side, x, y: least_squares(side, x, y, system, ridge=ridge)),
        inputs=cases.fits(rows=4, largest=100, dependent=ridge > 0),
        expected=expected,
        schemes={Replicated3(system.field): MANY, Checked3(system.field): MANY},
        refused=NO_FIELD,
        chunk=2000,
    )


SYSTEMS = [
    _solving(2, 1000, 80_000),
    _solving(3, (1 << 20) - 1, 15_000),
    _solving(4, 100, 5000),
    _fitting("least squares", 0),
    _fitting("ridge regression", 3),
]

OPERATIONS = [*LINEAR, *PRODUCTS, *LOGIC, *COMPARISONS, *FIXED_POINT, *SYSTEMS]
