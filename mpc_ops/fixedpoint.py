"""Fixed point: a reading becomes a whole number of steps of the task's resolution, above the task's minimum.

Runs at the gateway, before sharing. "Exact" begins here: whatever comes later (shares, sums, reveal) is integer
arithmetic, so the rule of rounding has to be one that two implementations cannot read differently.

The rule
    d = the decimal value of the reading: of a binary64 number the shortest decimal that reads back as the
        same number (what `repr` prints); of a decimal text or an int, itself
    v = (d * scale + offset) / resolution, exact; refused where it leaves [minimum, maximum] / resolution
    units = round half even(v) - minimum / resolution, in [0, steps]

Computing v in binary64 breaks that rule for up to 9 % of ordinary readings (2.5 at a resolution of 0.2),
so the vectorised path decides only where binary64 cannot be wrong, and the rest is decided in integers.

How near is "near"
    Let u = 2^-53, A = scale / resolution, B = (offset - minimum) / resolution, T = d A + B: the number to round,
    up to whole steps. a, b are A, B correctly rounded, x the binary64 reading, p = fl(x a), t = fl(p + b).
      |d - x| <= u |x|        d reads back as x, so it lies within half a unit in the last place of x
      |a - A| <= u |A|, |b - B| <= u |B|,   |p - x a| <= u |x a|,   |t - (p + b)| <= u |p + b|
    Adding up: |t - T| <= (4 |p| + 2 |b|) u (1 + 4 u): p suffers from d, a, its own rounding and that of t, b from
    two. Where x or p is subnormal, 2^-1075 (|A| + 1) < 2^-400 comes on top, since `_magnitude` keeps |A| below 10^202.
    We take E = 8 u (|p| + |b|) + 2^-60: the factor of nearly two pays for computing E and 0.5 - E in binary64 too.
    The integer below t + 1/2 is the right one unless T and t can lie on two sides of a tie, and that
    needs t within E of a tie; the same for the two bounds. t - rint(t) is exact. When E >= 1/2 (very wide
    ranges, very large readings) every reading that may be in range is "near", and exactness costs time only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from math import gcd, isfinite

import numpy as np
from numpy.typing import NDArray

LARGEST_STEPS = 1 << 52
"""Largest unit value: binary64 still tells halves apart there, and no quantity of steps is rounded by accident."""

_U = 2.0**-53
_WIDEST_EXPONENT = 1000
"""Decimals beyond 10^+-1000 are no readings, and their exact arithmetic would be a way to stop a gateway."""


class OutOfRangeError(ValueError):
    """A reading that is not a finite number within the measure's range. Never carries the reading."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a `Quantiser` derives once; names as in the module's docstring."""

    factor: Fraction  # A
    shift: Fraction  # B
    steps: int
    minimum_steps: int
    # integer path: with n = d * 10^places, T = (n * numerator + constant) / denominator for |n| <= largest
    places: int
    numerator: int
    constant: int
    denominator: int
    largest: int  # -1: no number takes this path


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiser:
    """The rule of one measure at one source: `minimum`, `maximum`, `resolution` in the measure's unit.

    `scale` and `offset` turn the sensor's number into the measure's unit (value * scale + offset), exactly.
    Raises ValueError where the range is not a whole number of steps, is empty, or has more than 2^52 steps.
    """

    minimum: Decimal
    maximum: Decimal
    resolution: Decimal
    scale: Decimal = Decimal(1)
    offset: Decimal = Decimal(0)
    _plan: _Plan = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_plan", _plan(self))

    @property
    def steps(self) -> int:
        """The largest unit value, (maximum - minimum) / resolution."""
        return self._plan.steps

    @property
    def minimum_steps(self) -> int:
        """minimum / resolution: what a sum of n units lacks n times."""
        return self._plan.minimum_steps

    def quantise(self, values: NDArray[np.float64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
        """Round float64[n] to units: (uint64[n], bool[n]).

        `ok` is False, and the unit 0, where the value is NaN, infinite or out of range. Equal to `exact` everywhere.
        """
        x = np.asarray(values, dtype=np.float64)
        plan = self._plan
        b = float(plan.shift)
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):  # settled by `near` and `ok` below
            p = x * float(plan.factor)
            t = p + b
            error = np.abs(p, out=p)
            error += abs(b)
            error *= 8 * _U
            error += 2.0**-60
            units = np.rint(t)
            near = np.abs(t - units) >= 0.5 - error
            near |= np.abs(t) <= error
            near |= np.abs(t - plan.steps) <= error
            ok = (t >= 0) & (t <= plan.steps)
            units[~ok] = 0
            result = units.astype(np.uint64)
            if near.any():
                near &= np.isfinite(x) & (t >= -error) & (t <= plan.steps + error)
                self._settle(x, np.flatnonzero(near), result, ok)
        return result, ok

    def exact(self, value: Decimal | float | int) -> int:
        """The reference: the unit of one reading, by rational arithmetic. Raises OutOfRangeError."""
        if isinstance(value, float):
            if not isfinite(value):
                raise OutOfRangeError("not a finite number")
            value = Decimal(repr(float(value)))  # float(): numpy's float64 is a float with another repr
        plan = self._plan
        units = Fraction(_bounded(value)) * plan.factor + plan.shift
        if not 0 <= units <= plan.steps:
            raise OutOfRangeError("outside the measure's range")
        # the minimum is added back for the rounding: "even" means the number of steps from zero, not from the minimum
        return round(units + plan.minimum_steps) - plan.minimum_steps

    def _settle(
        self, x: NDArray[np.float64], near: NDArray[np.intp], units: NDArray[np.uint64], ok: NDArray[np.bool_]
    ) -> None:
        """Decide the readings at the indices `near` exactly, in place.

        Ties are common (a sensor with two decimals at a resolution of 0.1 has one in ten), so those with
        few decimals are decided by int64 arithmetic. If n / 10^places, correctly rounded, equals x, and
        |n| < 10^15, then it is the only decimal of at most 15 digits that reads back as x, and so the shortest.
        """
        plan = self._plan
        some = x[near]
        if plan.largest >= 0:
            power = 10.0**plan.places
            scaled = np.rint(some * power)
            short = (np.abs(scaled) <= plan.largest) & (scaled / power == some)
            n = scaled[short].astype(np.int64)
            top = n * plan.numerator + plan.constant
            whole, rest = np.divmod(top, plan.denominator)
            rest *= 2
            odd = (whole + plan.minimum_steps % 2) % 2
            whole += (rest > plan.denominator) | ((rest == plan.denominator) & (odd == 1))
            inside = (top >= 0) & (top <= min(plan.steps * plan.denominator, 2**62))
            where = near[short]
            ok[where] = inside
            units[where] = np.where(inside, whole, 0).astype(np.uint64)
            near, some = near[~short], some[~short]
        for index, value in zip(near.tolist(), some.tolist(), strict=True):
            try:
                units[index] = self.exact(value)
                ok[index] = True
            except OutOfRangeError:
                units[index] = 0
                ok[index] = False


def _plan(q: Quantiser) -> _Plan:
    settings = (q.minimum, q.maximum, q.resolution, q.scale, q.offset)
    low, high, resolution, scale, offset = (Fraction(_magnitude(setting)) for setting in settings)
    if resolution <= 0 or scale == 0:
        raise ValueError("the resolution must be positive and the scale must not be 0")
    if high <= low:
        raise ValueError("the range is empty")
    if (low / resolution).denominator != 1 or (high / resolution).denominator != 1:
        raise ValueError("both ends of the range must be whole multiples of the resolution")
    steps = int((high - low) / resolution)
    if steps > LARGEST_STEPS:
        raise ValueError("the range has more than 2^52 steps of the resolution")
    factor, shift = scale / resolution, (offset - low) / resolution

    # every tie and both bounds are multiples of resolution / (2 * scale), moved by offset / scale
    places = max(_decimals(resolution / scale / 2), _decimals(offset / scale))
    step = factor / 10**places
    denominator = step.denominator * shift.denominator // gcd(step.denominator, shift.denominator)
    numerator, constant = int(step * denominator), int(shift * denominator)
    room = (2**62 - 2 * denominator - abs(constant)) // abs(numerator)  # keeps top and 2 * rest within int64
    largest = min(room, 10**15 - 1) if places <= 22 and room > 0 else -1  # 10^22: the last exact power in binary64
    return _Plan(
        factor=factor,
        shift=shift,
        steps=steps,
        minimum_steps=int(low / resolution),
        places=places,
        numerator=numerator,
        constant=constant,
        denominator=denominator,
        largest=largest,
    )


def _decimals(value: Fraction) -> int:
    """How many decimals the multiples of `value` that are finite decimals have at most."""
    rest, places = value.denominator, 0
    while (common := gcd(rest, 10)) > 1:
        rest //= common
        places += 1
    return places


def _bounded(value: Decimal | int) -> Decimal | int:
    if isinstance(value, int):
        if value.bit_length() > 3 * _WIDEST_EXPONENT:
            raise OutOfRangeError("outside the measure's range")
        return value
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int):
        raise OutOfRangeError("not a finite number")
    if exponent < -_WIDEST_EXPONENT or value.adjusted() > _WIDEST_EXPONENT:
        raise OutOfRangeError("not a number of at most 1000 digits before and after the point")
    return value


def _magnitude(value: Decimal) -> Decimal:
    """Refuse a setting outside 10^+-100, so that A and B are normal numbers in binary64 (see the error bound)."""
    if not value.is_finite() or (value != 0 and not -100 <= value.adjusted() <= 100):
        raise ValueError("range, resolution, scale and offset must be finite and between 1e-100 and 1e100")
    return value
