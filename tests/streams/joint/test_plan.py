"""Plans of joint jobs: from shares of cell sums to a result by label, against plain arithmetic on the readings."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import floor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_ops.joint.jobs import numbers
from mpc_ops.joint.netlist import Netlist, parse
from mpc_ops.joint.replicated import Replicated, reveal
from mpc_ops.rings import Z64
from mpc_ops.schemes import scheme
from mpc_ops.sessions import run
from protocol.aggregate import JointValue
from protocol.errors import ConfigError, WireError
from streams.assembly import CellSums
from streams.joint.netlists import load_netlists
from streams.joint.plan import Plan, plans_of
from streams.policy import Totals, totals
from tests.trial import Trial, make_trial

VALUES = ("centre", "outer", "ring")
"""The label values of every label of a trial, in the order of the cells."""

ADDER = "5 8\n1 3\n2 1 1\n\n2 1 0 1 3 XOR\n2 1 3 2 6 XOR\n2 1 0 1 4 AND\n2 1 3 2 5 AND\n2 1 4 5 7 XOR\n"
LOAD = {"unit": "kW", "range": [-50, 150], "resolution": Decimal("0.5")}
MEASURES: dict[str, Any] = {
    "load": LOAD,
    "price": {"unit": "EUR", "range": [0, 9], "resolution": Decimal("0.01"), "statistics": []},
}


Readings = Callable[[str, tuple[str, ...], str], list[int]]
"""(gateway, label values, measure) -> readings in steps."""


def trial_of(*joint: dict[str, Any], labels: Sequence[str] = ("area",), **changes: Any) -> Trial:
    changes = {"measures": MEASURES, "limits": {"max_gateways": 8, "max_rows": 10}, **changes}
    used = {name for entry in joint for name in _uses(entry)}
    measures = {k: v for k, v in changes.pop("measures").items() if v.get("statistics") != [] or k in used}
    return make_trial(labels=list(labels), joint=list(joint), measures=measures, **changes)


def _uses(entry: dict[str, Any]) -> list[str]:
    named = [entry.get("measure"), entry.get("right"), *entry.get("measures", ()), *entry.get("matrix", ())]
    return [name for name in [*named, *(name for name, _ in entry.get("inputs", ()))] if name is not None]


class Window:
    """Readings of a window, in steps with the minimum added: for each gateway and each of the roster's cells a list."""

    def __init__(self, trial: Trial, readings: Readings) -> None:
        self.task, self.roster = trial.task, trial.roster
        self.cells = trial.roster.cells(trial.task)
        self.readings = {
            name: [readings(name, cell.labels, self.task.measure_names[cell.measure]) for cell in self.cells]
            for name in trial.roster.gateways
        }

    def of(self, measure: str, **labels: str) -> tuple[int, int]:
        """Sum in steps and number of all readings of a measure in the cells that have these label values."""
        number = self.task.measure_names.index(measure)
        found = [
            mine[place]
            for mine in self.readings.values()
            for place, cell in enumerate(self.cells)
            if cell.measure == number
            and all(cell.labels[self.task.labels.index(label)] == value for label, value in labels.items())
        ]
        return sum(map(sum, found)), sum(map(len, found))

    def totals(self, party: int) -> Totals:
        """What a party holds of the agreed set: sums above the minimum, as shares."""
        contributions = {}
        minimum = [self.task.measures[self.task.measure_names[cell.measure]].minimum_steps for cell in self.cells]
        for name, mine in self.readings.items():
            above = [sum(value - low for value in cell) for cell, low in zip(mine, minimum, strict=True)]
            rng = np.random.default_rng(list(name.encode()))
            parts = rng.integers(0, 2**64, (3, len(mine)), dtype=np.uint64)
            parts[2] = Z64.element(above) - parts[0] - parts[1]
            contributions[name] = CellSums(
                cells=np.arange(len(mine), dtype=np.intp),
                rows=np.array([len(cell) for cell in mine], dtype=np.int64),
                sums=parts[list(scheme("replicated", 3).held_by(party))],
            )
        return totals(self.task, self.roster, contributions, held=2)

    def result(self, plan: Plan) -> tuple[str, tuple[JointValue, ...]]:
        """What the three parties and the collector make of it: a reason, or the values."""
        whole = [self.totals(party) for party in range(3)]
        verdict = plan.verdict(whole[0])
        assert all(plan.verdict(one) == verdict for one in whole)
        if verdict.reason != "none" or not verdict.groups:
            assert not verdict.groups
            return verdict.reason, plan.values((), verdict.hidden, ()) if verdict.hidden else ()
        job = plan.job(verdict.groups)
        shares = run(
            lambda party: job.shares(
                Replicated(party, Z64),
                plan.columns(whole[party.index].sums, whole[party.index].counts, verdict.groups, party.index),
            ),
            parties=3,
        ).results
        found = numbers(job, reveal(job.ring, [share.values for share in shares]))
        return verdict.reason, plan.values(verdict.groups, verdict.hidden, found)


