"""The plain computation, by hand-made cases, and the verdict, on what is right and on each thing that can be wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from fractions import Fraction

import pytest

from tests.faults.joint_check import Outcome, Place, Record, Row, numbers, said
from tests.faults.joint_plain import (
    AREAS,
    CLASSIC,
    LARGEST_BITS,
    MOST_READINGS,
    ORGANISATIONS,
    RESOLUTION,
    Number,
    expected,
    netlist,
    readings,
    rounded,
    solved,
    totals,
)

WINDOW = 1_480_521_600_000


def test_the_classic_equations_have_their_known_solutions() -> None:
    """4x - y = 1 and 6x + 2y = 10 cross where both hold; a singular system has no solution."""
    solution = solved([[Fraction(4), Fraction(-1)], [Fraction(6), Fraction(2)]], [Fraction(1), Fraction(10)])
    assert solution == [Fraction(12, 14), Fraction(34, 14)]
    assert solved([[Fraction(2), Fraction(4)], [Fraction(1), Fraction(2)]], [Fraction(1), Fraction(1)]) is None
    assert solved([[Fraction(0), Fraction(1)], [Fraction(1), Fraction(0)]], [Fraction(3), Fraction(5)]) == [
        Fraction(5),
        Fraction(3),
    ]


def test_the_least_squares_solution_leaves_a_remainder_that_no_column_sees() -> None:
    """The normal equations of the first window, whose rows are the classic ones, hold up to the rounding."""
    numbers_due = expected(readings(1, 0, WINDOW), WINDOW)
    x, y = (numbers_due[Number(WINDOW, "fit", f"x_a{k}", "")] for k in (1, 2))
    for column in (0, 1):
        remainders = [row[column] * (row[2] - row[0] * x - row[1] * y) for row in CLASSIC]
        assert abs(sum(remainders, Fraction(0))) < Fraction(1, 10)


@pytest.mark.parametrize(("value", "steps"), [("0.0005", 1), ("-0.0005", 0), ("0.0004999", 0), ("-1.2345", -1234)])
def test_halves_are_rounded_up(value: str, steps: int) -> None:
    """As the protocol does: floor(x + 1/2)."""
    assert rounded(Fraction(value), Fraction(1, 1000)) == Fraction(steps, 1000)


def test_readings_have_edges_and_stay_in_their_ranges() -> None:
    """Of a hundred windows some sums are exactly at the limit, and some areas alike; nobody reports too much."""
    exact = alike = 0
    for number in range(100):
        several = readings(1, number, WINDOW)
        assert {(one.organisation, one.area) for one in several} == {(o, a) for o in ORGANISATIONS for a in AREAS}
        assert len(several) <= len(ORGANISATIONS) * len(AREAS) * MOST_READINGS
        assert all(-200 <= one.values["load"] <= 500 and 0 <= one.values["x"] <= LARGEST_BITS for one in several)
        due = expected(several, WINDOW)
        assert {number.name for number in due} == set(RESOLUTION)
        assert all((value / RESOLUTION[number.name]).denominator == 1 for number, value in due.items())
        loads = [total for cell, (_, total) in totals(several).items() if cell.measure == "load"]
        exact += loads.count(Fraction("900.5"))
        alike += len(set(loads)) < len(loads)
    assert exact > 5
    assert alike > 5


def test_the_netlist_adds_and_compares() -> None:
    """Read by hand, gate after gate, against Python's own arithmetic."""
    head, _, outputs, _, *gates = netlist().splitlines()
    assert outputs == "2 17 1"
    chance = random.Random(1)
    for x, y in [(0, 0), (65535, 65535), (0, 65535), (65535, 0), *((chance.randrange(65536),) * 2 for _ in range(5))]:
        wires = [x >> place & 1 for place in range(16)] + [y >> place & 1 for place in range(16)]
        for gate in gates:
            *places, operation = gate.split()[2:]
            first, *rest = map(int, places)
            match operation:
                case "XOR":
                    wires.append(wires[first] ^ wires[rest[0]])
                case "AND":
                    wires.append(wires[first] & wires[rest[0]])
                case "INV":
                    wires.append(1 - wires[first])
                case "EQW":
                    wires.append(wires[first])
                case _:
                    assert operation == "EQ"
                    wires.append(first)
        assert len(wires) == int(head.split()[1])
        assert sum(bit << place for place, bit in enumerate(wires[-18:-1])) == x + y
        assert wires[-1] == (x < y)


DUE = {Number(1, "cost", "total", ""): Fraction(5, 2), Number(1, "overload", "above", "ring"): Fraction(1)}
ROWS = (
    Row(number=Number(1, "cost", "total", ""), steps=250, text="250", value=2.5, verified=True),
    Row(number=Number(1, "overload", "above", "ring"), steps=1, text="1", value=1.0, verified=True),
)
OUTCOMES = (Outcome(1, "cost", "", "point", "none"), Outcome(1, "overload", "ring", "point", "none"))


def test_what_is_right_has_no_faults() -> None:
    """Every number is there and exact, and its job's outcome is a point."""
    assert numbers(DUE, ROWS, OUTCOMES) == []


@pytest.mark.parametrize(
    ("rows", "outcomes", "says"),
    [
        (ROWS[:1], OUTCOMES, "is missing"),
        ((*ROWS, ROWS[0]), OUTCOMES, "is there 2 times"),
        ((replace(ROWS[0], steps=251, text="251"), ROWS[1]), OUTCOMES, "is 251 steps"),
        ((replace(ROWS[0], text="251"), ROWS[1]), OUTCOMES, "text 251"),
        ((replace(ROWS[0], value=2.4999), ROWS[1]), OUTCOMES, "value 2.4999"),
        ((replace(ROWS[0], verified=False), ROWS[1]), OUTCOMES, "is not verified"),
        ((*ROWS, replace(ROWS[0], number=Number(2, "cost", "total", ""))), OUTCOMES, "was not due"),
        (ROWS, OUTCOMES[1:], "has no outcome"),
        (ROWS, (OUTCOMES[0], OUTCOMES[1]._replace(outcome="suppressed", reason="party_missing")), "party_missing"),
    ],
)
def test_what_is_wrong_is_named(rows: tuple[Row, ...], outcomes: tuple[Outcome, ...], says: str) -> None:
    """One thing is changed at a time."""
    (wrong,) = numbers(DUE, rows, outcomes)
    assert says in wrong


def _record(value: bytes, *, number: int = 0, kind: str = "round", digest: bytes = b"d", at: int = 5) -> Record:
    return Record(Place(1, 0, digest, kind, number), value, at)


def test_the_same_bytes_again_are_counted() -> None:
    """Rounds are counted once, and so are their bytes."""
    found = said([_record(b"abc"), _record(b"de", number=1, at=7), _record(b"abc", at=9)])
    assert (found.records, found.again[0], found.other) == (3, 1, [])
    assert (found.rounds[1], found.bytes[1], found.spans[1]) == (2, 5, (5, 9))


def test_other_bytes_and_a_second_set_are_faults() -> None:
    """A mask would be used twice. Keys are sealed anew each time, and may differ."""
    assert said([_record(b"abc"), _record(b"abd")]).other == [_record(b"").place]
    assert len(said([_record(b"abc"), _record(b"abc", digest=b"e")]).other) == 2
    again = said([_record(b"k", kind="keys", number=-1), _record(b"l", kind="keys", number=-1)])
    assert (again.keys_again, again.other) == (1, [])
