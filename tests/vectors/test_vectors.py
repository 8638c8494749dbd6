"""The vectors on disk are what the code makes, and every decoder takes the good ones and refuses the bad ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol import aggregate, control
from protocol.contribution import ContributionBox, encode
from protocol.errors import WireError
from tests.trial import Trial, make_trial
from tests.vectors.make import every_file, text_of
from tests.vectors.playing import HERE, leaf_of, schemes


def read(name: str) -> Any:
    return json.loads((HERE / name).read_text())


@pytest.fixture(scope="module")
def trial() -> Trial:
    return make_trial()


def test_files_are_what_the_code_makes() -> None:
    """A change of the wire cannot go unnoticed: `make vectors` would change these files."""
    for name, vectors in every_file():
        assert (HERE / name).read_text() == text_of(vectors), f"{name} differs: SPEC, CHANGELOG and `make vectors`"


@pytest.mark.parametrize("scheme", schemes())
def test_shares_become_their_contributions(scheme: str) -> None:
    """Each party reads its own records, and only its own, into the contribution of the vector."""
    trial = schemes()[scheme]
    segment = read("shares.json")["schemes"][scheme]
    for case in segment["records"]:
        record = bytes.fromhex(case["record"])
        for party in trial.task.party_names:
            leaf = leaf_of(trial, party)
            if party == case["party"]:
                contributed = leaf.contribute(record, partition=segment["partition"])
                assert contributed.value.hex() == case["contribution"]
                assert contributed.fault is None
            else:
                with pytest.raises(WireError, match="other party"):
                    leaf.contribute(record, partition=segment["partition"])


@pytest.mark.parametrize("case", read("shares_bad.json")["cases"], ids=lambda case: case["name"])
def test_bad_shares_are_refused_or_a_fault(case: dict[str, Any], trial: Trial) -> None:
    """Nothing that is not exactly what a gateway sent to this party enters a sum."""
    leaf = leaf_of(trial, "party-1")
    record = bytes.fromhex(case["record"])
    if case["outcome"] == "refused":
        with pytest.raises(WireError) as caught:
            leaf.contribute(record, partition=case["partition"])
        assert caught.value.reason == case["reason"]
    else:
        assert leaf.contribute(record, partition=case["partition"]).fault == case["reason"]


def test_contributions_open_for_their_party_alone(trial: Trial) -> None:
    """A contribution opens under its party's secret, party and task, and under no other."""
    task_hash = trial.task.hash
    vectors = read("contributions.json")
    storage = bytes.fromhex(vectors["storage"])
    for case in vectors["cases"]:
        record = bytes.fromhex(case["record"])
        box = ContributionBox(storage=storage, task_hash=task_hash, party=0)
        window, content = box.open(record, labels=1)
        assert encode(content).hex() == case["content"]
        assert box.seal(content, window) == record
        for wrong in (
            ContributionBox(storage=bytes(32), task_hash=task_hash, party=0),
            ContributionBox(storage=storage, task_hash=bytes(32), party=0),
            ContributionBox(storage=storage, task_hash=task_hash, party=1),
        ):
            with pytest.raises(WireError):
                wrong.open(record, labels=1)
        for damaged in (record[:-1], record + b"\0", record[:20], b"", record[:50] + b"\7" + record[51:]):
            with pytest.raises(WireError):
                box.open(damaged, labels=1)


@pytest.mark.parametrize("case", read("control_bad.json")["cases"], ids=lambda case: case["name"])
def test_bad_control_records_are_refused(case: dict[str, Any], trial: Trial) -> None:
    """Whoever can write to `control` without a party's key changes nothing."""
    with pytest.raises(WireError) as caught:
        control.decode(bytes.fromhex(case["record"]), task=trial.task, roster=trial.roster)
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", read("control.json")["cases"], ids=lambda case: case["kind"])
def test_control_records_are_canonical(case: dict[str, Any], trial: Trial) -> None:
    """A control record has one encoding."""
    record = control.decode(bytes.fromhex(case["record"]), task=trial.task, roster=trial.roster)
    identity = trial.keys[case["signer"]].identity
    assert control.encode(record, task=trial.task, roster=trial.roster, identity=identity).hex() == case["record"]


@pytest.mark.parametrize("case", read("aggregate_bad.json")["cases"], ids=lambda case: case["name"])
def test_bad_aggregates_are_refused(case: dict[str, Any], trial: Trial) -> None:
    """A sink writes what the collector signed, and nothing else."""
    with pytest.raises(WireError) as caught:
        aggregate.decode(case["record"].encode(), task=trial.task)
    assert caught.value.reason == case["reason"]
