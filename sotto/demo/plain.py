"""The plain computation: what the results must be, from the CSV file alone.

Nothing of the pipeline is in it: no window book, no batches, no shares, no policy code. Only the agreed documents (the
task's window, measures and minima, the roster's label values) and the reference rule of rounding. So an error of the
pipeline cannot hide in it.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path

from mpc_ops.fixedpoint import Quantiser
from protocol.roster import Roster
from protocol.task import Task

MEASURE_COLUMNS: Mapping[str, str] = {"pm25": "PM2.5", "no2": "NO2", "co": "CO", "temperature": "TEMP"}
"""Where the sample's file has each measure of the trial."""
GAP = "NA"

Labels = tuple[tuple[str, str], ...]
"""Label keys and values, sorted by key."""


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """A cell that is due: the start of its window in milliseconds, its labels, its measure."""

    window: int
    labels: Labels
    measure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading in the clear, with its text in the file."""

    organisation: str
    station: str
    text: str = field(repr=False)
    steps: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must become of a cell. `sum_steps` is in steps of `resolution`, from zero."""

    readings: tuple[Reading, ...]
    resolution: Decimal
    reason: str

    @property
    def released(self) -> bool:
        """Whether the policy lets it out."""
        return self.reason == "none"

    @property
    def count(self) -> int:
        """The number of readings."""
        return len(self.readings)

    @property
    def sum_steps(self) -> int:
        """The exact sum, in steps."""
        return sum(reading.steps for reading in self.readings)

    @property
    def organisations(self) -> int:
        """How many organisations have a reading in it."""
        return len({reading.organisation for reading in self.readings})

    @property
    def mean(self) -> Fraction:
        """The exact mean, in the measure's unit."""
        return Fraction(self.sum_steps, self.count) * Fraction(self.resolution)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """All cells that are due, and the number of readings and gaps in the file.

    `joint`: names of the joint computations, which are not made here.
    """

    readings: int
    gaps: int
    windows: tuple[int, ...]
    cells: Mapping[Due, Expected]
    joint: frozenset[str] = frozenset()


def compute(path: Path, task: Task, roster: Roster) -> Plain:
    """Compute every due cell of the windows from the file's first reading to its last."""
    found: dict[Due, list[Reading]] = defaultdict(list)
    gaps = 0
    times = set()
    rules = {name: _quantiser(task, name) for name in task.measures}
    for window, row in _rows(path, task):
        times.add(window)
        labels = tuple(sorted((key, row[key]) for key in task.labels))
        for measure, rule in rules.items():
            text = row[MEASURE_COLUMNS[measure]]
            if text == GAP:
                gaps += 1
                continue
            # `exact` counts from the lower end of the range, results from zero
            steps = rule.exact(Decimal(text)) + task.measures[measure].minimum_steps
            reading = Reading(organisation=row["organisation"], station=row["station"], text=text, steps=steps)
            found[Due(window, labels, measure)].append(reading)
    windows = tuple(range(min(times), max(times) + 1, task.window.size))
    cells = {}
    for window in windows:
        for values in product(*(roster.labels[key] for key in task.labels)):
            labels = tuple(sorted(zip(task.labels, values, strict=True)))
            for name, one in task.measures.items():
                if not one.statistics:
                    continue  # never released: it serves joint computations
                due = Due(window, labels, name)
                readings = tuple(found.get(due, ()))
                cells[due] = Expected(readings=readings, resolution=one.resolution, reason=_reason(readings, task))
    readings_of_all = sum(map(len, found.values()))
    joint = frozenset(spec.name for spec in task.joint)
    return Plain(readings=readings_of_all, gaps=gaps, windows=windows, cells=cells, joint=joint)


def _quantiser(task: Task, measure: str) -> Quantiser:
    one = task.measures[measure]
    return Quantiser(minimum=one.range[0], maximum=one.range[1], resolution=one.resolution)


def _reason(readings: tuple[Reading, ...], task: Task) -> str:
    """Why the cell is kept back; "none": it is not. In the sample each organisation has one gateway."""
    members = len({reading.organisation for reading in readings})
    policy = task.policy
    if not readings:
        return "no_readings"
    if members < policy.min_organisations:
        return "too_few_organisations"
    if members < policy.gateways:
        return "too_few_gateways"
    return "too_few_readings" if len(readings) < policy.readings else "none"


def _rows(path: Path, task: Task) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (start of the window in ms, row)."""
    offset = timedelta(milliseconds=task.window.utc_offset)
    size = timedelta(milliseconds=task.window.size)
    local_epoch = datetime(1970, 1, 1, tzinfo=timezone(offset))
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime.fromisoformat(row["time"]).replace(tzinfo=timezone(offset))
            begun = (moment - local_epoch) // size * size  # whole windows since local midnight of 1970-01-01
            yield (begun - offset) // timedelta(milliseconds=1), row
