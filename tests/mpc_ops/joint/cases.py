"""Inputs for many cases, and what must come out of them, in Python integers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mpc_ops.joint.quotients import Quotients
from mpc_ops.rings import Bits, Ring
from mpc_ops.rounds import Array
from tests.mpc_ops.joint.common import EXTREMES, stream


def some(ring: Ring, label: object, shape: tuple[int, ...]) -> Array:
    """Random elements, and in every fifth place one of the extreme ones."""
    values = ring.draw(stream((label, ring.name, shape)), shape)
    random = np.random.default_rng(sum(repr((label, ring.name, shape)).encode()))
    extremes = ring.element(EXTREMES)[random.integers(0, len(EXTREMES), shape)]
    return np.where(random.integers(0, 5, shape) == 0, extremes, values)


def several(number: int, *shape: int) -> Any:
    """Inputs of so many arrays, of `cases` elements, or of `cases` vectors or matrices of the shape given."""
    return lambda ring, cases: [some(ring, index, (cases, *shape)) for index in range(number)]


@dataclass(frozen=True, slots=True)
class Exact:
    """A ring's arithmetic with Python integers, for arrays of them."""

    ring: Ring

    def add(self, a: Any, b: Any) -> Any:
        return a ^ b if isinstance(self.ring, Bits) else (a + b) % self.ring.order

    def mul(self, a: Any, b: Any) -> Any:
        return a & b if isinstance(self.ring, Bits) else a * b % self.ring.order

    def negative(self, a: Any) -> Any:
        return a if isinstance(self.ring, Bits) else -a % self.ring.order

    def total(self, a: Any, axis: int) -> Any:
        return np.bitwise_xor.reduce(a, axis=axis) if isinstance(self.ring, Bits) else a.sum(axis=axis)

    def matmul(self, a: Any, b: Any) -> Any:
        return self.total(self.mul(a[..., :, :, None], b[..., None, :, :]), -2)

    def polynomial(self, coefficients: Any, x: Any) -> Any:
        """By Horner's rule."""
        result = x * 0
        for coefficient in coefficients[::-1]:
            result = self.add(self.mul(result, x), coefficient)
        return result


