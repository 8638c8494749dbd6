"""What must come out, computed in the open from the readings: fractions, numpy, and AES of the package cryptography.

Circuits of one's own are evaluated gate by gate.

Nothing of the pipeline is in it. Solutions of systems are numpy's, in binary64; all else is exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from examples.trial import Example

Labels: TypeAlias = tuple[tuple[str, str], ...]
Entry: TypeAlias = Mapping[str, Any]


AES = "aes_128.txt"
"""The circuit of which FIPS 197 says what comes out; also read gate by gate by a test."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which number it is: the job's name, its own key ("total", "x_a1"), its labels sorted by name."""

    name: str
    key: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A number as it must be, and by how much the result may differ: half a step where it is rounded, else 0."""

    value: Fraction
    off_by: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of a window, by label values (in the order of `labels`) and measure."""

    labels: tuple[str, ...]
    cells: Mapping[tuple[str, ...], Mapping[str, Fraction]]
    counts: Mapping[tuple[str, ...], Mapping[str, int]]

    def by(self, entry: Entry) -> dict[Labels, tuple[Fraction, int]]:
        """Sums and counts of the entry's measure, by the labels that it asks for."""
        wanted = entry.get("by", self.labels)
        found: dict[Labels, tuple[Fraction, int]] = {}
        for values, cell in self.cells.items():
            group = tuple(sorted((k, v) for k, v in zip(self.labels, values, strict=True) if k in wanted))
            total, count = found.get(group, (Fraction(0), 0))
            measure = entry["measure"]
            found[group] = (total + cell[measure], count + self.counts[values][measure])
        return found


