"""Vectors of joint computation: for each operation and scheme result, rounds, bytes and the hash of all messages.

Keys come from a seed (`mpc_ops.randomness.trial_keys`), shares of the inputs from a stream, so that every message is
settled: another implementation that draws and sends alike gives the same transcript.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc_ops.joint import comparing, gates, ordering, polynomials, rounding
from mpc_ops.joint.base import image, inner, sums_by_label
from mpc_ops.joint.linear import System, least_squares, normal_equations, solve
from mpc_ops.joint.netlist import evaluate, parse
from mpc_ops.joint.quotients import DIVISION, divide, reciprocal
from mpc_ops.rings import BITS, F61, F127, Z64, Bits, Ring
from mpc_ops.rounds import Array, Interactive
from tests.mpc_ops.joint.common import AdditiveDealt, Checked3, Replicated3, Shamir5

SEED = b"sotto joint vectors"
COUNT = 16

X = [0, 1, -1, 2, 2**31, -(2**31), 2**40, -(2**40), 2**59 - 1, -(2**59), 12345, -777, 3, 3, 10**9, 6]
Y = [5, -1, 1, 2, 7, -7, 2**20, 3, -(2**59), 2**59 - 1, 12346, 777, 3, 4, 10**9, 2]

HALF_ADDER = "2 4\n1 2\n1 2\n2 1 0 1 2 XOR\n2 1 0 1 3 AND\n"
SYSTEM = System(size=3, matrix=1000, right=10_000, scale=1000)
FIT = normal_equations(rows=3, columns=2, matrix=6, right=10, scale=10**6)
RIDGE = normal_equations(rows=3, columns=2, matrix=6, right=4, scale=10**6, ridge=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An operation: its name, what it takes, what it does, and over which rings (schemes) it is offered."""

    name: str
    values: int  # how many results: bytes are divided by it
    program: Callable[..., Interactive[Any]]
    inputs: Callable[[Ring], list[Array]]
    schemes: tuple[Any, ...]
    result: Ring | None = None  # what the result is over, if not the scheme's ring


def opened(program: Callable[..., Interactive[Array]], ring: Ring | None = None) -> Callable[..., Interactive[Array]]:
    """The program, and its result opened."""

    def whole(side: Any, *shares: Array) -> Interactive[Array]:
        share = yield from program(side, *shares)
        result = yield from (side if ring is None else side.over(ring)).open(share)
        return result

    return whole


def _pairs(ring: Ring) -> list[Array]:
    return [ring.element(X), ring.element(Y)]


def _ordered(side: Any, x: Array) -> Interactive[Array]:
    result = yield from ordering.order(side, x, 59)
    return result.values


def _divided(side: Any, x: Array, y: Array) -> Interactive[Array]:
    share = yield from divide(side, x, y, scale=100)
    return share


def _circuit(side: Any, x: Array, y: Array) -> Interactive[Array]:
    (result,) = yield from evaluate(side, parse(HALF_ADDER), [np.stack([x, y], axis=1)])
    return result


def _polynomial(side: Any, x: Array) -> Interactive[Array]:
    return polynomials.evaluate(side, side.ring.element(range(1, 10)), x)


def _image(side: Any, x: Array) -> Interactive[Array]:
    return image(side, side.ring.element([range(1, 17), range(-8, 8)]), x)
    yield


def _sums(side: Any, x: Array) -> Interactive[Array]:
    return sums_by_label(side, x, np.arange(COUNT) % 3, 3)
    yield


def _chosen(side: Any, x: Array, y: Array) -> Interactive[Array]:
    """y where x is odd, else NOT y."""
    result = yield from gates.choose(side, gates.spread(x & np.uint64(1)), y, gates.negation(side, y))
    return result


PLAIN = (Replicated3(Z64), Replicated3(F61), Replicated3(F127))
OTHERS = (Shamir5(3, 1), Shamir5(5, 2), AdditiveDealt(3))
FIELDS = (Checked3(F61), Checked3(F127))
WORDS = (Replicated3(Z64), Checked3(Z64))
BOOLEAN = (Replicated3(BITS), Checked3(BITS))


