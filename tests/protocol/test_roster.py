"""Nobody can add an organisation, a gateway or a label value alone."""

from __future__ import annotations

from typing import Any

import pytest

from protocol.aggregate import Aggregate, CellResult, Contributor, encode
from protocol.codec import LATEST
from protocol.errors import ConfigError
from protocol.roster import Cell, Organisation, Roster
from tests.trial import HOUR, START, Trial, make_trial


def changed(roster: Roster, **changes: object) -> Roster:
    return roster.model_copy(update=changes)


def largest_aggregate(trial: Trial, roster: Roster, *, outcome: Any, **more: Any) -> bytes:
    cells = tuple(
        CellResult(
            labels=dict(zip(trial.task.labels, cell.labels, strict=True)),
            measure=trial.task.measure_names[cell.measure],
            unit=trial.task.measures[trial.task.measure_names[cell.measure]].unit,
            resolution=trial.task.measures[trial.task.measure_names[cell.measure]].resolution,
            **({"reason": "none", "at_fault": (), "count": None, "sum_steps": None} | {"outcome": outcome} | more),
        )
        for cell in roster.cells(trial.task)
    )
    aggregate = Aggregate(
        task=trial.task.name,
        revision=1,
        task_id=trial.task.id,
        roster=1,
        window_start=START,
        window_end=START + HOUR,
        verified=True,
        parties=trial.task.party_names,
        contributors=tuple(
            Contributor(gateway=one.name, organisation=one.organisation, late=2**32 - 1, dropped=2**32 - 1)
            for one in roster.gateways.values()
        ),
        organisations=4,
        gateways=4,
        absent=(),
        last_seal=LATEST,
        revealed_at=LATEST,
        cells=cells,
    )
    return encode(aggregate, trial.keys["collector"].identity)


def test_a_signed_roster_is_accepted_and_lists_every_due_cell() -> None:
    """Cells are all combinations of label values and measures, sorted."""
    trial = make_trial()
    trial.roster.verify(trial.task)
    cells = trial.roster.cells(trial.task)
    assert cells == tuple(Cell((area,), measure) for area in ("centre", "outer", "ring") for measure in (0, 1))
    assert list(trial.roster.gateways) == ["east-1", "north-1", "south-1", "west-1"]


def test_without_labels_there_is_one_cell_for_each_measure() -> None:
    """A task without labels has one total."""
    trial = make_trial(labels=[])
    assert trial.roster.cells(trial.task) == (Cell((), 0), Cell((), 1))


@pytest.mark.parametrize("scheme", ["replicated", "additive"])
def test_results_that_no_record_of_kafka_can_hold_are_refused_beforehand(scheme: str) -> None:
    """What is counted is the largest aggregate but for its head. Without a limit, each window ended the collector."""
    trial = make_trial(scheme, 3, labels=["area", "kind"])
    labels = {"area": tuple(f"Straße {i}" for i in range(70)), "kind": ("a", "bbbbbbbbb")}
    roster = changed(trial.roster, labels=labels)
    points = largest_aggregate(trial, roster, outcome="point", count=10**19 - 1, sum_steps=1 - 10**19)
    hidden = largest_aggregate(
        trial, roster, outcome="suppressed", reason="too_few_organisations", at_fault=trial.task.party_names
    )
    size = max(len(points), len(hidden))
    assert abs(size - roster.result_size(trial.task)) < 0.1 * size
    many = changed(trial.roster, labels=labels | {"area": tuple(map(str, range(10**5)))})
    with pytest.raises(ConfigError, match="400000 values in each window"):
        many.verify(trial.task)


def test_one_signature_is_not_enough() -> None:
    """One party could otherwise invent organisations to meet the minimum."""
    trial = make_trial()
    one = dict(list(trial.roster.signatures.items())[:1])
    with pytest.raises(ConfigError, match="2 are needed"):
        changed(trial.roster, signatures=one).verify(trial.task)
    additive = make_trial("additive", 3)
    two = dict(list(additive.roster.signatures.items())[:2])
    with pytest.raises(ConfigError, match="3 are needed"):
        changed(additive.roster, signatures=two).verify(additive.task)


def test_a_change_after_signing_is_found() -> None:
    """Signatures cover labels, partitions, keys, everything."""
    trial = make_trial()
    for change in ({"partitions": 7}, {"version": 2}, {"labels": {"area": ("a", "b", "c")}}):
        with pytest.raises(ConfigError, match="signature"):
            changed(Roster.model_construct(**trial.roster.__dict__), **change).verify(trial.task)


def test_a_gateway_that_its_organisation_did_not_sign_is_refused() -> None:
    """Parties cannot put a gateway into an organisation either."""
    trial = make_trial()
    north = trial.roster.organisation["north"]
    west = trial.roster.organisation["west"]
    swapped = Organisation.model_construct(**{**north.__dict__, "gateway": west.gateway})
    roster = changed(trial.roster, organisation={"north": swapped})
    roster.__dict__.pop("gateways", None)
    with pytest.raises(ConfigError, match='signature of organisation "north"'):
        roster.verify(trial.task)


def test_a_roster_of_another_task_is_refused() -> None:
    """The message names both ids and the way out."""
    trial, other = make_trial(), make_trial(purpose="another")
    with pytest.raises(ConfigError, match="another task cannot be added up"):
        trial.roster.verify(other.task)
