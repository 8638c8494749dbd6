"""Quantising readings: the vectorised path against decimal arithmetic that shares no code with it."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mpc_ops.fixedpoint import LARGEST_STEPS, OutOfRangeError, Quantiser

D = Decimal


def reference(q: Quantiser, value: Decimal | float) -> int | None:
    """The rule as a person would do it on paper; None where the reading is refused."""
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = D(repr(value))
    with localcontext(prec=3000):
        number = value * q.scale + q.offset
        if not q.minimum <= number <= q.maximum:
            return None
        steps = number // q.resolution
        rest = number - steps * q.resolution
        if rest < 0:  # decimal's // truncates towards zero
            steps, rest = steps - 1, rest + q.resolution
        if rest * 2 > q.resolution or (rest * 2 == q.resolution and steps % 2 != 0):
            steps += 1
        return int(steps - q.minimum / q.resolution)


def assert_exact(q: Quantiser, values: list[float]) -> None:
    """Vectorised, scalar and paper agree on every value, and refused ones carry 0."""
    units, ok = q.quantise(np.array(values, dtype=np.float64))
    assert units.dtype == np.uint64
    assert ok.dtype == np.bool_
    for value, unit, good in zip(values, units.tolist(), ok.tolist(), strict=True):
        expected = reference(q, value)
        assert (unit if good else None) == expected, value
        assert good or unit == 0
        if expected is None:
            with pytest.raises(OutOfRangeError):
                q.exact(value)
        else:
            assert q.exact(value) == expected


@st.composite
def quantisers(draw: st.DrawFn) -> Quantiser:
    resolution = draw(st.sampled_from([D("0.1"), D("0.2"), D("0.25"), D("0.01"), D(1), D(100), D("0.3"), D("1e-9")]))
    largest = draw(st.sampled_from([1, 10, 1000, 10**7, LARGEST_STEPS]))
    low = draw(st.integers(-largest, 0) | st.just(-5) | st.integers(-(10**12), 10**12))
    return Quantiser(
        minimum=low * resolution,
        maximum=(low + draw(st.integers(1, largest))) * resolution,
        resolution=resolution,
        scale=draw(st.sampled_from([D(1), D("0.1"), D(1000), D(3), D(-1), D("0.7"), D("1e-3")])),
        offset=draw(st.sampled_from([D(0), D("-273.15"), D("0.05"), D("1e6"), D("1e-12")])),
    )


@st.composite
def readings(draw: st.DrawFn, q: Quantiser) -> list[float]:
    """Ties and bounds and their neighbours, short decimals in and around the range, and any number at all."""
    steps = st.integers(q.minimum_steps - 2, q.minimum_steps + q.steps + 2)
    halves = draw(st.lists(st.tuples(steps, st.sampled_from([0, 1]), st.integers(-2, 2)), max_size=20))
    values = []
    for step, half, ulps in halves:
        value = float(((step + D(half) / 2) * q.resolution - q.offset) / q.scale)
        for _ in range(abs(ulps)):
            value = math.nextafter(value, math.copysign(math.inf, ulps))
        values.append(value)
    values += draw(st.lists(st.integers(-(10**7), 10**7).map(lambda n: n / 1000), max_size=10))
    values += draw(st.lists(st.floats(), max_size=10))
    return values


@given(st.data())
def test_agrees_with_decimal_arithmetic(data: st.DataObject) -> None:
    """No reading, resolution, scale or offset makes binary64 round otherwise than the decimal rule."""
    q = data.draw(quantisers())
    assert_exact(q, data.draw(readings(q)))


@given(st.lists(st.integers(-50_000, 70_000), max_size=200))
@example(list(range(-45_000, 45_000, 50)))
def test_every_tie_of_a_thermometer(thousandths: list[int]) -> None:
    """Three decimals at the resolutions where binary64 division rounds up to 9 % of readings wrongly."""
    for resolution in (D("0.1"), D("0.2"), D("0.25"), D("0.01"), D("0.05")):
        q = Quantiser(minimum=D(-40), maximum=D(60), resolution=resolution)
        assert_exact(q, [n / 1000 for n in thousandths])


@pytest.mark.parametrize(
    ("reading", "resolution", "steps"),
    [
        ("0.05", "0.1", 0),  # ties go to the even step ...
        ("0.15", "0.1", 2),
        ("0.25", "0.1", 2),
        ("0.35", "0.1", 4),
        ("-0.05", "0.1", 0),
        ("-0.15", "0.1", -2),
        ("-0.25", "0.1", -2),
        ("0.1", "0.2", 0),
        ("0.3", "0.2", 2),
        ("0.5", "0.2", 2),
        ("0.7", "0.2", 4),
        ("2.5", "0.2", 12),
        ("0.125", "0.25", 0),
        ("0.375", "0.25", 2),
        ("0.625", "0.25", 2),
        ("1.005", "0.01", 100),  # ... of the decimal: the binary64 1.005 lies below it, 0.015 above
        ("1.015", "0.01", 102),
        ("2.675", "0.01", 268),
        ("0.015", "0.01", 2),
        ("50", "100", 0),
        ("150", "100", 2),
        ("0.049999999999999996", "0.1", 0),  # one unit in the last place off a tie is no tie
        ("0.15000000000000002", "0.1", 2),
        ("0.25000000000000006", "0.1", 3),
        ("0.3499999999999999", "0.1", 3),
        ("0.35000000000000003", "0.1", 4),
        ("0.44999999999999996", "0.1", 4),
    ],
)
@pytest.mark.parametrize("odd", [0, 1])
def test_vectors(reading: str, resolution: str, steps: int, odd: int) -> None:
    """Ties go to the even step counted from zero, wherever the range begins."""
    low = -1000 - odd
    q = Quantiser(minimum=low * D(resolution), maximum=1000 * D(resolution), resolution=D(resolution))
    assert q.exact(D(reading)) == steps - low
    assert_exact(q, [float(reading)])
    assert q.quantise(np.array([float(reading)]))[0][0] == steps - low


def test_numbers_that_are_no_readings() -> None:
    """Infinite, NaN and enormous numbers are refused; -0.0 and subnormal ones are zero."""
    q = Quantiser(minimum=D(-1), maximum=D(1), resolution=D("0.5"))
    units, ok = q.quantise(np.array([math.inf, -math.inf, math.nan, 1e308, -1e308, -0.0, 5e-324, -5e-324, 1e-300]))
    assert ok.tolist() == [False] * 5 + [True] * 4
    assert units.tolist() == [0] * 5 + [2] * 4
    for value in (D("NaN"), D("sNaN"), D("Infinity"), D("1e999999"), D("1e-999999"), 1 << 10_000):
        with pytest.raises(OutOfRangeError):
            q.exact(value)


@pytest.mark.parametrize("scale", [D("0.1"), D(1000), D(-3), D("1e99"), D("1e-99")])
def test_extreme_readings_at_any_scale(scale: Decimal) -> None:
    """A product that overflows or underflows binary64 is still decided by the decimal rule."""
    q = Quantiser(minimum=D(0), maximum=D(10), resolution=D("0.1"), scale=scale, offset=D("0.05"))
    assert_exact(q, [0.0, -0.0, 5e-324, 2.2250738585072014e-308, 1e308, -1e308, 1.7976931348623157e308, 1.05, 0.0105])


def test_outside_is_refused_before_rounding() -> None:
    """A reading just outside the range is refused, though it would round to the bound."""
    q = Quantiser(minimum=D(0), maximum=D(100), resolution=D(1))
    values = [-0.4, -1e-300, 0.0, 100.0, math.nextafter(100.0, 200.0), 100.4]
    assert q.quantise(np.array(values))[1].tolist() == [False, False, True, True, False, False]
    assert_exact(q, values)


def test_bounds_count_after_scale_and_offset() -> None:
    """The range holds for what the sensor's number means, not for the number."""
    q = Quantiser(minimum=D("-40"), maximum=D(60), resolution=D("0.1"), scale=D("0.1"), offset=D("-273.1"))
    assert_exact(q, [2331.0, 2330.0, 3331.0, 3332.0, 2330.9999, 3331.0001, 2731.5, 2732.5])
    assert q.quantise(np.array([2331.0, 3331.0]))[0].tolist() == [0, 1000]