def some(seed: int, most: int = 10) -> Readings:
    """Readings of any size in the range of `load` (and of `price`: those from 0), one to `most` in each cell."""
    rng = np.random.default_rng(seed)

    def readings(name: str, labels: tuple[str, ...], measure: str) -> list[int]:
        del name, labels
        low, high = (0, 900) if measure == "price" else (-100, 300)
        return [int(value) for value in rng.integers(low, high, rng.integers(1, most + 1), endpoint=True)]

    return readings


def plan_of(trial: Trial, netlists: dict[str, Netlist] | None = None) -> Plan:
    (plan,) = plans_of(trial.task, trial.roster, netlists or {})
    return plan


def found(values: tuple[JointValue, ...]) -> dict[tuple[tuple[str, ...], str], int | None]:
    """Steps by label values and key."""
    return {(tuple(value.labels.values()), value.key): value.steps for value in values}


@pytest.mark.parametrize("by", [["area"], ["kind"], ["area", "kind"], [], None])
@pytest.mark.parametrize(("of", "limit"), [("sum", "1812.75"), ("mean", "50")])
def test_thresholds_by_any_labels(by: list[str] | None, of: str, limit: str) -> None:
    """Each group's sum, or mean, against the limit; at the limit itself it is not above."""
    entry: dict[str, Any] = {"name": "high", "job": "threshold", "measure": "load", "of": of, "limit": Decimal(limit)}
    trial = trial_of(entry | ({} if by is None else {"by": by}), labels=["area", "kind"])
    names = ["area", "kind"] if by is None else by
    plan = plan_of(trial)
    seen = set()
    for readings in (some(2), near(100)):
        window = Window(trial, readings)
        reason, values = window.result(plan)
        assert reason == "none"
        assert len(values) == 3 ** len(names)
        for value in values:
            total, count = window.of("load", **value.labels)
            assert list(value.labels) == names
            assert value.steps == (Fraction(total, 2) / (count if of == "mean" else 1) > Fraction(limit))
            seen.add(value.steps)
    assert names != ["area", "kind"] or seen == {0, 1}


def near(middle: int) -> Readings:
    """Means of exactly `middle` steps in one place, one step more and less in others."""

    def readings(name: str, labels: tuple[str, ...], measure: str) -> list[int]:
        del measure
        return [middle + (labels[0] == "ring") - (labels[-1] == "outer")] * len(name)

    return readings


