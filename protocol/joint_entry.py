"""What all [[joint]] entries of a task have: the measures that they read, ranges, a canonical form (SPEC 3.1).

A job reads cell sums in steps of their measure's resolution, the minimum added back: whole numbers with sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, ClassVar, TypeAlias

from pydantic import AfterValidator, Field

from protocol.canonical import Json, decimal_text
from protocol.measure import Limits, Measure
from protocol.model import Key, Model
from protocol.units import ExactDecimal

Measures: TypeAlias = Mapping[str, Measure]


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


def fits(what: str, most: int, bits: int) -> None:
    """Refuse (ValueError) a magnitude of more than so many bits."""
    if most.bit_length() > bits:
        msg = (
            f"{what} can take {most.bit_length()} bits, and {bits} are there: choose a coarser resolution or a smaller"
            " range, or lower max_gateways and max_rows ([limits])"
        )
        raise ValueError(msg)


class Entry(Model):
    """What all jobs have. Each says the measures of its `columns`, and what its results are measured in."""

    elementwise: ClassVar[bool] = False
    """Whether each group has a result of its own, or all together have one."""
    _left_out: ClassVar[frozenset[str]] = frozenset()
    """Fields that do not stand in the canonical document as they are."""

    name: Key

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the measures whose sums are the columns of a group, in the order in which the job takes them."""
        raise NotImplementedError

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of the measures that the job reads, each once."""
        return tuple(dict.fromkeys(self.columns))

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the values, of each group or of the whole. Those of a circuit stand in its netlist alone."""
        raise NotImplementedError

    def labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        """Those labels of the task whose combinations are the groups, in the task's order."""
        return tuple(labels)

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        """Refuse (ValueError) what this task cannot compute. The measures that the job uses exist."""
        for name in self.uses:
            fits(f"a sum of {name}, in steps,", largest_sum(measures[name], limits), 63)

    def result(self, measures: Measures) -> tuple[str, Decimal]:
        """Unit and resolution of the results: a value is its steps times the resolution."""
        raise NotImplementedError

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        """Return the entry in the task's canonical document (SPEC 3.1): all fields, defaults written out."""
        return {field: _plain(value) for field, value in self if field not in self._left_out}


def _plain(value: object) -> Json:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    assert isinstance(value, str | int), "internal error: a field of a job that has no canonical form"
    return value


class Grouped(Entry):
    """A job on one measure, by some of the labels; the sums over the others are made on shares."""

    _left_out: ClassVar[frozenset[str]] = frozenset({"by"})

    measure: Key
    by: Annotated[tuple[Key, ...] | None, Field(strict=False)] = None

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.measure,)

    def labels(self, labels: Sequence[str]) -> tuple[str, ...]:
        return tuple(label for label in labels if self.by is None or label in self.by)

    def check(self, measures: Measures, labels: Sequence[str], limits: Limits) -> None:
        by = self.by or ()
        if len(set(by)) != len(by):
            msg = "by names a label twice"
            raise ValueError(msg)
        unknown = [label for label in by if label not in labels]
        if unknown:
            msg = f"by names {unknown[0]}, which is no label of the task; its labels are {list(labels)}"
            raise ValueError(msg)
        super().check(measures, labels, limits)

    def document(self, labels: Sequence[str]) -> dict[str, Json]:
        return {**super().document(labels), "by": list(self.labels(labels))}
