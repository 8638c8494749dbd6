"""The plain computation: what is known about the sample, by counting its file."""

from collections import Counter
from fractions import Fraction

from pydantic import TypeAdapter

from protocol.joint import JointSpec
from protocol.roster import Roster
from protocol.task import Task
from sotto.demo.plain import Due, Plain, compute
from sotto.init import Trial
from tests.demo.samples import sample_rows

HOUR = 3_600_000
FIRST = 1_482_854_400_000  # 2016-12-28T00:00:00+08:00


def test_the_sample_has_the_cells_that_the_documents_promise(plain: Plain) -> None:
    """576 cells are due, 566 have readings of three organisations, 10 are hidden: 7 CO, 2 NO2, 1 PM2.5."""
    hidden = Counter(due.measure for due, cell in plain.cells.items() if not cell.released)
    assert (plain.readings, plain.gaps, len(plain.windows), len(plain.cells)) == (2209, 95, 48, 576)
    assert hidden == {"co": 7, "no2": 2, "pm25": 1}
    assert {cell.reason for cell in plain.cells.values()} == {"none", "too_few_organisations"}


def test_the_files_counts_are_those_of_its_lines(plain: Plain) -> None:
    """Readings and gaps are the cells of the table, counted as text."""
    values = [value for line in sample_rows()[1:] for value in line.split(",")[4:]]
    assert (plain.readings, plain.gaps) == (len(values) - values.count("NA"), values.count("NA"))


def test_one_window_by_hand(plain: Plain) -> None:
    """NO2 in the outer area at 17 h: 4, 33, 2 and 2, so the sum is 41 and the mean 10.25."""
    cell = plain.cells[Due(FIRST + 17 * HOUR, (("area", "outer"),), "no2")]
    assert [(reading.station, reading.text) for reading in cell.readings] == [
        ("Dingling", "4"),
        ("Changping", "33"),
        ("Shunyi", "2"),
        ("Huairou", "2"),
    ]
    assert (cell.count, cell.sum_steps, cell.mean) == (4, 41, Fraction(41, 4))


def test_a_measure_below_zero_counts_its_steps_from_zero(plain: Plain) -> None:
    """Temperature has the range -40 to 60 in steps of 0.1: -4.9, -5.9, ... give a negative sum."""
    cell = plain.cells[Due(FIRST, (("area", "outer"),), "temperature")]
    assert cell.sum_steps == sum(round(float(reading.text) * 10) for reading in cell.readings) < 0


def test_a_measure_that_is_never_released_has_no_cells(sample: tuple[Trial, Task, Roster, Plain]) -> None:
    """It serves joint computations alone; its readings are read, and no value of it is due."""
    trial, task, roster, plain = sample
    spec = {"name": "soot", "job": "rank", "measure": "pm25", "by": ["area"], "places": ["max"], "reveal": "labels"}
    hidden = task.measures["pm25"].model_copy(update={"statistics": ()})
    joint = (TypeAdapter(JointSpec).validate_python(spec),)
    changed = task.model_copy(update={"measures": {**task.measures, "pm25": hidden}, "joint": joint})
    found = compute(trial.csv, changed, roster)
    assert found.cells == {due: cell for due, cell in plain.cells.items() if due.measure != "pm25"}
    assert (found.readings, found.gaps, found.joint) == (plain.readings, plain.gaps, frozenset({"soot"}))