@pytest.mark.parametrize("by", [["area"], ["area", "kind"]])
@pytest.mark.parametrize("reveal_what", ["labels", "values"])
def test_ranks_by_any_labels(by: list[str], reveal_what: str) -> None:
    """Places from both ends and in the middle: whose sum it is, or the sum."""
    places = ["max", "min", "median", 2, -2]
    entry = {"name": "top", "job": "rank", "measure": "load", "by": by, "places": places, "reveal": reveal_what}
    trial = trial_of(entry, labels=["area", "kind"])
    window = Window(trial, some(3))
    _, values = window.result(plan_of(trial))
    groups = [dict(zip(by, group, strict=True)) for group in product(VALUES, repeat=len(by))]
    ranked = sorted(groups, key=lambda labels: window.of("load", **labels)[0])[::-1]
    at = [0, len(groups) - 1, len(groups) // 2, 1, len(groups) - 2]
    assert [value.key for value in values] == ["max", "min", "median", "2", "-2"]
    if reveal_what == "labels":
        assert [(value.labels, value.steps) for value in values] == [(ranked[k], k + 1) for k in at]
    else:
        assert [(value.labels, value.steps) for value in values] == [
            ({}, window.of("load", **ranked[k])[0]) for k in at
        ]


def test_a_product_is_of_all_label_combinations() -> None:
    """Price times load, added up."""
    trial = trial_of({"name": "cost", "job": "product", "measures": ["price", "load"]}, labels=["area", "kind"])
    window = Window(trial, some(4))
    _, (value,) = window.result(plan_of(trial))
    pairs = [{"area": area, "kind": kind} for area in VALUES for kind in VALUES]
    expected = sum(window.of("price", **pair)[0] * window.of("load", **pair)[0] for pair in pairs)
    assert (value.labels, value.key, value.steps) == ({}, "total", expected)


def test_a_polynomial_is_exact_in_its_own_resolution() -> None:
    """Coefficients with decimals, of sums with sign."""
    coefficients = [Decimal("0.1"), Decimal(-3), Decimal("0.25")]
    trial = trial_of(
        {"name": "wear", "job": "polynomial", "measure": "load", "coefficients": coefficients, "unit": "1"}
    )
    window, plan = Window(trial, some(5)), plan_of(trial)
    _, values = window.result(plan)
    _, resolution = plan.spec.result(trial.task.measures)
    for value in values:
        x = Fraction(window.of("load", **value.labels)[0], 2)
        assert value.key == "value"
        assert value.steps is not None
        assert value.steps * Fraction(resolution) == sum(Fraction(c) * x**k for k, c in enumerate(coefficients))


COLUMNS = {name: {**LOAD, "statistics": []} for name in ("a1", "a2", "a3")}
RIGHT = {"b": {"unit": "EUR", "range": [-20, 20], "resolution": Decimal("0.05"), "statistics": []}}


def entries(rng: np.random.Generator) -> Readings:
    """Readings that make well conditioned systems: the first of b's range, in steps of each measure."""
    return lambda _name, _labels, measure: [
        int(rng.integers(-100, 300)) if measure != "b" else int(rng.integers(-400, 400))
    ]


def solved(rows: list[list[Fraction]], right: list[Fraction]) -> list[Fraction]:
    """Gauss and Jordan, in fractions."""
    work = [[*row, value] for row, value in zip(rows, right, strict=True)]
    for place in range(len(work)):
        pivot = next(row for row in range(place, len(work)) if work[row][place])
        work[place], work[pivot] = work[pivot], work[place]
        work[place] = [value / work[place][place] for value in work[place]]
        for other in range(len(work)):
            if other != place:
                factor = work[other][place]
                work[other] = [x - factor * y for x, y in zip(work[other], work[place], strict=True)]
    return [row[-1] for row in work]


def system_of(window: Window, names: Sequence[str]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """Matrix and right side, in units."""
    res = {name: Fraction(window.task.measures[name].resolution) for name in [*names, "b"]}
    rows = [[window.of(name, area=area)[0] * res[name] for name in names] for area in VALUES]
    return rows, [window.of("b", area=area)[0] * res["b"] for area in VALUES]


def test_a_system_is_solved_in_units() -> None:
    """One equation for each area; resolutions of matrix and right side differ."""
    entry = {
        "name": "mix",
        "job": "linear_solve",
        "matrix": ["a2", "a1", "a3"],
        "right": "b",
        "resolution": Decimal("0.0001"),
        "unit": "1",
    }
    trial = trial_of(entry, measures={"load": LOAD, **COLUMNS, **RIGHT})
    plan = plan_of(trial)
    for seed in range(3):
        window = Window(trial, entries(np.random.default_rng(seed)))
        reason, values = window.result(plan)
        exact = solved(*system_of(window, ["a2", "a1", "a3"]))
        assert reason == "none"
        assert [value.key for value in values] == ["x_a2", "x_a1", "x_a3"]
        assert [value.steps for value in values] == [floor(x * 10_000 + Fraction(1, 2)) for x in exact]


@pytest.mark.parametrize("ridge", ["0", "12.25"])
def test_least_squares_in_units(ridge: str) -> None:
    """Three areas, two unknowns; the ridge is in squares of the matrix's unit. Beside numpy's answer."""
    entry = {
        "name": "fit",
        "job": "least_squares",
        "matrix": ["a1", "a3"],
        "right": "b",
        "resolution": Decimal("0.0001"),
        "unit": "1",
        "ridge": Decimal(ridge),
    }
    trial = trial_of(entry, measures={"load": LOAD, **COLUMNS, **RIGHT})
    window = Window(trial, entries(np.random.default_rng(9)))
    _, values = window.result(plan_of(trial))
    rows, right = system_of(window, ["a1", "a3"])
    gram = [[sum(r[i] * r[k] for r in rows) + Fraction(ridge) * (i == k) for k in range(2)] for i in range(2)]
    image = [sum((r[i] * y for r, y in zip(rows, right, strict=True)), Fraction(0)) for i in range(2)]
    exact = solved(gram, image)
    assert [value.steps for value in values] == [floor(x * 10_000 + Fraction(1, 2)) for x in exact]
    if ridge == "0":
        near_it = np.linalg.lstsq(np.array(rows, dtype=float), np.array(right, dtype=float), rcond=None)[0]
        assert np.allclose([float(x) for x in exact], near_it)


CIRCUIT = {"name": "add", "job": "circuit", "file": "adder.txt", "sha256": hashlib.sha256(ADDER.encode()).hexdigest()}


def test_a_circuit_for_each_label_combination() -> None:
    """Two bits of one measure and one of another, of sums with sign, fill the wires of a full adder."""
    trial = trial_of({**CIRCUIT, "inputs": [["load", 2], ["price", 1]]}, labels=["area", "kind"])
    window = Window(trial, some(11))
    _, values = window.result(plan_of(trial, {"add": parse(ADDER)}))
    expected: dict[tuple[tuple[str, ...], str], int | None] = {}
    for area, kind in product(VALUES, VALUES):
        load, price = (window.of(name, area=area, kind=kind)[0] for name in ("load", "price"))
        total = (load & 1) + (load >> 1 & 1) + (price & 1)
        expected |= {((area, kind), "out0"): total & 1, ((area, kind), "out1"): total >> 1}
    assert found(values) == expected


def silent(readings: Readings, **empty: str) -> Readings:
    """Readings without those of one gateway ("north-1") in an area, or of nobody ("all")."""

    def changed(name: str, labels: tuple[str, ...], measure: str) -> list[int]:
        here = readings(name, labels, measure)
        return [] if empty.get(labels[0]) in (name, "all") else here

    return changed


def test_groups_that_the_policy_hides_are_left_out_with_their_reason() -> None:
    """Of a job whose groups stand by themselves; the others are computed as if these were not there."""
    entry = {"name": "high", "job": "threshold", "measure": "load", "limit": 0}
    trial = trial_of(entry, organisations=3)
    window = Window(trial, silent(some(1), outer="north-1", ring="all"))
    reason, values = window.result(plan_of(trial))
    assert reason == "none"
    assert [(value.labels["area"], value.reason) for value in values] == [
        ("centre", "none"),
        ("outer", "too_few_organisations"),
        ("ring", "no_readings"),
    ]
    assert [value.steps is None for value in values] == [False, True, True]
    assert values[0].steps == (window.of("load", area="centre")[0] > 0)
    nobody = Window(trial, silent(some(1), centre="all", outer="all", ring="all"))
    reason, values = nobody.result(plan_of(trial))
    assert (reason, {value.reason for value in values}) == ("none", {"no_readings"})


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "top", "job": "rank", "measure": "load", "places": ["max"], "reveal": "labels"},
        {"name": "cost", "job": "product", "measures": ["load", "price"]},
    ],
)
def test_a_job_on_all_groups_is_hidden_as_a_whole(entry: dict[str, Any]) -> None:
    """One empty cell, or one that may not be shown, is enough."""
    trial = trial_of(entry, organisations=3)
    plan = plan_of(trial)
    assert Window(trial, silent(some(1), ring="all")).result(plan) == ("no_readings", ())
    assert Window(trial, silent(some(1), ring="north-1")).result(plan) == ("too_few_organisations", ())
    assert Window(trial, some(1)).result(plan)[0] == "none"


