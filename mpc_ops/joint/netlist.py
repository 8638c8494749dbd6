"""Circuits as netlists in the "Bristol fashion" text format, evaluated on replicated bits.

The format (nigelsmart.github.io/MPC-Circuits): numbers of gates and wires; number of inputs and the wires of each;
number of outputs and the wires of each; then one gate a line: numbers of inputs and outputs, the wires, the
operation. Input wires come first, output wires last. Read here: XOR, AND, INV, EQ (a constant), EQW (a copy), MAND
(several ANDs).

A circuit takes as many rounds as its ANDs are deep. Each step below handles all gates that are ready, and each gate
a whole array of words, so a thousand instances take the rounds of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mpc_ops.joint.gates import WORD, conjunction, negation
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rounds import Array, Interactive

_MOST_WIRES = 1 << 22


class NetlistError(ValueError):
    """A text that is no netlist; says the line."""


class _Gate(NamedTuple):
    operation: str
    inputs: tuple[int, ...]  # EQ: the constant
    output: int


@dataclass(frozen=True, slots=True)
class Step:
    """Gates of one operation that do not need each other: the wires in and out, by gate."""

    operation: str
    first: NDArray[np.intp]
    second: NDArray[np.intp]
    output: NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Netlist:
    """A circuit that was checked: every wire is set exactly once, before it is used."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    wires: int
    ands: int
    depth: int
    steps: tuple[Step, ...]


def parse(text: str) -> Netlist:
    """Read a netlist. Raises NetlistError, with the line, for anything that is not one."""
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) < 3:
        raise NetlistError("a netlist begins with three lines of numbers")
    (_, head), (_, inputs), (_, outputs), *rest = ((number, _numbers(number, words)) for number, words in lines[:3])
    assert not rest, "internal error: three lines"
    if len(head) != 2 or len(inputs) != 1 + inputs[0] or len(outputs) != 1 + outputs[0]:
        raise NetlistError("the first three lines do not give gates, wires, inputs and outputs")
    count, wires = head
    if not sum(inputs[1:]) <= wires <= _MOST_WIRES or sum(outputs[1:]) > wires:
        raise NetlistError(f"{wires} wires do not suit the inputs and outputs, or are more than {_MOST_WIRES}")
    if len(lines) - 3 != count:
        raise NetlistError(f"{count} gates are announced, {len(lines) - 3} are there")
    ready = [-1] * wires  # when a wire is known: (ANDs before it, local steps since) as one number
    ready[: sum(inputs[1:])] = [0] * sum(inputs[1:])
    places: dict[tuple[int, str], list[_Gate]] = {}
    ands = 0
    for number, words in lines[3:]:
        for gate in _gates(number, words):
            at = _place(number, gate, ready, wires)
            ready[gate.output] = at
            ands += gate.operation == "AND"
            places.setdefault((at, gate.operation), []).append(gate)
    if -1 in ready:
        raise NetlistError(f"wire {ready.index(-1)} is never set")
    steps = tuple(_step(operation, gates) for (_, operation), gates in sorted(places.items(), key=lambda item: item[0]))
    depth = max(ready, default=0) // _LOCAL
    return Netlist(
        inputs=tuple(inputs[1:]), outputs=tuple(outputs[1:]), wires=wires, ands=ands, depth=depth, steps=steps
    )


_LOCAL = 1 << 24
"""Larger than any number of local steps between two ANDs (there are fewer wires)."""


def _place(number: int, gate: _Gate, ready: Sequence[int], wires: int) -> int:
    sources = () if gate.operation == "EQ" else gate.inputs
    for wire in (*sources, gate.output):
        if not 0 <= wire < wires:
            raise NetlistError(f"line {number}: there is no wire {wire}")
    if any(ready[wire] < 0 for wire in sources):
        raise NetlistError(f"line {number}: a wire is used before it is set")
    if ready[gate.output] >= 0:
        raise NetlistError(f"line {number}: wire {gate.output} is set a second time")
    latest = max((ready[wire] for wire in sources), default=0)
    return (latest // _LOCAL + 1) * _LOCAL if gate.operation == "AND" else latest + 1


def _step(operation: str, gates: list[_Gate]) -> Step:
    first, second, output = (
        np.array(column, dtype=np.intp)
        for column in zip(*((g.inputs[0], g.inputs[-1], g.output) for g in gates), strict=True)
    )
    return Step(operation, first, second, output)


def _numbers(number: int, words: Sequence[str]) -> list[int]:
    joined = "".join(words)
    if not (joined.isascii() and joined.isdigit() and words):
        raise NetlistError(f"line {number}: not all numbers")
    return [int(word) for word in words]


def _gates(number: int, words: Sequence[str]) -> list[_Gate]:
    operation = words[-1]
    fan_in, fan_out, *wires = _numbers(number, words[:-1]) if len(words) > 3 else (0, 0)
    if len(wires) != fan_in + fan_out or fan_out == 0:
        raise NetlistError(f"line {number}: a gate is: inputs, outputs, wires, operation")
    sources, targets = wires[:fan_in], wires[fan_in:]
    if operation == "MAND" and fan_in == 2 * fan_out:
        return [_Gate("AND", (sources[k], sources[k + fan_out]), target) for k, target in enumerate(targets)]
    if (operation, fan_in, fan_out) not in {("XOR", 2, 1), ("AND", 2, 1), ("INV", 1, 1), ("EQ", 1, 1), ("EQW", 1, 1)}:
        raise NetlistError(f"line {number}: no gate {operation} with {fan_in} inputs and {fan_out} outputs")
    if operation == "EQ" and sources[0] > 1:
        raise NetlistError(f"line {number}: a constant is 0 or 1")
    return [_Gate(operation, tuple(sources), targets[0])]


def evaluate(
    side: Replicated, circuit: Netlist, inputs: Sequence[Array], width: int = WORD
) -> Interactive[list[Array]]:
    """Evaluate on shares (2, wires, ...) of words of `width` bits, one array for each input: as many for each output.

    Each bit position of each word is an instance of its own. Rounds: `circuit.depth`.
    Raises ValueError for inputs of another number of wires.
    """
    if tuple(share.shape[1] for share in inputs) != circuit.inputs or len({s.shape[2:] for s in inputs}) > 1:
        raise ValueError(f"the circuit takes inputs of {circuit.inputs} wires, all of one shape")
    shape = inputs[0].shape[2:] if inputs else ()
    wires = np.zeros((2, circuit.wires, *shape), dtype=np.uint64)
    if inputs:
        wires[:, : sum(circuit.inputs)] = np.concatenate(inputs, axis=1)
    ones = negation(side, np.zeros((2, 1, *shape), dtype=np.uint64), width)
    for step in circuit.steps:
        first, second = wires[:, step.first] if step.operation != "EQ" else wires[:, :0], step.second
        if step.operation == "AND":
            wires[:, step.output] = yield from conjunction(side, first, wires[:, second], width)
        elif step.operation == "XOR":
            wires[:, step.output] = first ^ wires[:, second]
        elif step.operation == "INV":
            wires[:, step.output] = first ^ ones
        elif step.operation == "EQW":
            wires[:, step.output] = first
        else:
            constants = step.first.astype(np.uint64).reshape(-1, *[1] * len(shape))
            wires[:, step.output] = ones * constants
    ends = circuit.wires - sum(circuit.outputs) + np.cumsum((0, *circuit.outputs))
    return [wires[:, start:end] for start, end in pairwise(ends)]
