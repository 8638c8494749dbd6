"""A task takes the jobs that can be computed exactly, and says of every other one what to change."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.joint import LinearSolveSpec, PolynomialSpec, ThresholdSpec
from protocol.joint_entry import exact_decimal, largest_sum
from protocol.measure import Limits, Measure
from protocol.task import Task
from tests.protocol.jobs import ENTRIES, MEASURES, document_with, measure
from tests.trial import make_trial


def task_with(*joint: dict[str, Any], **changes: Any) -> Task:
    return Task.model_validate(document_with(*joint, **changes))


@pytest.mark.parametrize("job", sorted(ENTRIES))
def test_each_job_can_be_asked_for(job: str) -> None:
    """The entry is read, and changes the id: what is computed is agreed."""
    task = task_with(ENTRIES[job])
    (spec,) = task.joint
    assert spec.job == job
    assert set(spec.uses) <= set(task.measures)
    assert task.hash != task_with().hash
    (written,) = task.document()["joint"]  # type: ignore[misc]  # the document of a task is Json
    assert written["name"] == spec.name  # type: ignore[index]  # likewise


def test_a_task_without_jobs_has_the_document_of_before() -> None:
    """`joint = []` and no entry at all are one task, and the document does not speak of jobs."""
    assert task_with().hash == Task.model_validate({**document_with(), "joint": []}).hash
    assert "joint" not in task_with().document()


@pytest.mark.parametrize(
    ("job", "change"),
    [
        ("threshold", {"of": "sum"}),
        ("threshold", {"by": ["area", "kind"]}),
        ("threshold", {"by": ["kind", "area"]}),
        ("threshold", {"limit": Decimal("1200.50")}),
        ("rank", {"by": ["area", "kind"]}),
        ("polynomial", {"coefficients": [Decimal("0.0"), Decimal("1.50"), 2]}),
        ("least_squares", {"ridge": 0}),
        ("circuit", {"file": "elsewhere.txt"}),
    ],
)
def test_what_is_written_out_makes_no_other_task(job: str, change: dict[str, Any]) -> None:
    """Defaults, the order of `by`, zeros behind a number, and where a netlist lies are not part of what is agreed."""
    assert task_with(ENTRIES[job] | change).hash == task_with(ENTRIES[job]).hash


@pytest.mark.parametrize(
    ("job", "change"),
    [
        ("threshold", {"of": "mean", "limit": 12}),
        ("threshold", {"by": ["area"]}),
        ("threshold", {"by": []}),
        ("threshold", {"limit": 1200}),
        ("threshold", {"measure": "wind"}),
        ("rank", {"places": ["min", "max"]}),
        ("rank", {"reveal": "values"}),
        ("product", {"measures": ["no2", "wind"]}),
        ("polynomial", {"coefficients": [1, 2]}),
        ("linear_solve", {"resolution": Decimal("0.01")}),
        ("least_squares", {"ridge": 3}),
        ("circuit", {"sha256": "0" * 64}),
        ("circuit", {"inputs": [["no2", 32]]}),
    ],
)
def test_what_changes_a_result_changes_the_task(job: str, change: dict[str, Any]) -> None:
    """Parties that hold other entries do not add up: their task hashes differ."""
    assert task_with(ENTRIES[job] | change).hash != task_with(ENTRIES[job]).hash


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("threshold", {"measure": "co"}, "co is no measure of the task; its measures are"),
    ("threshold", {"name": "no2"}, "taken by another job or by a measure"),
    ("threshold", {"name": "No2"}, "a-z, 0-9 and _"),
    ("threshold", {"by": ["district"]}, "district, which is no label"),
    ("threshold", {"by": ["area", "area"]}, "names a label twice"),
    ("threshold", {"of": "mean", "limit": Decimal("0.05")}, "limit of a mean must be a multiple"),
    ("threshold", {"limit": Decimal(2**63)}, "distance of a sum from the limit, in steps, can take"),
    ("threshold", {"of": "mean", "limit": 1000}, "no mean of no2 is above 1000: the largest that there can be"),
    (
        "threshold",
        {"of": "mean", "limit": -101},
        "every mean of no2 is above -101: the smallest .* -100. Choose a higher",
    ),
    ("threshold", {"measure": "so2", "limit": Decimal("-0.5")}, "every sum of so2 is above -0.5: the smallest .* is 0"),
    ("threshold", {"limit": Decimal("1e41")}, "at most 40 digits"),
    ("threshold", {"limit": Decimal("NaN")}, "finite"),
    ("threshold", {"of": "max"}, "sum"),
    ("threshold", {"places": ["max"]}, "places"),
    ("rank", {"places": []}, "at least 1"),
    ("rank", {"places": [0]}, "a place is 1"),
    ("rank", {"places": [513]}, "a place is 1"),
    ("rank", {"places": [-513]}, "a place is 1"),
    ("rank", {"places": [True]}, "places"),
    ("rank", {"places": ["max", "max"]}, "names a place twice"),
    ("rank", {"places": ["first"]}, "median"),
    ("rank", {"by": []}, "needs a label to order by"),
    ("rank", {"reveal": "both"}, "labels"),
    ("product", {"measures": ["no2"]}, "measures"),
    ("product", {"measures": ["no2", "co"]}, "co is no measure"),
    ("polynomial", {"coefficients": [1]}, "at least 2"),
    ("polynomial", {"coefficients": [1, 2, 0]}, "leave it out"),
    ("polynomial", {"coefficients": [0, 0, 0, 0, 0, 1]}, "polynomial, in steps of 0.00001, can take"),
    ("linear_solve", {"matrix": []}, "at least 1"),
    ("linear_solve", {"matrix": ["no2", "no2"]}, "a measure twice"),
    ("linear_solve", {"matrix": ["no2", "price"]}, "a measure twice"),
    ("linear_solve", {"matrix": ["no2", "wind"]}, "must have one resolution"),
    ("linear_solve", {"resolution": Decimal("0.003")}, r"goes 10/3 times into 0.01 / 1, .*Choose a finer one"),
    ("linear_solve", {"resolution": Decimal("0.1")}, "goes 1/10 times"),
    ("linear_solve", {"resolution": 0}, "greater than 0"),
    ("least_squares", {"ridge": -1}, "ridge must be 0 or a multiple"),
    ("least_squares", {"ridge": Decimal("0.5")}, "ridge must be 0 or a multiple"),
    ("circuit", {"file": "../key"}, "in the folder of the task file"),
    ("circuit", {"file": "/etc/passwd"}, "in the folder of the task file"),
    ("circuit", {"file": ".hidden"}, "in the folder of the task file"),
    ("circuit", {"sha256": "00"}, "sha256"),
    ("circuit", {"sha256": "0" * 64 + "\n"}, "sha256"),
    ("circuit", {"inputs": []}, "at least 1"),
    ("circuit", {"inputs": [["no2", 65]]}, "64"),
    ("circuit", {"inputs": [["co", 8]]}, "co is no measure"),
    ("rank", {"job": "sort"}, "does not match any of the expected tags"),
]


@pytest.mark.parametrize(("job", "change", "words"), REFUSED)
def test_a_job_that_cannot_be_computed_is_refused(job: str, change: dict[str, Any], words: str) -> None:
    """The message says what is wrong and what would be right."""
    with pytest.raises(ValidationError, match=words):
        task_with(ENTRIES[job] | change)


def test_two_jobs_cannot_have_one_name() -> None:
    """Sinks and people tell jobs apart by their names; the message names the entry."""
    with pytest.raises(ValidationError, match="joint high: the name is taken"):
        task_with(ENTRIES["threshold"], ENTRIES["rank"] | {"name": ENTRIES["threshold"]["name"]})


def test_only_the_replicated_scheme_computes() -> None:
    """Additive parties can add; the message says so."""
    with pytest.raises(ValidationError, match='needs scheme "replicated"'):
        task_with(ENTRIES["rank"], scheme={"name": "additive"})


def test_a_measure_that_nobody_sees_is_refused() -> None:
    """A measure without statistics exists for jobs alone; if none uses it, readings would be sent for nothing."""
    hidden = {"no2": {**MEASURES["no2"], "statistics": []}}
    with pytest.raises(ValidationError, match=r"measure no2: with statistics = \[\] it is not released"):
        task_with(measures={**MEASURES, **hidden})
    task = task_with(ENTRIES["rank"], measures={**MEASURES, **hidden})
    assert task.released_measures == {n for n, name in enumerate(task.measure_names) if name != "no2"}
    assert task.document()["measures"]["no2"]["statistics"] == []  # type: ignore[index,call-overload]  # Json


@pytest.mark.parametrize("bits", [62, 63])
def test_the_bounds_are_those_of_the_ring(bits: int) -> None:
    """One reading more than fits is refused: 2^62 for an order, which needs a sign, and 2^63 for other sums."""
    job: dict[str, Any] = ENTRIES["rank"] if bits == 62 else ENTRIES["product"] | {"measures": ["no2", "no2"]}
    limits = {"max_gateways": 1, "max_rows": 2**20}
    most = 2 ** (bits - 20)
    fits = {"no2": {"unit": "1", "range": [1 - most, 2 - most], "resolution": 1}}
    over = {"no2": {"unit": "1", "range": [-most, 1 - most], "resolution": 1}}
    assert task_with(job, measures=fits, limits=limits).joint
    with pytest.raises(ValidationError, match=f"{bits + 1} bits, and {bits} are there"):
        task_with(job, measures=over, limits=limits)


@pytest.mark.parametrize(("of", "by"), [("sum", ["area", "kind"]), ("sum", []), ("mean", [])])
@pytest.mark.parametrize("low", [-4, 0, 3])
def test_a_limit_is_accepted_exactly_if_both_answers_are_possible(of: str, by: list[str], low: int) -> None:
    """All sums of 1 to 6 readings of a small range are tried; sums over a label wait for the roster's values."""
    resolution, most = Decimal("0.5"), 6
    measures = {"no2": {"unit": "1", "range": [low, low + 2], "resolution": resolution}}
    reached = {
        sum(some, Fraction(0)) / (count if of == "mean" else 1)
        for count in range(1, most + 1)
        for some in product((Fraction(low), Fraction(low + 2)), repeat=count)
    }
    for steps in range(-60, 61):
        limit = steps * resolution
        entry = {"name": "high", "job": "threshold", "measure": "no2", "of": of, "by": by, "limit": limit}
        open_to_both = min(reached) <= limit < max(reached)
        if open_to_both or (of == "sum" and not by):
            assert task_with(entry, measures=measures, limits={"max_gateways": 2, "max_rows": 3}).joint
        else:
            end = max(reached) if limit >= max(reached) else min(reached)
            with pytest.raises(ValidationError, match=rf"under range and \[limits\] is {end.numerator}\."):
                task_with(entry, measures=measures, limits={"max_gateways": 2, "max_rows": 3})