def held_by_one(name: str, labels: tuple[str, ...], measure: str) -> list[int]:
    """Each area's readings come from one organisation, another one in each."""
    del measure
    return [7] if {"centre": "north-1", "outer": "west-1", "ring": "south-1"}[labels[0]] == name else []


def test_organisations_may_each_hold_one_equation() -> None:
    """What a policy asks for must hold for the whole, where no cell is released by itself."""
    entry = {"name": "cost", "job": "product", "measures": ["a1", "a2"]}
    hidden = trial_of(entry, measures={"load": LOAD, **COLUMNS})
    reason, (value,) = Window(hidden, held_by_one).result(plan_of(hidden))
    assert (reason, value.steps) == ("none", 3 * 49)
    two = make_trial(
        joint=[entry],
        measures={"load": LOAD, "a1": COLUMNS["a1"], "a2": COLUMNS["a2"]},
        policy={"min_organisations": 4},
    )
    assert Window(two, held_by_one).result(plan_of(two)) == ("too_few_organisations", ())


@pytest.mark.parametrize(("reveal_what", "reason"), [("labels", "none"), ("values", "too_few_organisations")])
def test_a_value_that_is_shown_must_be_allowed_by_itself(reveal_what: str, reason: str) -> None:
    """Who is first may be told of groups that one organisation fills alone; the sum of such a group may not."""
    entry = {"name": "top", "job": "rank", "measure": "a1", "places": ["max"], "reveal": reveal_what}
    trial = trial_of(entry, measures={"load": LOAD, **COLUMNS})
    assert Window(trial, held_by_one).result(plan_of(trial))[0] == reason