def add_up(example: Example) -> Sums:
    """Add up the readings. Label combinations are in the order of the file."""
    document: Mapping[str, Any] = example.document
    labels = tuple(document["labels"])
    cells: dict[tuple[str, ...], dict[str, Fraction]] = defaultdict(lambda: defaultdict(Fraction))
    counts: dict[tuple[str, ...], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for row in example.rows:
        values = tuple(row[label] for label in labels)
        for measure in document["measures"]:
            if row[measure]:
                cells[values][measure] += Fraction(row[measure])
                counts[values][measure] += 1
    return Sums(labels=labels, cells=cells, counts=counts)


def expected(example: Example) -> dict[Key, Expected]:
    """Return every number that the example's jobs must give."""
    sums = add_up(example)
    document: Mapping[str, Any] = example.document
    found: dict[Key, Expected] = {}
    for entry in document["joint"]:
        if entry["job"] == "circuit" and entry["file"] != AES:
            netlist = (example.place / entry["file"]).read_text(encoding="utf-8")
            found.update(_gates(entry, sums, netlist, document["measures"]))
        else:
            found.update(_JOBS[entry["job"]](entry, sums))
    return found


def _threshold(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    limit = _exact(entry["limit"])
    for group, (total, count) in sums.by(entry).items():
        above = total > limit * (count if entry.get("of") == "mean" else 1)
        yield Key(entry["name"], "above", group), Expected(value=Fraction(above))


def _rank(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    falling = sorted(((total, group) for group, (total, _) in sums.by(entry).items()), reverse=True)
    named = {"max": 1, "min": len(falling), "median": len(falling) // 2 + 1}
    for wanted in entry["places"]:
        place = named.get(wanted, wanted)
        place = place if place > 0 else len(falling) + 1 + place
        total, group = falling[place - 1]
        if entry["reveal"] == "labels":
            yield Key(entry["name"], str(wanted), group), Expected(value=Fraction(place))
        else:
            yield Key(entry["name"], str(wanted)), Expected(value=total)


def _product(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    first, second = entry["measures"]
    yield (
        Key(entry["name"], "total"),
        Expected(value=sum((cell[first] * cell[second] for cell in sums.cells.values()), Fraction(0))),
    )


def _polynomial(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    for group, (total, _) in sums.by(entry).items():
        value = sum((_exact(c) * total**power for power, c in enumerate(entry["coefficients"])), Fraction(0))
        yield Key(entry["name"], "value", group), Expected(value=value)


def _system(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    columns = entry["matrix"]
    matrix = np.array([[float(cell[name]) for name in columns] for cell in sums.cells.values()])
    right = np.array([float(cell[entry["right"]]) for cell in sums.cells.values()])
    if entry["job"] == "linear_solve":
        solution = np.linalg.solve(matrix, right)
    else:
        ridge = np.sqrt(float(entry.get("ridge", 0))) * np.eye(len(columns))
        both = np.concatenate([matrix, ridge]), np.concatenate([right, np.zeros(len(columns))])
        solution = np.linalg.lstsq(*both)[0]
    rounding = _exact(entry["resolution"]) * Fraction(501, 1000)  # half a step, and what binary64 is off by
    for name, x in zip(columns, solution, strict=True):
        yield Key(entry["name"], f"x_{name}"), Expected(value=Fraction(float(x)), off_by=rounding)


def _circuit(entry: Entry, sums: Sums) -> Iterable[tuple[Key, Expected]]:
    """The circuit of the example is AES-128: the first half of the input wires is the key, the other half the block."""
    for values, cell in sums.cells.items():
        wires = place = 0
        for measure, bits in entry["inputs"]:
            wires |= (int(cell[measure]) & ((1 << bits) - 1)) << place
            place += bits
        key, block = ((wires >> shift & (1 << 128) - 1).to_bytes(16, "big") for shift in (0, 128))
        cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305  one block, as in FIPS 197
        labels = tuple(sorted(zip(sums.labels, values, strict=True)))
        value = Fraction(int.from_bytes(cipher.update(block), "big"))
        yield Key(entry["name"], "out0", labels), Expected(value=value)


def _gates(entry: Entry, sums: Sums, netlist: str, measures: Mapping[str, Any]) -> Iterable[tuple[Key, Expected]]:
    """Any circuit: the lowest bits of each sum in steps, as two's complement, on its wires."""
    for values, cell in sums.cells.items():
        number = place = 0
        for measure, bits in entry["inputs"]:
            steps = cell[measure] / _exact(measures[measure]["resolution"])
            number |= (int(steps) & ((1 << bits) - 1)) << place
            place += bits
        labels = tuple(sorted(zip(sums.labels, values, strict=True)))
        for output, value in enumerate(evaluate(netlist, number)):
            yield Key(entry["name"], f"out{output}", labels), Expected(value=Fraction(value))


def evaluate(netlist: str, number: int) -> list[int]:
    """Return the outputs of a netlist in the Bristol fashion; bit k of `number` is on its input wire k."""
    (_, total), _, (_, *outputs), *gates = (
        [int(word) if word.isdigit() else word for word in line.split()]
        for line in netlist.splitlines()
        if line.strip()
    )
    wires = [number >> place & 1 for place in range(int(total))]
    for ins, outs, *rest, operation in gates:
        sources, targets = rest[: int(ins)], rest[int(ins) : int(ins) + int(outs)]
        bits = sources if operation == "EQ" else [wires[int(source)] for source in sources]
        for place, target in enumerate(targets):
            a, b = int(bits[place]), int(bits[(place + len(targets)) % len(bits)])
            wires[int(target)] = {"XOR": a ^ b, "AND": a & b, "MAND": a & b, "INV": 1 - a}.get(str(operation), a)
    end, values = len(wires) - sum(map(int, outputs)), []
    for size in map(int, outputs):
        values.append(sum(bit << place for place, bit in enumerate(wires[end : end + size])))
        end += size
    return values


def _exact(number: object) -> Fraction:
    """The number as it is written in the task: 0.1 is a tenth."""
    return Fraction(Decimal(str(number)))


_JOBS: Mapping[str, Callable[[Entry, Sums], Iterable[tuple[Key, Expected]]]] = {
    "threshold": _threshold,
    "rank": _rank,
    "product": _product,
    "polynomial": _polynomial,
    "linear_solve": _system,
    "least_squares": _system,
    "circuit": _circuit,
}
