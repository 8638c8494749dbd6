"""Readings for joint computations, and what must come out of them, in fractions and Python's whole numbers.

Nothing of Sotto is used here. Each organisation knows a part: load is measured by all of them, one row of a linear
system by one each, prices by two and volumes by the two others. Values are new in each window and made so that edges
occur: sums that are exactly at a limit, and areas whose sums are equal.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Final, NamedTuple

ORGANISATIONS: Final = ("north", "west", "south", "east")
AREAS: Final = ("centre", "outer", "ring")
"""Sorted, as the columns of every job are."""
LIMIT: Final = Decimal("900.5")
"""Of the sum of the loads of an area, in kW."""
MEAN_LIMIT: Final = Decimal("112.5")
COEFFICIENTS: Final = (Decimal(2), Decimal("-0.5"), Decimal("0.25"))
BITS: Final = 16
"""So wide are the circuit's two inputs; `MOST_READINGS` of the largest x fit."""
MOST_READINGS: Final = 16
"""Of one gateway in one window and cell."""
LARGEST_BITS: Final = 1023
CLASSIC: Final = ((2, 3, 8), (4, -1, 1), (6, 2, 10))
"""2x + 3y = 8, 4x - y = 1, 6x + 2y = 10: no exact solution. An organisation holds each equation."""
RESOLUTION: Final[Mapping[str, Fraction]] = {
    "overload": Fraction(1),
    "strain": Fraction(1),
    "worst": Fraction(1),
    "peaks": Fraction(1, 10),
    "cost": Fraction(1, 100),
    "wear": Fraction(25, 10_000),
    "mix": Fraction(1, 1_000),
    "fit": Fraction(1, 1_000),
    "adder": Fraction(1),
}
"""By job: what one step of its result is."""


class Number(NamedTuple):
    """One number of a joint result. `area` is empty where it has no label."""

    window: int
    name: str
    key: str
    area: str


class Cell(NamedTuple):
    """What a window knows of an area and a measure."""

    area: str
    measure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one sensor says at once: some measures, as decimals. `time` is milliseconds."""

    organisation: str
    area: str
    time: int
    values: Mapping[str, Decimal]


def readings(seed: int, number: int, window: int) -> tuple[Reading, ...]:
    """Return all readings of window `number`, which starts at `window`. They are a function of the seed."""
    chance = random.Random(f"joint/{seed}/{number}")
    said: dict[tuple[str, str], list[dict[str, Decimal]]] = {
        (organisation, area): [{} for _ in range(chance.randint(1, 3))]
        for organisation in ORGANISATIONS
        for area in AREAS
    }
    rows = _system(chance, classic=number == 0)
    for place, area in enumerate(AREAS):
        everybody = [one for organisation in ORGANISATIONS for one in said[organisation, area]]
        for one, load in zip(everybody, _loads(chance, len(everybody)), strict=True):
            one["load"] = load
            one["x"], one["y"] = (Decimal(chance.choice((0, 1, chance.randint(0, LARGEST_BITS)))) for _ in range(2))
        holder = ORGANISATIONS[place]
        said[holder, area][0].update(zip(("a1", "a2", "a3"), rows[place], strict=False))
        said[holder, area][0]["b"], said["east", area][0]["b"] = _parts(chance, rows[place][3])
        for organisation in ("north", "west"):
            said[organisation, area][0]["price"] = Decimal(chance.randint(-10_000, 40_000)).scaleb(-2)
        for organisation in ("south", "east"):
            said[organisation, area][0]["volume"] = Decimal(chance.randint(0, 1_000))
    return tuple(
        Reading(organisation=organisation, area=area, time=window + 2_000 + 100 * place, values=values)
        for (organisation, area), several in said.items()
        for place, values in enumerate(several)
    )


def _loads(chance: random.Random, count: int) -> list[Decimal]:
    """Return as many loads, whose sum is often at the limit, or one step beside it."""
    total = chance.choice((LIMIT, LIMIT + Decimal("0.1"), LIMIT - Decimal("0.1"), *_randoms(chance)))
    about = total / count
    loads = [(about + chance.randint(-20, 20)).quantize(Decimal("0.1")) for _ in range(count - 1)]
    return [*loads, total - sum(loads)]


def _randoms(chance: random.Random) -> list[Decimal]:
    return [Decimal(chance.randint(4_000, 16_000)).scaleb(-1) for _ in range(3)]


def _parts(chance: random.Random, whole: Decimal) -> tuple[Decimal, Decimal]:
    part = Decimal(chance.randint(-200, 200)).scaleb(-1)
    return part, whole - part


def _system(chance: random.Random, *, classic: bool) -> list[tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Return three rows a1, a2, a3, b, near the classic ones, of which both systems have one solution."""
    while True:
        moved = 0 if classic else 4
        rows = [
            (
                Decimal(a1) + Decimal(chance.randint(-moved, moved)) / 2,
                Decimal(a2) + Decimal(chance.randint(-moved, moved)) / 2,
                Decimal(chance.randint(-20, 20)) / 2,
                Decimal(b) + Decimal(chance.randint(-5 * moved, 5 * moved)).scaleb(-1),
            )
            for a1, a2, b in CLASSIC
        ]
        square = [[Fraction(one) for one in row[:3]] for row in rows]
        tall = [[Fraction(one) for one in row[:2]] for row in rows]
        if solved(square, [Fraction(0)] * 3) is not None and solved(_gram(tall), [Fraction(0)] * 2) is not None:
            return rows