def test_what_is_kept_back_cannot_be_subtracted() -> None:
    """A group of a released measure is hidden where one of its cells is: the others would leave it."""
    entry = {"name": "wear", "job": "polynomial", "measure": "load", "by": [], "coefficients": [0, 1], "unit": "kW"}
    trial = trial_of(entry, organisations=3)
    window = Window(trial, silent(some(1), ring="north-1"))
    _, (value,) = window.result(plan_of(trial))
    assert (value.steps, value.reason) == (None, "too_few_organisations")
    alone = trial_of(entry, organisations=3, measures={"load": {**LOAD, "statistics": []}, "other": LOAD})
    window = Window(alone, silent(some(1), ring="north-1"))
    _, (value,) = window.result(plan_of(alone))
    assert value.steps == window.of("load")[0]


def test_a_cell_that_is_read_twice_counts_once() -> None:
    """Three readings do not become the six that the task asks for, where a measure is multiplied with itself."""
    entry = {"name": "square", "job": "product", "measures": ["load", "load"]}
    trial = trial_of(entry, policy={"min_organisations": 3, "min_readings": 24})
    plan = plan_of(trial)
    assert Window(trial, lambda *_: [3, 4]).result(plan) == ("too_few_readings", ())  # 8 in each cell, 24 in all
    free = trial_of(
        entry,
        policy={"min_organisations": 3, "min_readings": 24},
        measures={"load": {**LOAD, "statistics": []}, "x": LOAD},
    )
    assert Window(free, lambda *_: [3, 4]).result(plan_of(free))[0] == "none"
    assert (
        Window(free, lambda name, *_: [3] if name == "west-1" else [3, 4]).result(plan_of(free))[0]
        == "too_few_readings"
    )


