"""Which cells are let out: each cell by itself, on the gateways that have rows in it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.body import SealNotes
from protocol.share import SharePayload
from streams.assembly import CellSums
from streams.policy import due_cells, judge, set_verdict, totals
from tests.trial import Trial, make_trial

NAMES = ("east-1", "north-1", "south-1", "west-1")


TRIAL = make_trial("replicated", policy={"min_organisations": 3, "min_readings": 5})


@pytest.fixture
def trial() -> Trial:
    return TRIAL


def part(rows: dict[int, int], *, held: int = 2) -> CellSums:
    """Sums of a gateway: in cell c, component j: 100 * c + j for each row."""
    cells = np.array(sorted(rows), dtype=np.intp)
    counts = np.array([rows[cell] for cell in sorted(rows)], dtype=np.int64)
    sums = np.array([[(100 * c + j) * rows[c] for c in sorted(rows)] for j in range(held)], dtype=np.uint64)
    return CellSums(cells=cells, rows=counts, sums=sums.reshape(held, len(rows)))


def test_a_cell_is_released_with_its_totals(trial: Trial) -> None:
    """Enough organisations, gateways and readings: counts and components of all gateways together."""
    payload = judge(
        trial.task,
        trial.roster,
        totals(trial.task, trial.roster, {name: part({2: 2, 4: 1}) for name in NAMES}, held=2),
        notes={},
    )
    assert payload.released.tolist() == [2]
    assert payload.counts.tolist() == [8]
    assert payload.sums.tolist() == [[200 * 8], [201 * 8]]
    assert dict(payload.suppressed) == {
        0: "no_readings",
        1: "no_readings",
        3: "no_readings",
        4: "too_few_readings",
        5: "no_readings",
    }


def test_gateways_without_rows_in_a_cell_do_not_count_for_it(trial: Trial) -> None:
    """Two organisations have readings in the cell; that the others are in the set does not help."""
    parts = {name: part({0: 5} if name in NAMES[:2] else {1: 5}) for name in NAMES}
    parts["west-1"] = part({0: 0, 1: 5})  # a row count of zero is no reading
    payload = judge(trial.task, trial.roster, totals(trial.task, trial.roster, parts, held=2), notes={})
    assert dict(payload.suppressed)[0] == "too_few_organisations"
    assert dict(payload.suppressed)[1] == "too_few_organisations"


def test_gateways_are_counted_beside_organisations() -> None:
    """A task may ask for more gateways than organisations."""
    trial = make_trial("replicated", policy={"min_organisations": 3, "min_gateways": 5})
    payload = judge(
        trial.task,
        trial.roster,
        totals(trial.task, trial.roster, {name: part({0: 9}) for name in NAMES}, held=2),
        notes={},
    )
    assert dict(payload.suppressed)[0] == "too_few_gateways"


def test_no_small_number_leaves_with_a_suppression(trial: Trial) -> None:
    """A suppressed cell carries its reason and nothing else."""
    notes = {"east-1": SealNotes(), "west-1": SealNotes(late=2, dropped=9)}
    payload = judge(
        trial.task, trial.roster, totals(trial.task, trial.roster, {"east-1": part({0: 3})}, held=2), notes=notes
    )
    assert payload.released.size == payload.counts.size == payload.sums.size == 0
    assert payload.notes == (("west-1", notes["west-1"]),)


def test_rows_beyond_the_limits_overflow() -> None:
    """More rows than the task's bound admits could leave 64 bits: not released."""
    trial = make_trial("replicated", limits={"max_gateways": 4, "max_rows": 10})
    payload = judge(
        trial.task,
        trial.roster,
        totals(trial.task, trial.roster, {name: part({0: 11}) for name in NAMES}, held=2),
        notes={},
    )
    assert dict(payload.suppressed)[0] == "overflow"


def test_a_measure_without_statistics_is_neither_released_nor_suppressed() -> None:
    """It feeds joint computations alone: its cells are not due, however many readings they have."""
    measures = {
        "no2": {"unit": "ug/m3", "range": [0, 1000], "resolution": 1},
        "load": {"unit": "kW", "range": [0, 1000], "resolution": 1, "statistics": []},
    }
    job = {"name": "overload", "job": "threshold", "measure": "load", "limit": 9}
    trial = make_trial("replicated", measures=measures, joint=[job])
    released = [trial.task.measure_names[cell.measure] == "no2" for cell in trial.roster.cells(trial.task)]
    assert due_cells(trial.task, trial.roster).tolist() == released
    parts = {name: part(dict.fromkeys(range(5), 4)) for name in NAMES}  # all cells but the last
    payload = judge(trial.task, trial.roster, totals(trial.task, trial.roster, parts, held=2), notes={})
    due = [number for number, one in enumerate(released) if one]
    assert sorted([*payload.released.tolist(), *dict(payload.suppressed)]) == due
    assert payload.released.tolist() == [number for number in due if number < 5]
    decoded = SharePayload.decode(payload.encode(), due=due, held=2)
    assert decoded.released.tolist() == payload.released.tolist()


@pytest.mark.parametrize(
    ("gateways", "max_absent", "reason"),
    [
        (NAMES, "0", None),
        (NAMES[:3], "0", "too_many_absent"),
        (NAMES[:3], "0.1", None),  # of four, a tenth is rounded up to one
        (NAMES[:2], "0.1", "too_many_absent"),
        (NAMES[:2], "0.5", None),
        ((), "1", "no_readings"),
    ],
)
def test_absent_organisations(gateways: tuple[str, ...], max_absent: str, reason: str | None) -> None:
    """At most a part of the roster's organisations may be missing, so that nobody chooses the set by withholding."""
    trial = make_trial("replicated", policy={"min_organisations": 3, "max_absent": Decimal(max_absent)})
    assert set_verdict(trial.task, trial.roster, gateways) == reason


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.dictionaries(st.integers(0, 5), st.integers(0, 4), max_size=6), max_size=4
    )
)
def test_every_cell_has_one_outcome_and_the_right_one(rows: dict[str, dict[int, int]]) -> None:
    """Against a cell-by-cell computation in plain Python."""
    payload = judge(
        TRIAL.task,
        TRIAL.roster,
        totals(TRIAL.task, TRIAL.roster, {name: part(cells) for name, cells in rows.items()}, held=2),
        notes={},
    )
    suppressed = dict(payload.suppressed)
    for cell in range(6):
        counts = [cells.get(cell, 0) for cells in rows.values() if cells.get(cell, 0)]
        if len(counts) >= 3 and sum(counts) >= 5:
            place = payload.released.tolist().index(cell)
            assert payload.counts[place] == sum(counts)
            assert payload.sums[:, place].tolist() == [100 * cell * sum(counts), (100 * cell + 1) * sum(counts)]
        else:
            reason = "too_few_readings" if len(counts) >= 3 else "too_few_organisations"
            assert suppressed[cell] == (reason if counts else "no_readings")
    assert len(payload.released) + len(suppressed) == 6
