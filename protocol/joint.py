"""What a task asks for beyond sums: its [[joint]] entries, and the ranges that they must keep (SPEC 3.1).

A job reads cell sums in steps of their measure's resolution, the minimum added back: whole numbers with sign. All
that can be said without the roster is checked here; how many label combinations there are is the roster's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from math import gcd, lcm
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, field_validator

from protocol.canonical import Json, decimal_text
from protocol.measure import Limits, Measure
from protocol.model import Key, Model
from protocol.units import ExactDecimal

MOST_COLUMNS: Final = 512
"""How many values can be put in order."""

Measures: TypeAlias = Mapping[str, Measure]

_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


def _short(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "internal error: parse_decimal lets finite numbers through only"
    if exponent < -40 or number.adjusted() > 40:
        msg = "a number with at most 40 digits before the point and 40 behind it is needed here"
        raise ValueError(msg)
    return number


Number = Annotated[ExactDecimal, AfterValidator(_short)]


def exact_decimal(number: Fraction) -> Decimal:
    """Return a fraction as a decimal, with all its digits. Its denominator has no prime factors but 2 and 5."""
    places = 0
    while number.denominator > 1:
        number, places = number * 10, places + 1
    digits = tuple(map(int, str(abs(number.numerator))))
    return Decimal((int(number < 0), digits, -places))


def largest_sum(measure: Measure, limits: Limits, cells: int = 1) -> int:
    """Return what the sum of a number of cells cannot exceed, with either sign, in steps."""
    return limits.readings * cells * measure.farthest()


def _fits(what: str, most: int, bits: int) -> None:
    if most >= 2**bits:
        msg = (
            f"{what} can reach {most}, which must be below 2^{bits}: choose a coarser resolution or a smaller range,"
            " or lower max_gateways and max_rows ([limits])"
        )
        raise ValueError(msg)


class _Entry(Model):
    """What all jobs have. Each says the measures that it `uses`, and what its results are measured in."""

    name: Key

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the measures that the job reads, each once, in the order of its columns."""
        raise NotImplementedError

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        """Refuse (ValueError) what this task cannot compute. The measures that the job uses exist."""
        raise NotImplementedError

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        """Unit and resolution of the results: a value is its steps times the resolution."""
        raise NotImplementedError

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        """The entry in the task's canonical document (SPEC 3.1)."""
        raise NotImplementedError


class _Grouped(_Entry):
    """A job on one measure, by some of the labels; the sums over the others are made on shares."""

    measure: Key
    by: Annotated[tuple[Key, ...] | None, Field(strict=False)] = None

    @property
    def uses(self) -> tuple[str, ...]:
        return (self.measure,)

    def labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Those labels of the task by which the job groups, in the task's order; all unless `by` says less."""
        return tuple(label for label in labels if self.by is None or label in self.by)

    def _check_by(self, labels: Sequence[str]) -> None:
        by = self.by or ()
        if len(set(by)) != len(by):
            msg = "by names a label twice"
            raise ValueError(msg)
        unknown = [label for label in by if label not in labels]
        if unknown:
            msg = f"by names {unknown[0]}, which is no label of the task; its labels are {list(labels)}"
            raise ValueError(msg)


class ThresholdSpec(_Grouped):
    """Whether the sum, or the mean, is above a limit: one bit for each group."""

    job: Literal["threshold"]
    limit: Number
    of: Literal["sum", "mean"] = "sum"

    def limit_steps(self, measure: Measure) -> int:
        """The limit in steps. A sum of steps is above the limit exactly if it is above its floor."""
        return int(Fraction(self.limit) / Fraction(measure.resolution) // 1)

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        self._check_by(labels)
        measure = measures[self.measure]
        limit = self.limit_steps(measure)
        if self.of == "sum":
            _fits("the distance of a sum from the limit, in steps,", largest_sum(measure, limits) + abs(limit), 63)
            return
        if limit * Fraction(measure.resolution) != Fraction(self.limit):
            msg = (
                f"the limit of a mean must be a multiple of the resolution of {self.measure}"
                f" ({decimal_text(measure.resolution)}), so that the comparison is exact: {decimal_text(self.limit)}"
            )
            raise ValueError(msg)
        _fits("the distance of a sum from limit x count, in steps,", limits.readings * measure.farthest(limit), 63)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return "1", Decimal(1)

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "measure": self.measure,
            "by": list(self.labels(labels)),
            "limit": decimal_text(self.limit),
            "of": self.of,
        }


class RankSpec(_Grouped):
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
        self._check_by(labels)
        if not self.labels(labels):
            msg = "an order needs a label to order by: name one in by (the task must have labels)"
            raise ValueError(msg)
        _fits("a sum, in steps,", largest_sum(measures[self.measure], limits), 62)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        if self.reveal == "labels":
            return "1", Decimal(1)
        return measures[self.measure].unit, measures[self.measure].resolution

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "measure": self.measure,
            "by": list(self.labels(labels)),
            "places": list(self.places),
            "reveal": self.reveal,
        }


class ProductSpec(_Entry):
    """The sum, over all label combinations, of the product of two measures' sums."""

    job: Literal["product"]
    measures: Annotated[tuple[Key, Key], Field(strict=False)]

    @property
    def uses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.measures))

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        for name in self.uses:
            _fits(f"a sum of {name}, in steps,", largest_sum(measures[name], limits), 63)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        first, second = (measures[name] for name in self.measures)
        units = [one.unit for one in (first, second) if one.unit != "1"]
        return ".".join(units) or "1", exact_decimal(Fraction(first.resolution) * Fraction(second.resolution))

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {"name": self.name, "job": self.job, "measures": list(self.measures)}