@given(limit=st.decimals(-50, 50, places=3), readings=st.lists(st.integers(-400, 400), min_size=1, max_size=5))
def test_a_threshold_in_steps_is_exact_for_every_decimal(limit: Decimal, readings: list[int]) -> None:
    """sum > floor(limit / resolution) in steps says what sum * resolution > limit says in units."""
    spec = ThresholdSpec(name="high", job="threshold", measure="no2", limit=limit)
    one = Measure(unit="1", range=(Decimal(-40), Decimal(40)), resolution=Decimal("0.1"))
    above = sum(readings) > spec.limit_steps(one)
    assert above == (sum(readings) * Fraction(one.resolution) > Fraction(limit))


@given(
    coefficients=st.lists(st.decimals(-20, 20, places=2), min_size=2, max_size=5).filter(lambda c: bool(c[-1])),
    resolution=st.sampled_from([Decimal(1), Decimal("0.1"), Decimal("0.25"), Decimal(5)]),
    steps=st.integers(-1000, 1000),
)
def test_a_polynomial_in_steps_is_exact(coefficients: list[Decimal], resolution: Decimal, steps: int) -> None:
    """The whole coefficients at the sum in steps, times the derived resolution, are the polynomial at the sum."""
    spec = PolynomialSpec(name="wear", job="polynomial", measure="a", coefficients=tuple(coefficients), unit="1")
    one = Measure(unit="1", range=(Decimal(0), resolution), resolution=resolution)
    _, step = spec.result({"a": one})
    got = sum(c * steps**power for power, c in enumerate(spec.whole_coefficients(one))) * Fraction(step)
    x = steps * Fraction(resolution)
    assert got == sum(Fraction(c) * x**power for power, c in enumerate(coefficients))


