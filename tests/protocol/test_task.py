"""The task refuses what could not be kept, and its id changes with everything that is agreed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.task import Task
from tests.trial import make_trial, task_document


def document(**changes: Any) -> dict[str, Any]:
    trial = make_trial()
    parties = trial.task.party_names
    return task_document("replicated", "x25519", trial.keys, parties, **changes)


def test_the_id_depends_on_what_is_agreed_and_on_nothing_else() -> None:
    """Order and defaults that are written out make no other task; any other change does."""
    plain = Task.model_validate(document())
    reordered = Task.model_validate(dict(reversed(document().items())))
    spelled = Task.model_validate(document(revision=1, limits={"max_gateways": 1000}))
    assert plain.hash == reordered.hash == spelled.hash
    for change in (
        {"name": "other"},
        {"purpose": "other"},
        {"revision": 2},
        {"labels": []},
        {"policy": {"min_organisations": 4}},
        {"limits": {"max_rows": 10}},
    ):
        assert Task.model_validate(document(**change)).hash != plain.hash
    assert plain.id.startswith("sotto-task:")
    assert len(plain.id) == len("sotto-task:") + 26
    assert plain.id_spoken.replace("-", "") == plain.id.removeprefix("sotto-task:")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"policy": {"min_organisations": 2}}, "each subtracts its own"),
        ({"measures": {"co": {"unit": "1", "range": [0, 2**52], "resolution": 1}}}, "could leave 64 bits"),
        ({"measures": {"co": {"unit": "1", "range": [0, 2**53], "resolution": 1}}}, "2\\^52"),
        ({"measures": {"co": {"unit": "1", "range": [0, 1], "resolution": Decimal("0.3")}}}, "multiples of resolution"),
        ({"measures": {"co": {"unit": "1", "range": [1, 0], "resolution": 1}}}, "lowest, highest"),
        ({"measures": {"co": {"unit": "1", "range": [0, 1], "resolution": 0}}}, "above 0"),
        ({"measures": {"CO": {"unit": "1", "range": [0, 1], "resolution": 1}}}, "a-z"),
        ({"measures": {}}, "measures"),
        ({"scheme": {"name": "shamir"}}, "scheme"),
        ({"scheme": {"name": "additive"}, "policy": {"min_organisations": 3, "unverified": "wait"}}, "wait for ever"),
        ({"window": {"size": "1 hour", "lateness": "0s", "deadline": "0s"}}, "1h30m"),
        ({"window": {"size": "10ms", "lateness": "0s", "deadline": "0s"}}, "at least 1s"),
        ({"labels": ["area", "area"]}, "twice"),
        ({"typo": 1}, "typo"),
        ({"name": "Beijing Air"}, "hyphens"),
        ({"valid_until": "2017-03-01"}, "offset"),
    ],
)
def test_a_task_that_cannot_be_kept_is_refused(change: dict[str, Any], words: str) -> None:
    """The reason is in the message."""
    with pytest.raises(ValidationError, match=words):
        Task.model_validate(document(**change))


def test_replicated_needs_three_parties() -> None:
    """Two or four parties are another scheme."""
    trial = make_trial("additive", 2)
    with pytest.raises(ValidationError, match="three parties"):
        Task.model_validate(task_document("replicated", "x25519", trial.keys, trial.task.party_names))


def test_one_operator_cannot_be_two_parties() -> None:
    """Equal identities are refused."""
    changed = document()
    changed["collector"] = dict(changed["party"]["party-1"])
    with pytest.raises(ValidationError, match="same identity"):
        Task.model_validate(changed)


def test_windows_of_the_task() -> None:
    """Only edges inside the validity are windows."""
    task = make_trial().task
    assert task.has_window(task.valid_from)
    assert not task.has_window(task.valid_from - task.window.size)
    assert not task.has_window(task.valid_from + 1)
    assert not task.has_window(task.valid_until)