class PolynomialSpec(_Grouped):
    """c0 + c1 x + .. of the sum x of each group."""

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
        self._check_by(labels)
        measure = measures[self.measure]
        largest = largest_sum(measure, limits)
        _fits(f"a sum of {self.measure}, in steps,", largest, 63)
        most = sum(abs(c) * largest**power for power, c in enumerate(self.whole_coefficients(measure)))
        step = decimal_text(exact_decimal(self.resolution(measure)))
        _fits(f"a value of the polynomial, in steps of {step},", most, 126)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return self.unit, exact_decimal(self.resolution(measures[self.measure]))

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "measure": self.measure,
            "by": list(self.labels(labels)),
            "coefficients": [decimal_text(c) for c in self.coefficients],
            "unit": self.unit,
        }


class _Linear(_Entry):
    """A linear system with one row for each label combination: the sums of `matrix` times x are those of `right`."""

    matrix: Annotated[tuple[Key, ...], Field(strict=False, min_length=1, max_length=32)]
    right: Key
    resolution: Number
    unit: Annotated[str, Field(min_length=1, max_length=64)]

    @field_validator("resolution")
    @classmethod
    def _is_a_step(cls, resolution: Decimal) -> Decimal:
        if resolution <= 0:
            msg = "resolution must be above 0"
            raise ValueError(msg)
        return resolution

    @property
    def uses(self) -> tuple[str, ...]:
        return (*self.matrix, self.right)

    def scale(self, measures: Measures) -> int:
        """What a solution in steps is multiplied with to be in steps of `resolution`, before it is rounded."""
        return int(self._scale(measures))

    def _scale(self, measures: Measures) -> Fraction:
        step = Fraction(measures[self.matrix[0]].resolution) * Fraction(self.resolution)
        return Fraction(measures[self.right].resolution) / step

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        if len(set(self.uses)) != len(self.uses):
            msg = "matrix and right name a measure twice: such a system is singular, or its solution is known"
            raise ValueError(msg)
        if len({measures[name].resolution for name in self.matrix}) > 1:
            msg = "the measures of matrix must have one resolution: give the finer one to all of them"
            raise ValueError(msg)
        for name in self.uses:
            _fits(f"a sum of {name}, in steps,", largest_sum(measures[name], limits), 63)
        coarsest = Fraction(measures[self.right].resolution) / Fraction(measures[self.matrix[0]].resolution)
        if self._scale(measures).denominator != 1:
            msg = (
                f"resolution {decimal_text(self.resolution)} does not fit: the resolution of {self.right} divided by"
                f" that of the matrix is {decimal_text(Decimal(coarsest.numerator) / coarsest.denominator)};"
                " this or a whole part of it (a tenth, a thousandth) is possible"
            )
            raise ValueError(msg)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return self.unit, self.resolution


class LinearSolveSpec(_Linear):
    """The solution of a square system: as many label combinations as measures in `matrix`."""

    job: Literal["linear_solve"]

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "matrix": list(self.matrix),
            "right": self.right,
            "resolution": decimal_text(self.resolution),
            "unit": self.unit,
        }


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

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "matrix": list(self.matrix),
            "right": self.right,
            "resolution": decimal_text(self.resolution),
            "unit": self.unit,
            "ridge": decimal_text(self.ridge),
        }


Wires: TypeAlias = Annotated[tuple[Key, Annotated[int, Field(ge=1, le=64)]], Field(strict=False)]


class CircuitSpec(_Entry):
    """A netlist on the bits of the sums of each label combination; `inputs` fill its input wires from the lowest on.

    An input is the lowest bits of the sum in steps, as two's complement. `file` is found beside the task file and
    is what `sha256` says, or the task is refused: where it lies is not agreed, what it computes is.
    """

    job: Literal["circuit"]
    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    inputs: Annotated[tuple[Wires, ...], Field(strict=False, min_length=1, max_length=1_024)]

    @field_validator("file")
    @classmethod
    def _is_beside_the_task(cls, file: str) -> str:
        if not _FILE.fullmatch(file):
            msg = "file is the name of a file in the folder of the task file, like aes_128.txt"
            raise ValueError(msg)
        return file

    @property
    def uses(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for name, _ in self.inputs))

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        for name in self.uses:
            _fits(f"a sum of {name}, in steps,", largest_sum(measures[name], limits), 63)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        return "1", Decimal(1)

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {
            "name": self.name,
            "job": self.job,
            "sha256": self.sha256,
            "inputs": [[name, bits] for name, bits in self.inputs],
        }


JointSpec: TypeAlias = Annotated[
    ThresholdSpec | RankSpec | ProductSpec | PolynomialSpec | LinearSolveSpec | LeastSquaresSpec | CircuitSpec,
    Field(discriminator="job"),
]


def check_joint(joint: Sequence[JointSpec], measures: Measures, labels: Sequence[str], limits: Limits) -> None:
    """Refuse (ValueError, naming the entry) jobs that a task with these measures cannot have."""
    seen: set[str] = set()
    for spec in joint:
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
            msg = f"joint {spec.name}: {error}"
            raise ValueError(msg) from None
