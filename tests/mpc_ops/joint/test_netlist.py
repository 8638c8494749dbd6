"""Netlists: AES-128 with its published vector, every operation, and texts that are no netlists."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from examples.aes_128 import aes_128
from mpc_ops.joint.netlist import NetlistError, evaluate, parse
from mpc_ops.rings import BITS, Bits
from mpc_ops.rounds import Interactive
from tests.mpc_ops.joint.common import Replicated3, words

OPERATIONS = """8 15
2 2 3
2 1 4

2 1 0 1 5 XOR
2 1 5 2 6 AND
1 1 6 7 INV
4 2 0 1 3 4 8 9 MAND
1 1 1 10 EQ
1 1 7 11 EQW
2 1 8 9 12 XOR
3 0 12 13 14 AND
"""
GOOD = OPERATIONS.replace("3 0 12 13 14 AND", "1 1 10 13 EQW").replace("8 15", "9 15") + "1 1 3 14 EQW\n"


def lanes(bits: list[int], width: int = 1) -> Any:
    return np.array([[bit] * width for bit in bits], dtype=np.uint64)


def test_every_operation() -> None:
    """XOR, AND, INV, MAND, EQ and EQW, on 64 instances in each word."""
    circuit = parse(GOOD)
    assert (circuit.inputs, circuit.outputs, circuit.ands, circuit.depth) == ((2, 3), (1, 4), 3, 1)
    x, y = words("x", 2).reshape(2, 1), words("y", 3).reshape(3, 1)

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        first, second = yield from evaluate(side, circuit, [a, b])
        return np.concatenate([first, second], axis=1)

    result = Replicated3(BITS).run(program, x, y)
    assert result.rounds == 1
    both = ~((x[0] ^ x[1]) & y[0])
    expected = [np.full(1, ~np.uint64(0)), both, (x[0] & y[1]) ^ (x[1] & y[2]), np.full(1, ~np.uint64(0)), y[1]]
    assert np.array_equal(Replicated3(BITS).reveal(result.results), np.array(expected))


def test_inputs_that_do_not_fit() -> None:
    """Another number of wires, or inputs of two shapes."""
    circuit = parse(GOOD)

    def program(side: Any, a: Any, b: Any) -> Interactive[Any]:
        return evaluate(side, circuit, [a, b])

    for a, b in (((2, 1), (2, 1)), ((2, 1), (3, 2))):
        with pytest.raises(ValueError, match="inputs of"):
            Replicated3(BITS).run(program, np.zeros(a, dtype=np.uint64), np.zeros(b, dtype=np.uint64))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: "", "three lines"),
        (lambda t: t.replace("9 15", "9"), "first three lines"),
        (lambda t: t.replace("9 15", "8 15"), "8 gates are announced, 9"),
        (lambda t: t.replace("9 15", "9 4"), "4 wires"),
        (lambda t: t.replace("9 15", "9 99999999"), "wires"),
        (lambda t: t.replace("9 15", "9 16"), "wire 15 is never set"),
        (lambda t: t.replace("1 5 XOR", "2 5 XOR").replace("2 2 3", "x 2 3"), "line 2: not all numbers"),
        (lambda t: t.replace("5 2 6 AND", "9 2 6 AND"), "line 6: a wire is used before"),
        (lambda t: t.replace("5 2 6 AND", "5 2 5 AND"), "line 6: wire 5 is set a second time"),
        (lambda t: t.replace("5 2 6 AND", "5 2 77 AND"), "line 6: there is no wire 77"),
        (lambda t: t.replace("5 2 6 AND", "5 -2 6 AND"), "line 6: not all numbers"),
        (lambda t: t.replace("5 2 6 AND", "5 2 6 NAND"), "line 6: no gate NAND"),
        (lambda t: t.replace("5 2 6 AND", "5 2 AND"), "line 6: a gate is"),
        (lambda t: t.replace("1 1 1 10 EQ\n", "1 1 2 10 EQ\n"), "line 9: a constant"),
        (lambda t: OPERATIONS, "a gate is"),
    ],
)
def test_texts_that_are_no_netlists(change: Any, reason: str) -> None:
    """Each says what is wrong, and where."""
    with pytest.raises(NetlistError, match=re.escape(reason)):
        parse(change(GOOD))


def wires(text: str) -> list[int]:
    """From the lowest bit on."""
    return [int(text, 16) >> place & 1 for place in range(128)]


def test_aes_128() -> None:
    """FIPS 197, appendix C.1 and B, and two more blocks, as instances of one evaluation."""
    circuit = parse(aes_128())
    assert (circuit.ands, circuit.depth) == (200 * 45, 40)
    vectors = [
        ("000102030405060708090a0b0c0d0e0f", "00112233445566778899aabbccddeeff", "69c4e0d86a7b0430d8cdb78070b4c55a"),
        ("2b7e151628aed2a6abf7158809cf4f3c", "3243f6a8885a308d313198a2e0370734", "3925841d02dc09fbdc118597196a0b32"),
    ]
    keys, blocks, expected = (np.array([wires(vector[k]) for vector in vectors], dtype=np.uint64).T for k in range(3))
    weights = np.arange(len(vectors), dtype=np.uint64)
    pack = lambda bits: np.bitwise_or.reduce(bits << weights, axis=1)[:, None]  # noqa: E731

    def program(side: Any, key: Any, block: Any) -> Interactive[Any]:
        (result,) = yield from evaluate(side, circuit, [key, block], 2)
        return result

    result = Replicated3(Bits(2)).run(program, pack(keys), pack(blocks))
    assert result.rounds == 40
    assert np.array_equal(Replicated3(Bits(2)).reveal(result.results), pack(expected))
