"""Another implementation's decoders can be held against these: what tasks with jobs write, and what they refuse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from protocol import aggregate
from protocol.errors import WireError
from protocol.share import SharePayload
from tests.trial import Trial
from tests.vectors.jobs import a_trial
from tests.vectors.playing import HERE


def read(name: str) -> Any:
    return json.loads((HERE / name).read_text())


@pytest.fixture(scope="module")
def trial() -> Trial:
    return a_trial()


@pytest.fixture(scope="module")
def good() -> Any:
    return read("jobs.json")


def test_shares_of_results_have_one_encoding(trial: Trial, good: Any) -> None:
    """The payload of the vector reads back to itself, and shows no element of a share where it is printed."""
    data = bytes.fromhex(good["payload"])
    payload = SharePayload.decode(data, due=good["due"], held=good["held"], joint=len(trial.task.joint))
    assert payload.encode() == data
    assert [share.reason for share in payload.joint].count("none") == 3
    assert repr(payload.joint[0].data) not in repr(payload)


def test_results_of_jobs_have_one_encoding(trial: Trial, good: Any) -> None:
    """The aggregate of the vector reads back to itself, numbers of hundreds of digits included."""
    data = good["aggregate"].encode()
    result = aggregate.decode(data, task=trial.task)
    assert aggregate.encode(result, trial.keys["collector"].identity) == data
    assert [one.name for one in result.joint] == [spec.name for spec in trial.task.joint]


@pytest.mark.parametrize("case", read("jobs_bad.json")["payloads"], ids=lambda case: case["name"])
def test_bad_shares_of_results_are_refused(case: dict[str, Any], trial: Trial, good: Any) -> None:
    """A party that sends another form of its share has sent none."""
    with pytest.raises(WireError) as caught:
        SharePayload.decode(
            bytes.fromhex(case["payload"]), due=good["due"], held=good["held"], joint=len(trial.task.joint)
        )
    assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", read("jobs_bad.json")["aggregates"], ids=lambda case: case["name"])
def test_bad_results_of_jobs_are_refused(case: dict[str, Any], trial: Trial) -> None:
    """A sink writes results of the task's jobs, all of them, in their order and units."""
    with pytest.raises(WireError) as caught:
        aggregate.decode(case["record"].encode(), task=trial.task)
    assert caught.value.reason == case["reason"]