def test_widest_range() -> None:
    """2^52 steps are exact to the last one, where binary64 has no bits to spare."""
    q = Quantiser(minimum=D(0), maximum=D(LARGEST_STEPS), resolution=D(1))
    top = float(LARGEST_STEPS)
    assert_exact(q, [top, top - 0.5, top - 1.5, math.nextafter(top, math.inf), top / 2 + 0.5, top / 3])


def test_a_distant_zero() -> None:
    """A narrow range far from zero (seconds since 1970 in nanoseconds) keeps its last step."""
    low = 1_500_000_000
    q = Quantiser(minimum=D(low), maximum=D(low + 1), resolution=D("1e-9"))
    assert_exact(q, [low + 0.5, low + 0.123456789, low + 1.0, math.nextafter(low + 1.0, 0)])
    assert q.exact(D("1500000000.1234567895")) == 123456790


def test_empty_input() -> None:
    """No readings are no error."""
    units, ok = Quantiser(minimum=D(0), maximum=D(1), resolution=D(1)).quantise(np.array([]))
    assert (units.size, ok.size) == (0, 0)


def test_input_stays_as_it_is() -> None:
    """The caller's array is not scratch space."""
    values = np.array([0.5, 1.5, math.nan])
    values.flags.writeable = False
    Quantiser(minimum=D(0), maximum=D(9), resolution=D(1)).quantise(values)


@pytest.mark.parametrize(
    ("minimum", "maximum", "resolution", "scale"),
    [
        ("0.05", "1", "0.1", "1"),
        ("0", "1.05", "0.1", "1"),
        ("1", "1", "1", "1"),
        ("2", "1", "1", "1"),
        ("0", "1", "0", "1"),
        ("0", "1", "-1", "1"),
        ("0", "1", "1", "0"),
        ("0", str(LARGEST_STEPS + 1), "1", "1"),
        ("0", "NaN", "1", "1"),
        ("0", "Infinity", "1", "1"),
        ("0", "1e999999", "1e999990", "1"),
        ("0", "1", "1", "1e-999999"),
    ],
)
def test_settings_that_cannot_be_exact(minimum: str, maximum: str, resolution: str, scale: str) -> None:
    """A range that is no whole number of steps, or too wide, is refused when the task is read, not at a reading."""
    with pytest.raises(ValueError, match=r"range|resolution"):
        Quantiser(minimum=D(minimum), maximum=D(maximum), resolution=D(resolution), scale=D(scale))


def test_errors_never_carry_the_reading() -> None:
    """The text of a refusal goes to logs, a reading must not."""
    q = Quantiser(minimum=D(0), maximum=D(1), resolution=D(1))
    with pytest.raises(OutOfRangeError) as refused:
        q.exact(D("424242"))
    assert "42" not in str(refused.value)


@given(quantisers(), st.sampled_from(["minimum", "maximum"]))
def test_both_bounds_are_in_range(q: Quantiser, bound: str) -> None:
    """A reading that means exactly the bound is taken, however the product rounds; its neighbours are as they are."""
    value = float((getattr(q, bound) - q.offset) / q.scale)
    assert_exact(q, [value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)])