def _large(system: System) -> tuple[Any, ...]:
    return (Replicated3(system.field), Checked3(system.field))


CASES = [
    Case(
        name="open",
        values=COUNT,
        program=lambda side, x: side.open(x),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(*PLAIN, *OTHERS, *FIELDS, Checked3(Z64)),
    ),
    Case(
        name="product",
        values=COUNT,
        program=opened(lambda side, x, y: side.multiply(x, y)),
        inputs=_pairs,
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="inner product of 16",
        values=1,
        program=opened(lambda side, x, y: inner(side, x[:, None], y[:, None])),
        inputs=_pairs,
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="matrix product 4 x 4",
        values=COUNT,
        program=opened(lambda side, x, y: side.matmul(x.reshape(-1, 4, 4), y.reshape(-1, 4, 4))),
        inputs=_pairs,
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="polynomial of degree 8",
        values=COUNT,
        program=opened(_polynomial),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="polynomial of degree 8, shared",
        values=COUNT,
        program=opened(lambda side, x, c: polynomials.evaluate_shared(side, c, x)),
        inputs=lambda ring: [ring.element(X), ring.element(range(1, 10))],
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="public 2 x 16 matrix",
        values=2,
        program=opened(_image),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(
        name="sums by label",
        values=3,
        program=opened(_sums),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(*PLAIN, *OTHERS, *FIELDS),
    ),
    Case(name="AND, 64 bits", values=COUNT, program=opened(gates.conjunction), inputs=_pairs, schemes=BOOLEAN),
    Case(name="OR, 64 bits", values=COUNT, program=opened(gates.disjunction), inputs=_pairs, schemes=BOOLEAN),
    Case(name="multiplexer, 64 bits", values=COUNT, program=opened(_chosen), inputs=_pairs, schemes=BOOLEAN),
    Case(name="subtracter, 64 bits", values=COUNT, program=opened(gates.subtract), inputs=_pairs, schemes=BOOLEAN),
    Case(
        name="bits to a field",
        values=COUNT,
        program=opened(lambda side, x: gates.from_bits(side, x, F127), F127),
        result=F127,
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=BOOLEAN,
    ),
    Case(name="adder, 64 bits", values=COUNT, program=opened(gates.add), inputs=_pairs, schemes=BOOLEAN),
    Case(name="circuit (half adder)", values=COUNT, program=opened(_circuit), inputs=_pairs, schemes=BOOLEAN),
    Case(
        name="to bits",
        values=COUNT,
        program=opened(gates.to_bits, BITS),
        result=BITS,
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=WORDS,
    ),
    Case(name="less", values=COUNT, program=opened(comparing.less, Bits(1)), result=Z64, inputs=_pairs, schemes=WORDS),
    Case(
        name="equal", values=COUNT, program=opened(comparing.equal, Bits(1)), result=Z64, inputs=_pairs, schemes=WORDS
    ),
    Case(
        name="inside",
        values=COUNT,
        program=opened(lambda side, x, y: comparing.inside(side, x, y, y), Bits(1)),
        result=Z64,
        inputs=_pairs,
        schemes=WORDS,
    ),
    Case(
        name="sort of 16",
        values=1,
        program=opened(_ordered),
        inputs=lambda ring: [ring.element([v // 64 for v in X])],
        schemes=WORDS,
    ),
    Case(
        name="lift to a field",
        values=COUNT,
        program=opened(lambda side, x: rounding.lift(side, x, F127), F127),
        result=F127,
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=WORDS,
    ),
    Case(
        name="lift to a field, up to 61 bits",
        values=COUNT,
        program=opened(lambda side, x: rounding.lift(side, x, F127, bits=61), F127),
        result=F127,
        inputs=lambda ring: [(_pairs(ring)[0] >> np.uint64(2)) - np.uint64(1 << 61)],
        schemes=WORDS,
    ),
    Case(
        name="truncation",
        values=COUNT,
        program=opened(lambda side, x: rounding.truncate(side, x, 20)),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(Replicated3(Z64),),
    ),
    Case(
        name="truncation in a field",
        values=COUNT,
        program=opened(lambda side, x: rounding.truncate_large(side, x, 20, 64)),
        inputs=lambda ring: _pairs(ring)[:1],
        schemes=(Replicated3(F127), Checked3(F127)),
    ),
    Case(
        name="division",
        values=COUNT,
        program=opened(_divided, DIVISION),
        result=DIVISION,
        inputs=lambda ring: [ring.element([v // 2**16 for v in X]), ring.element(Y)],
        schemes=WORDS,
    ),
    Case(
        name="reciprocal",
        values=COUNT,
        program=opened(lambda side, y: reciprocal(side, y, scale=10**6), DIVISION),
        result=DIVISION,
        inputs=lambda ring: _pairs(ring)[1:],
        schemes=WORDS,
    ),
    Case(
        name="linear system 3 x 3",
        values=1,
        program=opened(lambda side, a, b: solve(side, a, b, SYSTEM)),
        inputs=lambda ring: [ring.element([[2, -3, 500], [1000, 4, 5], [-7, 8, 9]]), ring.element([1, -10_000, 3])],
        schemes=_large(SYSTEM),
    ),
    Case(
        name="least squares 3 x 2",
        values=1,
        program=opened(lambda side, a, b: least_squares(side, a, b, FIT)),
        inputs=lambda ring: [ring.element([[2, 3], [4, -1], [6, 2]]), ring.element([8, 1, 10])],
        schemes=_large(FIT),
    ),
    Case(
        name="ridge regression 3 x 2",
        values=1,
        program=opened(lambda side, a, b: least_squares(side, a, b, RIDGE, ridge=5)),
        inputs=lambda ring: [ring.element([[1, 2], [2, 4], [3, 6]]), ring.element([1, 2, 4])],
        schemes=_large(RIDGE),
    ),
]


def _ring_of(case: Case, scheme: Any) -> Ring:
    ring: Ring = case.result if case.result is not None else scheme.ring
    return ring


def run_case(case: Case, scheme: Any) -> dict[str, Any]:
    """One vector."""
    transcript = hashlib.sha256()

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        transcript.update(bytes([number, sender, receiver]) + len(message).to_bytes(8, "little") + message)

    result = scheme.run(case.program, *case.inputs(scheme.ring), seed=SEED, observe=observe)
    return {
        "operation": case.name,
        "scheme": name_of(scheme),
        "result": [str(value) for value in _ring_of(case, scheme).signed(result.results[0].reshape(-1))],
        "rounds": result.rounds,
        "sent": list(result.sent),
        "transcript": transcript.hexdigest(),
    }


def name_of(scheme: Any) -> str:
    """Its name, and whether results are checked."""
    return f"{scheme.name}, checked" if isinstance(scheme, Checked3) else str(scheme.name)


def joint() -> dict[str, Any]:
    """All operations in all schemes that offer them."""
    return {
        "about": "joint computation: results, rounds, bytes sent by each participant without headers, SHA-256 over "
        "(round, sender, receiver, length as 8 bytes, message) of all messages in order of round, sender and sending",
        "inputs": {"x": [str(v) for v in X], "y": [str(v) for v in Y]},
        "cases": [run_case(case, scheme) for case in CASES for scheme in case.schemes],
    }


def table(vectors: dict[str, Any]) -> str:
    """Markdown: rounds and bytes of one party for each result, the opening included, by operation and scheme."""
    values = {case.name: case.values for case in CASES}
    lines = ["| operation | scheme | rounds | bytes |", "|---|---|---|---|"]
    for found in vectors["cases"]:
        each = max(found["sent"]) / values[found["operation"]]
        lines.append(f"| {found['operation']} | {found['scheme']} | {found['rounds']} | {each:,.0f} |")
    return "\n".join(lines) + "\n"
