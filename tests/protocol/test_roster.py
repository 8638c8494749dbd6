"""Nobody can add an organisation, a gateway or a label value alone."""

from __future__ import annotations

import pytest

from protocol.errors import ConfigError
from protocol.roster import Cell, Organisation, Roster
from tests.trial import make_trial


def changed(roster: Roster, **changes: object) -> Roster:
    return roster.model_copy(update=changes)


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
