"""A measured quantity, and the limits that keep its sums in 64 bits."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, model_validator

from protocol.canonical import decimal_text
from protocol.model import Model
from protocol.units import ExactDecimal


class Measure(Model):
    """One measured quantity: its unit (UCUM), its range, and the step to which readings are rounded.

    Without `statistics` it is not released by itself: it exists for the task's jobs alone.
    """

    unit: Annotated[str, Field(min_length=1, max_length=64)]
    range: Annotated[tuple[ExactDecimal, ExactDecimal], Field(strict=False)]
    resolution: ExactDecimal
    statistics: Annotated[tuple[Literal["sum", "mean"], ...], Field(strict=False)] = ("mean",)

    @model_validator(mode="after")
    def _steps_fit(self) -> Measure:
        low, high = self.range
        if self.resolution <= 0:
            msg = "resolution must be above 0"
            raise ValueError(msg)
        if low >= high:
            msg = "range is written [lowest, highest]"
            raise ValueError(msg)
        if any(Fraction(end) % Fraction(self.resolution) for end in self.range):
            msg = f"both ends of range must be multiples of resolution ({decimal_text(self.resolution)})"
            raise ValueError(msg)
        if self.steps > 2**52:
            msg = "range / resolution must be at most 2^52: choose a coarser resolution or a smaller range"
            raise ValueError(msg)
        return self

    @property
    def minimum_steps(self) -> int:
        """The lower end of the range, in steps of the resolution."""
        return int(Fraction(self.range[0]) / Fraction(self.resolution))

    @property
    def steps(self) -> int:
        """The largest quantised value: (highest - lowest) / resolution."""
        return int(Fraction(self.range[1] - self.range[0]) / Fraction(self.resolution))

    def farthest(self, point: int = 0) -> int:
        """Return how far a reading can be from a point, both in steps of the resolution."""
        return max(abs(self.minimum_steps - point), abs(self.minimum_steps + self.steps - point))


class Limits(Model):
    """Bounds that make an overflow impossible; gateways and parties enforce them."""

    max_gateways: Annotated[int, Field(ge=1, le=65_535)] = 1_000
    max_rows: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1_000_000

    @property
    def readings(self) -> int:
        """The most readings that a cell can have."""
        return self.max_gateways * self.max_rows