def test_results_say_their_unit_and_resolution() -> None:
    """Of a product both are products; a place is a number, a solution has what the entry declares."""
    task = task_with(*ENTRIES.values())
    results = {spec.job: spec.result(task.measures) for spec in task.joint}
    no2, price = task.measures["no2"], task.measures["price"]
    assert results["product"] == (f"{no2.unit}.{price.unit}", no2.resolution * price.resolution)
    assert results["rank"] == results["threshold"] == results["circuit"] == ("1", Decimal(1))
    assert results["linear_solve"][1] == ENTRIES["linear_solve"]["resolution"]
    assert task_with(ENTRIES["rank"] | {"reveal": "values"}).joint[0].result(task.measures) == (
        no2.unit,
        no2.resolution,
    )


def test_a_solution_in_steps_is_a_solution() -> None:
    """x = right / matrix in units is scale * right / matrix in steps of the resolution."""
    spec = task_with(ENTRIES["linear_solve"]).joint[0]
    assert isinstance(spec, LinearSolveSpec)
    measures = {name: measure(name) for name in MEASURES}
    right, matrix = 700, 20
    x = right * Fraction(measures[spec.right].resolution) / (matrix * Fraction(measures[spec.matrix[0]].resolution))
    assert Fraction(spec.scale(measures) * right, matrix) * Fraction(spec.resolution) == x