@pytest.mark.parametrize("step", ["lowest", "highest"])
def test_the_ends_of_the_ranges(step: str) -> None:
    """As many readings as the limits allow, all at one end of a range that the task just allows."""
    wide = {"unit": "1", "range": [-(2**51), 2**51], "resolution": 1, "statistics": []}
    joint = [
        {"name": "high", "job": "threshold", "measure": "x", "limit": 0},
        {"name": "mean", "job": "threshold", "measure": "x", "limit": 2**51 - 1, "of": "mean"},
        {"name": "top", "job": "rank", "measure": "x", "places": [1, 2, 3], "reveal": "values"},
        {"name": "square", "job": "product", "measures": ["x", "x"]},
        {"name": "wear", "job": "polynomial", "measure": "x", "coefficients": [-1, 1, 1], "unit": "1"},
    ]
    trial = make_trial(
        joint=joint, measures={"x": wide, "load": LOAD}, limits={"max_gateways": 4, "max_rows": 64}, organisations=4
    )
    value = -(2**51) if step == "lowest" else 2**51
    window = Window(trial, lambda _name, _labels, measure: [value] * 64 if measure == "x" else [0])
    total = 4 * 64 * value
    results = {plan.name: window.result(plan) for plan in plans_of(trial.task, trial.roster, {})}
    steps = {name: [one.steps for one in values] for name, (_, values) in results.items()}
    assert steps == {
        "high": [int(total > 0)] * 3,
        "mean": [int(value > 2**51 - 1)] * 3,
        "top": [total] * 3,
        "square": [3 * total**2],
        "wear": [total**2 + total - 1] * 3,
    }


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (
            {"job": "rank", "measure": "load", "places": [1, 4], "reveal": "values"},
            "place 4, and there are 3 ",
        ),
        ({"job": "rank", "measure": "load", "places": [-4, 5], "reveal": "values"}, "place -4, 5, and there are 3"),
        (
            {"job": "linear_solve", "matrix": ["a1", "a2"], "right": "b", "resolution": Decimal("0.1"), "unit": "1"},
            "2 unknowns, and an equation for each of 3",
        ),
        ({**CIRCUIT, "name": "x", "inputs": [["load", 2]]}, "inputs have 2 bits, the circuit has 3 input wires"),
        (
            {"job": "threshold", "measure": "load", "by": [], "limit": 10**15},
            "no sum of load is above 10{15}:",
        ),
    ],
)
def test_what_only_the_roster_or_the_file_shows_is_refused(entry: dict[str, Any], reason: str) -> None:
    """Before any window, with the name of the entry and what to do."""
    trial = trial_of({"name": "x", **entry}, measures={"load": LOAD, **COLUMNS, **RIGHT})
    with pytest.raises(ConfigError, match=reason) as error:
        plans_of(trial.task, trial.roster, {"x": parse(ADDER)})
    assert "joint x" in error.value.what
    assert error.value.remedy
    if "inputs" in entry:
        assert "Make the bits in inputs add up to 3, the input wires." in error.value.remedy


