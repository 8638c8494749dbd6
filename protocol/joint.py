"""What a task asks for beyond sums: the kinds of its [[joint]] entries, and what each refuses (SPEC 3.1).

All that can be said without the roster is checked here; how many label combinations there are is the roster's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from typing import Annotated, ClassVar, Final, Literal, TypeAlias

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from protocol.canonical import decimal_text
from protocol.joint_entry import Entry, Grouped, Measures, Number, exact_decimal, fits, largest_sum
from protocol.measure import Limits, Measure
from protocol.model import AT_PATH, Key, matching

MOST_COLUMNS: Final = 256
"""How many values can be put in order."""
LONGEST_OUTPUT: Final = 1_328
"""Wires of an output of a circuit: as a number it has at most 400 digits."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ThresholdSpec(Grouped):
    """Whether the sum, or the mean, is above a limit: one bit for each group."""

    elementwise: ClassVar[bool] = True

    job: Literal["threshold"]
    limit: Number
    of: Literal["sum", "mean"] = "sum"

    def limit_steps(self, measure: Measure) -> int:
        """The limit in steps. A sum of steps is above the limit exactly if it is above its floor."""
        return int(Fraction(self.limit) / Fraction(measure.resolution) // 1)

    def decides(self, measure: Measure, limits: Limits, cells: int) -> None:
        """Refuse (ValueError) a limit that all sums of so many cells are above, or none: the answer is known before."""
        limit, lowest = self.limit_steps(measure), measure.minimum_steps
        highest = lowest + measure.steps
        if self.of == "sum":
            most = limits.readings * cells
            lowest, highest = min(lowest, most * lowest), max(highest, most * highest)
        if lowest <= limit < highest:
            return
        never = limit >= highest
        end = decimal_text(exact_decimal((highest if never else lowest) * Fraction(measure.resolution)))
        msg = (
            f"{'no' if never else 'every'} {self.of} of {self.measure} is above {decimal_text(self.limit)}: the"
            f" {'largest' if never else 'smallest'} that there can be under range and [limits] is {end}. Choose a"
            f" {'lower' if never else 'higher'} limit"
        )
        raise ValueError(msg)

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        super().check(measures, labels, limits)
        measure = measures[self.measure]
        limit = self.limit_steps(measure)
        if self.of == "sum":
            fits("the distance of a sum from the limit, in steps,", largest_sum(measure, limits) + abs(limit), 63)
            if self.labels(labels) == tuple(labels):  # else a sum is of as many cells as the roster has label values
                self.decides(measure, limits, 1)
            return
        if limit * Fraction(measure.resolution) != Fraction(self.limit):
            msg = (
                f"the limit of a mean must be a multiple of the resolution of {self.measure}"
                f" ({decimal_text(measure.resolution)}), so that the comparison is exact: {decimal_text(self.limit)}"
            )
            raise ValueError(msg)
        fits("the distance of a sum from limit x count, in steps,", limits.readings * measure.farthest(limit), 63)
        self.decides(measure, limits, 1)

    @property
    def keys(self) -> tuple[str, ...]:
        return ("above",)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return "1", Decimal(1)


class RankSpec(Grouped):
    """Who is where in the order of the sums, or how much is there: by places from the top."""

    job: Literal["rank"]
    places: Annotated[tuple[Literal["max", "min", "median"] | int, ...], Field(strict=False, min_length=1)]
    reveal: Literal["labels", "values"]

    @field_validator("places")
    @classmethod
    def _are_places(cls, places: tuple[str | int, ...]) -> tuple[str | int, ...]:
        for place in places:
            if isinstance(place, int) and not 1 <= abs(place) <= MOST_COLUMNS:
                msg = (
                    f"a place is 1 (the highest) to {MOST_COLUMNS}, or -1 (the lowest) to -{MOST_COLUMNS}, not {place}"
                )
                raise ValueError(msg)
        if len(set(places)) != len(places):
            msg = "places names a place twice"
            raise ValueError(msg)
        return places

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        super().check(measures, labels, limits)
        if not self.labels(labels):
            msg = "an order needs a label to order by: name one in by (the task must have labels)"
            raise ValueError(msg)
        fits("a sum, in steps,", largest_sum(measures[self.measure], limits), 62)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(map(str, self.places))

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        if self.reveal == "labels":
            return "1", Decimal(1)
        return measures[self.measure].unit, measures[self.measure].resolution


class ProductSpec(Entry):
    """The sum, over all label combinations, of the product of two measures' sums."""

    job: Literal["product"]
    measures: Annotated[tuple[Key, Key], Field(strict=False)]

    @property
    def columns(self) -> tuple[str, ...]:
        return self.measures

    @property
    def keys(self) -> tuple[str, ...]:
        return ("total",)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        first, second = (measures[name] for name in self.measures)
        units = [one.unit for one in (first, second) if one.unit != "1"]
        return ".".join(units) or "1", exact_decimal(Fraction(first.resolution) * Fraction(second.resolution))


class PolynomialSpec(Grouped):
    """c0 + c1 x + .. of the sum x of each group."""

    elementwise: ClassVar[bool] = True

    job: Literal["polynomial"]
    coefficients: Annotated[tuple[Number, ...], Field(strict=False, min_length=2, max_length=32)]
    unit: Annotated[str, Field(min_length=1, max_length=64)]

    @field_validator("coefficients")
    @classmethod
    def _has_a_degree(cls, coefficients: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if not coefficients[-1]:
            msg = "the last coefficient, that of the highest power, is 0: leave it out"
            raise ValueError(msg)
        return coefficients

    def _of_steps(self, measure: Measure) -> list[Fraction]:
        return [Fraction(c) * Fraction(measure.resolution) ** power for power, c in enumerate(self.coefficients)]

    def resolution(self, measure: Measure) -> Fraction:
        """The largest number of which every c_k resolution^k is a whole multiple: results are exact."""
        terms = self._of_steps(measure)
        denominator = lcm(*(term.denominator for term in terms))
        return Fraction(gcd(*(int(term * denominator) for term in terms)), denominator)

    def whole_coefficients(self, measure: Measure) -> tuple[int, ...]:
        """The coefficients for a sum in steps, of a result in steps of `resolution`."""
        step = self.resolution(measure)
        return tuple(int(term / step) for term in self._of_steps(measure))

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        super().check(measures, labels, limits)
        measure = measures[self.measure]
        largest = largest_sum(measure, limits)
        most = sum(abs(c) * largest**power for power, c in enumerate(self.whole_coefficients(measure)))
        step = decimal_text(exact_decimal(self.resolution(measure)))
        fits(f"a value of the polynomial, in steps of {step},", most, 126)

    @property
    def keys(self) -> tuple[str, ...]:
        return ("value",)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return self.unit, exact_decimal(self.resolution(measures[self.measure]))


class _Linear(Entry):
    """A linear system with one row for each label combination: the sums of `matrix` times x are those of `right`."""

    matrix: Annotated[tuple[Key, ...], Field(strict=False, min_length=1, max_length=32)]
    right: Key
    resolution: Annotated[Number, Field(gt=0)]
    unit: Annotated[str, Field(min_length=1, max_length=64)]

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.matrix, self.right)

    def scale(self, measures: Measures) -> int:
        """What a solution in steps is multiplied with to be in steps of `resolution`, before it is rounded."""
        return int(self._scale(measures))

    def _scale(self, measures: Measures) -> Fraction:
        step = Fraction(measures[self.matrix[0]].resolution) * Fraction(self.resolution)
        return Fraction(measures[self.right].resolution) / step

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        if self.uses != self.columns:
            msg = "matrix and right name a measure twice: such a system is singular, or its solution is known"
            raise ValueError(msg)
        if len({measures[name].resolution for name in self.matrix}) > 1:
            msg = "the measures of matrix must have one resolution: give the finer one to all of them"
            raise ValueError(msg)
        super().check(measures, labels, limits)
        scale, (first, *_) = self._scale(measures), self.matrix
        if scale.denominator != 1:
            right, matrix = (decimal_text(measures[name].resolution) for name in (self.right, first))
            msg = (
                f"resolution {decimal_text(self.resolution)} goes {scale} times into {right} / {matrix}, the"
                f" resolutions of {self.right} and {first}: it must go a whole number of times. Choose a finer one"
            )
            raise ValueError(msg)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(f"x_{name}" for name in self.matrix)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return self.unit, self.resolution


class LinearSolveSpec(_Linear):
    """The solution of a square system: as many label combinations as measures in `matrix`."""

    job: Literal["linear_solve"]


class LeastSquaresSpec(_Linear):
    """The x that minimises |X x - y|^2 + ridge |x|^2. `ridge` is in the square of the matrix's unit."""

    job: Literal["least_squares"]
    ridge: Number = Decimal(0)

    def ridge_steps(self, measures: Measures) -> int:
        """The ridge in squared steps of the matrix."""
        return int(self._ridge(measures))

    def _ridge(self, measures: Measures) -> Fraction:
        return Fraction(self.ridge) / Fraction(measures[self.matrix[0]].resolution) ** 2

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        super().check(measures, labels, limits)
        if self.ridge < 0 or self._ridge(measures).denominator != 1:
            square = exact_decimal(Fraction(measures[self.matrix[0]].resolution) ** 2)
            msg = f"ridge must be 0 or a multiple of the square of the matrix's resolution ({decimal_text(square)})"
            raise ValueError(msg)


Wires: TypeAlias = Annotated[tuple[Key, Annotated[int, Field(ge=1, le=64)]], Field(strict=False)]


class CircuitSpec(Entry):
    """A netlist on the bits of the sums of each label combination; `inputs` fill its input wires from the lowest on.

    An input is the lowest bits of the sum in steps, as two's complement. `file` is found beside the task file and
    is what `sha256` says, or the task is refused: where it lies is not agreed, what it computes is.
    """

    elementwise: ClassVar[bool] = True
    _left_out: ClassVar[frozenset[str]] = frozenset({"file"})

    job: Literal["circuit"]
    file: Annotated[str, matching(_FILE, "file is the name of a file in the folder of the task file, like aes_128.txt")]
    sha256: Annotated[
        str, matching(_SHA256, "64 digits of 0-9 and a-f are needed here, as sha256sum prints them of the file")
    ]
    inputs: Annotated[tuple[Wires, ...], Field(strict=False, min_length=1, max_length=1_024)]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.inputs)

    @property
    def keys(self) -> tuple[str, ...]:
        return ()

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return "1", Decimal(1)


JointSpec: TypeAlias = Annotated[
    ThresholdSpec | RankSpec | ProductSpec | PolynomialSpec | LinearSolveSpec | LeastSquaresSpec | CircuitSpec,
    Field(discriminator="job"),
]


def check_joint(joint: Sequence[JointSpec], measures: Measures, labels: Sequence[str], limits: Limits) -> None:
    """Refuse (ValueError, naming the entry) jobs that a task with these measures cannot have."""
    seen: set[str] = set()
    for number, spec in enumerate(joint):
        try:
            if spec.name in seen or spec.name in measures:
                msg = "the name is taken by another job or by a measure: sinks could not tell their values apart"
                raise ValueError(msg)
            seen.add(spec.name)
            unknown = [name for name in spec.uses if name not in measures]
            if unknown:
                msg = f"{unknown[0]} is no measure of the task; its measures are {sorted(measures)}"
                raise ValueError(msg)
            spec.check(measures, labels, limits)
        except ValueError as error:
            what = f"joint {spec.name}: {error}"
            raise PydanticCustomError(AT_PATH, "{what}", {"what": what, "path": ("joint", number)}) from None