# -- what must come out ------------------------------------------------------------------------------------------


def totals(several: Iterable[Reading]) -> dict[Cell, tuple[int, Fraction]]:
    """Return count and sum of each cell that has a reading."""
    found: dict[Cell, list[Fraction]] = defaultdict(list)
    for one in several:
        for measure, value in one.values.items():
            found[Cell(one.area, measure)].append(Fraction(value))
    return {cell: (len(values), sum(values, Fraction(0))) for cell, values in found.items()}


def expected(several: Iterable[Reading], window: int) -> dict[Number, Fraction]:
    """Return every number of every job of a window."""
    cells = totals(several)

    def each(measure: str) -> list[Fraction]:
        return [cells[Cell(area, measure)][1] for area in AREAS]

    loads = each("load")
    counts = [cells[Cell(area, "load")][0] for area in AREAS]
    found: dict[Number, Fraction] = {}

    def by_area(name: str, key: str, values: Sequence[Fraction | int]) -> None:
        found.update(
            (Number(window, name, key, area), Fraction(value)) for area, value in zip(AREAS, values, strict=True)
        )

    by_area("overload", "above", [load > Fraction(LIMIT) for load in loads])
    by_area("strain", "above", [load > Fraction(MEAN_LIMIT) * count for load, count in zip(loads, counts, strict=True)])
    by_area("wear", "value", [sum(Fraction(c) * load**k for k, c in enumerate(COEFFICIENTS)) for load in loads])
    # Of equal sums the one of the later area is the higher one.
    order = sorted(range(len(AREAS)), key=lambda place: (loads[place], place), reverse=True)
    for key, rank in (("max", 0), ("median", 1), ("min", 2)):
        found[Number(window, "worst", key, AREAS[order[rank]])] = Fraction(rank + 1)
        found[Number(window, "peaks", key, "")] = loads[order[rank]]
    cost = sum(price * volume for price, volume in zip(each("price"), each("volume"), strict=True))
    found[Number(window, "cost", "total", "")] = Fraction(cost)
    square = [list(row) for row in zip(each("a1"), each("a2"), each("a3"), strict=True)]
    tall, right = [row[:2] for row in square], each("b")
    for name, solution in (
        ("mix", solved(square, right)),
        ("fit", solved(_gram(tall), [_inner(column, right) for column in zip(*tall, strict=True)])),
    ):
        assert solution is not None, "internal error: the readings were made so that there is a solution"
        for place, value in enumerate(solution, 1):
            found[Number(window, name, f"x_a{place}", "")] = rounded(value, RESOLUTION[name])
    xs, ys = each("x"), each("y")
    by_area("adder", "out0", [x + y for x, y in zip(xs, ys, strict=True)])
    by_area("adder", "out1", [x < y for x, y in zip(xs, ys, strict=True)])
    return found


def rounded(value: Fraction, resolution: Fraction) -> Fraction:
    """Return a multiple of the resolution, half up."""
    return floor(value / resolution + Fraction(1, 2)) * resolution


def solved(matrix: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction] | None:
    """Return the solution of a square system, None where it is singular: Gauss and Jordan, in fractions."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for place in range(len(rows)):
        pivot = next((row for row in rows[place:] if row[place]), None)
        if pivot is None:
            return None
        rows.remove(pivot)
        unit = [value / pivot[place] for value in pivot]
        rows = [[value - row[place] * one for value, one in zip(row, unit, strict=True)] for row in rows]
        rows.insert(place, unit)
    return [row[-1] for row in rows]


def _gram(tall: Sequence[Sequence[Fraction]]) -> list[list[Fraction]]:
    columns = list(zip(*tall, strict=True))
    return [[_inner(one, other) for other in columns] for one in columns]


def _inner(one: Sequence[Fraction], other: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(one, other, strict=True)), Fraction(0))


# -- the circuit -------------------------------------------------------------------------------------------------


def netlist(bits: int = BITS) -> str:
    """Return a circuit in the Bristol fashion: x + y (one bit more), and whether x < y."""
    gates: list[str] = []
    wires = 2 * bits

    def gate(operation: str, *sources: int) -> int:
        nonlocal wires
        gates.append(f"{len(sources)} 1 {' '.join(map(str, sources))} {wires} {operation}")
        wires += 1
        return wires - 1

    def ripple(y: Callable[[int], int], carry: int | None) -> tuple[list[int], int]:
        """Add y to x; carry = majority(x, y, carry) = ((x ^ carry) & (y ^ carry)) ^ carry, one AND for each bit."""
        sums = []
        for place in range(bits):
            one, other = place, y(place)
            if carry is None:
                sums.append(gate("XOR", one, other))
                carry = gate("AND", one, other)
                continue
            left, right = gate("XOR", one, carry), gate("XOR", other, carry)
            sums.append(gate("XOR", left, other))
            carry = gate("XOR", gate("AND", left, right), carry)
        assert carry is not None, "internal error: there are bits"
        return sums, carry

    sums, carry = ripple(lambda place: bits + place, None)
    # x - y = x + ~y + 1 carries out exactly if x >= y.
    _, not_less = ripple(lambda place: gate("INV", bits + place), gate("EQ", 1))
    less = gate("INV", not_less)
    for wire in (*sums, carry, less):  # outputs are the last wires
        gate("EQW", wire)
    return "\n".join([f"{len(gates)} {wires}", f"2 {bits} {bits}", f"2 {bits + 1} 1", "", *gates]) + "\n"