def test_too_few_rows_and_too_large_numbers_are_refused() -> None:
    """Fewer areas than unknowns without a ridge; a determinant that no field holds."""
    many = {f"m{k}": {**LOAD, "statistics": []} for k in range(24)}
    entry = {
        "name": "fit",
        "job": "least_squares",
        "matrix": ["m0", "m1", "m2", "m3"],
        "right": "b",
        "resolution": Decimal("0.1"),
        "unit": "1",
    }
    trial = trial_of(entry, measures={"load": LOAD, **many, **RIGHT})
    with pytest.raises(ConfigError, match="too few rows"):
        plan_of(trial)
    ridged = trial_of({**entry, "ridge": Decimal(1)}, measures={"load": LOAD, **many, **RIGHT})
    assert plan_of(ridged).job(range(3)).results == 4
    wide = {**entry, "matrix": list(many), "ridge": Decimal(1)}
    large = trial_of(
        wide, measures={"load": LOAD, **many, **RIGHT}, limits={"max_gateways": 60_000, "max_rows": 2**31 - 1}
    )
    with pytest.raises(ConfigError, match="bits need more than 1279"):
        plan_of(large)


def test_outputs_that_are_too_long_for_a_result_are_refused() -> None:
    """As many label combinations and outputs as no record of Kafka holds; half as many outputs are possible."""

    def copies(count: int) -> Netlist:
        gates = "\n".join(f"1 1 0 {wire} EQW" for wire in range(1, count + 1))
        return parse(f"{count} {count + 1}\n1 1\n{count} {' '.join('1' * count)}\n{gates}\n")

    trial = trial_of({**CIRCUIT, "inputs": [["load", 1]]}, labels=["a", "b", "c"])
    with pytest.raises(ConfigError, match="the outputs of add"):
        plan_of(trial, {"add": copies(800)})
    assert plan_of(trial, {"add": copies(400)}).job([0]).results == 400


def test_a_group_that_does_not_exist_is_no_result() -> None:
    """The winner of an order is one of the roster's groups."""
    trial = trial_of({"name": "top", "job": "rank", "measure": "load", "places": ["max"], "reveal": "labels"})
    for number in (-1, 3):
        with pytest.raises(WireError):
            plan_of(trial).values((0, 1, 2), (), [number])


@pytest.mark.parametrize(
    ("text", "agreed", "reason"),
    [
        (ADDER, ADDER, None),
        (ADDER + "\n", ADDER, "not the circuit"),
        (None, ADDER, "cannot be read"),
        ("1 2 3", "1 2 3", "no netlist: a netlist begins"),
        (b"\xff", b"\xff", "no netlist: it is not text"),
    ],
)
def test_circuits_are_read_beside_the_task(
    tmp_path: Path, text: str | bytes | None, agreed: str | bytes, reason: str | None
) -> None:
    """Only the very file that all have agreed on."""

    def as_bytes(data: str | bytes) -> bytes:
        return data.encode() if isinstance(data, str) else data

    if text is not None:
        (tmp_path / "adder.txt").write_bytes(as_bytes(text))
    spec = {**CIRCUIT, "sha256": hashlib.sha256(as_bytes(agreed)).hexdigest(), "inputs": [["load", 3]]}
    task = trial_of(spec).task
    if reason is None:
        assert load_netlists(task, tmp_path)["add"].inputs == (3,)
        return
    with pytest.raises(ConfigError, match=reason) as error:
        load_netlists(task, tmp_path)
    assert error.value.remedy


def test_an_output_too_long_for_a_result_is_refused() -> None:
    """One of 1,328 wires has 400 digits, which an aggregate holds; one wire more is refused before any window."""
    for wires in (1_328, 1_329):
        netlist = parse(
            f"{wires} {wires + 1}\n1 1\n1 {wires}\n" + "".join(f"1 1 0 {k + 1} INV\n" for k in range(wires))
        )
        trial = trial_of({**CIRCUIT, "inputs": [["load", 1]]})
        if wires == 1_328:
            assert plans_of(trial.task, trial.roster, {"add": netlist})
        else:
            with pytest.raises(ConfigError, match="more than 1328 wires"):
                plans_of(trial.task, trial.roster, {"add": netlist})