def signed(values: Any, order: int = 1 << 64) -> Any:
    """Residues as numbers from -order / 2 on."""
    return np.where(values >= (order + 1) // 2, values - order, values)


def near(ring: Ring, cases: int) -> list[Array]:
    """Pairs of signed words that differ by less than 2^63; a third of them by little."""
    x, y = (some(ring, label, (cases,)) for label in "xy")
    steps = np.random.default_rng(cases).integers(-2, 3, cases)
    close = signed(x.astype(object)) + steps
    far = abs(signed(x.astype(object)) - signed(y.astype(object))) >= 1 << 63
    replaced = (far | (np.arange(cases) % 3 == 0)) & (abs(close) < 1 << 63)
    y = np.where(replaced, ring.element(close), np.where(far, x, y))
    return [x, y]


def alike(ring: Ring, cases: int) -> list[Array]:
    """Pairs of words: any, equal ones, and ones that differ in one bit."""
    x, y = (some(ring, label, (cases,)) for label in "xy")
    bit = np.uint64(1) << (np.arange(cases, dtype=np.uint64) // np.uint64(3) % np.uint64(64))
    return [x, np.where(np.arange(cases) % 3 == 0, x, np.where(np.arange(cases) % 3 == 1, x ^ bit, y))]


def bounded(bits: int) -> Any:
    """Numbers in [-2^bits, 2^bits) of all sizes, both ends among them."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        size = bits // 8 + 1
        data = np.frombuffer(np.random.default_rng(bits).bytes(size * cases), dtype=f"V{size}")
        words = np.array([int.from_bytes(item, "little") for item in data.tolist()] + [0], dtype=object)[:-1]
        values = (words % (2 << bits) - (1 << bits)) >> np.arange(cases) % (bits + 1)
        ends = [-(1 << bits), (1 << bits) - 1, 0, -1, 1][:cases]
        values[: len(ends)] = ends
        return [ring.element(values)]

    return inputs


def ranges(ring: Ring, cases: int) -> list[Array]:
    """A number, and bounds around, beside and on it; also empty ranges."""
    (x,) = bounded(61)(ring, cases)
    (low, high) = (np.random.default_rng(seed).integers(-3, 4, cases) for seed in (1, 2))
    wide = np.int64(1) << np.random.default_rng(3).integers(0, 60, cases)
    return [x, x + (low * wide).view(np.uint64), x + (high * wide).view(np.uint64)]


def lists(length: int, bits: int) -> Any:
    """Lists of signed numbers of so many bits; every other list has few different ones."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        (x,) = bounded(bits - 1)(ring, cases)
        x = np.random.default_rng(4).permutation(x).reshape(-1, length)
        x[::2] = (x[::2].view(np.int64) % 4 - 2).view(np.uint64)
        return [x]

    return inputs


def quotients(most: int) -> Any:
    """Numerators and denominators of all sizes whose quotients are in range: 0, ties and extreme ones among them."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        random = np.random.default_rng(cases)
        n, d = (
            (some(ring, label, (cases,)).view(np.int64) >> random.integers(0, 63, cases)).astype(object)
            for label in "nd"
        )
        d = np.where(d == 0, -1, d)
        n = np.where(np.arange(cases) % 4 == 0, d * 3 // 2, n)
        n = np.where((abs(n) < most * abs(d)) & (abs(n) < 1 << 63), n, 0)
        return [ring.element(n), ring.element(d)]

    return inputs


def large_quotients(most: int, sizes: Quotients) -> Any:
    """Denominators of all sizes, twenty numerators for each: exact multiples, ties, neighbours."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        random, groups = np.random.default_rng(cases), max(cases // 20, 1)
        (d,) = bounded(sizes.denominator)(ring, groups)
        d = signed(ring.integers(d), ring.order)
        d = np.where(d == 0, 1, d)
        q = (random.integers(-most + 1, most, (groups, 20)) >> random.integers(0, 50, (groups, 20))).astype(object)
        ties = abs(d)[:, None] // 2 * random.integers(0, 2, (groups, 20))
        n = q * d[:, None] + random.integers(-1, 2, (groups, 20)) + ties
        fits = (abs(n) < most * abs(d)[:, None]) & (abs(n) < 1 << sizes.numerator)
        return [ring.element(np.where(fits, n, 0)), ring.element(d)]

    return inputs


def nearest(numerators: Any, denominators: Any) -> Any:
    """floor(N / D + 1/2)."""
    return (2 * numerators + denominators) // (2 * denominators)


def systems(size: int, largest: int) -> Any:
    """Regular systems, some with extreme entries."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        random = np.random.default_rng(size)
        matrices = np.zeros((0, size, size), dtype=object)
        while len(matrices) < cases:
            drawn = random.integers(-largest, largest + 1, (cases, size, size))
            extreme = random.integers(0, 5, drawn.shape) == 0
            drawn = np.where(extreme, largest * np.sign(drawn), drawn).astype(object)
            matrices = np.concatenate([matrices, drawn[determinant(drawn) != 0]])
        right = random.integers(-largest, largest + 1, (cases, size)).astype(object)
        right[::7] = 0
        return [ring.element(matrices[:cases]), ring.element(right)]

    return inputs


def fits(*, rows: int, largest: int, dependent: bool) -> Any:
    """Rows of two columns and right sides; `dependent`: every other time the second column is twice the first."""

    def inputs(ring: Ring, cases: int) -> list[Array]:
        random = np.random.default_rng(rows)
        x = random.integers(-(largest // 2), largest // 2 + 1, (cases, rows, 2)).astype(object)
        if dependent:
            x[::2, :, 1] = 2 * x[::2, :, 0]
        else:
            x[:, :2] = np.array([[1, 0], [largest, -1]])
        return [ring.element(x), ring.element(random.integers(-largest, largest + 1, (cases, rows)).astype(object))]

    return inputs


def determinant(matrices: Any) -> Any:
    """Of each matrix (..., d, d), by cofactors: for small ones, of Python integers."""
    if matrices.shape[-1] == 1:
        return matrices[..., 0, 0]
    columns = range(matrices.shape[-1])
    minors = (np.delete(matrices[..., 1:, :], column, axis=-1) for column in columns)
    return sum((-1) ** k * matrices[..., 0, k] * determinant(minor) for k, minor in enumerate(minors))


def solutions(matrices: Any, rights: Any, scale: int) -> Any:
    """floor(scale x + 1/2) for regular systems (n, d, d) and (n, d) of Python integers.

    By Gauss and Jordan without fractions (Bareiss, 1968): what is divided goes in without rest, and at the end the
    diagonal is the determinant, up to its sign.
    """
    work, every, before = np.concatenate([matrices, rights[..., None]], axis=-1), np.arange(len(matrices)), 1
    for k in range(matrices.shape[-1]):
        usable = k + np.argmax(work[:, k:, k] != 0, axis=1)
        work[every, k], work[every, usable] = work[every, usable], work[every, k]
        pivot, row = work[:, k, k, None, None], work[:, k].copy()
        work = (pivot * work - work[:, :, k, None] * row[:, None]) // before
        work[:, k], before = row, pivot
    return nearest(scale * work[..., -1], before[..., 0])


@dataclass(frozen=True, slots=True)
class RandomCircuit:
    """A netlist of random gates: its text, and its evaluation gate by gate on words."""

    inputs: int
    gates: int

    def lines(self) -> list[tuple[str, tuple[int, ...]]]:
        random = np.random.default_rng(self.gates)
        names = random.choice(["XOR", "AND", "INV", "EQW", "EQ"], self.gates, p=[0.35, 0.4, 0.15, 0.05, 0.05])
        result = []
        for wires, name in enumerate(names, self.inputs):
            first, second = random.integers(0, wires, 2).tolist()
            result.append(
                (str(name), {"XOR": (first, second), "AND": (first, second), "EQ": (first % 2,)}.get(name, (first,)))
            )
        return result

    def text(self) -> str:
        """Two inputs of half of the wires each; the output is the last half of the gates."""
        half = self.inputs // 2
        head = f"{self.gates} {self.inputs + self.gates}\n2 {half} {half}\n1 {self.gates // 2}\n"
        body = (
            f"{len(sources)} 1 {' '.join(map(str, sources))} {wire} {name}"
            for wire, (name, sources) in enumerate(self.lines(), self.inputs)
        )
        return head + "\n".join(body) + "\n"

    def evaluate(self, inputs: Any) -> Any:
        """Words (inputs, n) to words (gates // 2, n)."""
        wires = list(inputs)
        full = (1 << 64) - 1
        for name, sources in self.lines():
            if name == "EQ":
                wires.append(inputs[0] * 0 + full * sources[0])
                continue
            first, second = wires[sources[0]], wires[sources[-1]]
            wires.append({"XOR": first ^ second, "AND": first & second, "INV": first ^ full, "EQW": first}[name])
        return np.stack(wires[-(self.gates // 2) :])