@given(number=st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**30), max_value=10**30))
def test_decimals_keep_all_their_digits(number: Decimal) -> None:
    """A derived resolution can have more digits than Python's decimals keep when they multiply."""
    assert Fraction(exact_decimal(Fraction(number))) == Fraction(number)


def test_the_largest_sum_is_that_of_the_farther_end() -> None:
    """The minimum is added back before a job sees a sum, so a range below zero counts with its sign."""
    limits = Limits(max_gateways=2, max_rows=3)
    below = Measure(unit="1", range=(Decimal(-40), Decimal(6)), resolution=Decimal(2))
    assert largest_sum(below, limits, cells=5) == 5 * 2 * 3 * 20


def test_results_of_jobs_count_in_the_size_of_an_aggregate() -> None:
    """What a job says of each combination of labels is in the record of a window, which a roster may not overfill."""
    labels = {"area": tuple(map(str, range(10, 40))), "kind": ("a", "b")}
    roster = make_trial().roster.model_copy(update={"labels": labels})
    of_each = len('{"key":"above","labels":{"area":"10","kind":"a"},"steps":"1"}')
    assert roster.result_size(task_with(ENTRIES["threshold"])) >= roster.result_size(task_with()) + 60 * of_each
    hidden = {"no2": {**MEASURES["no2"], "statistics": []}}
    by_itself = roster.result_size(task_with(ENTRIES["rank"]))
    assert roster.result_size(task_with(ENTRIES["rank"], measures={**MEASURES, **hidden})) < by_itself
