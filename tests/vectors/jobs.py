"""The vectors of tasks that ask for jobs: the document, shares of results in a payload, results in an aggregate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from protocol import aggregate
from protocol.aggregate import Aggregate, Contributor, JointResult, JointValue
from protocol.body import SealNotes
from protocol.canonical import canonical
from protocol.errors import WireError
from protocol.share import JointShare, SharePayload
from tests.protocol.jobs import ENTRIES, MEASURES
from tests.trial import Trial, make_trial
from tests.vectors.playing import a_cell, a_result

HELD = 2


def a_trial() -> Trial:
    """Return a task with an entry for each job, and a measure that is not released by itself."""
    hidden: dict[str, Any] = {"so2": {**MEASURES["so2"], "statistics": []}}
    return make_trial(
        labels=["area"], measures={**MEASURES, **hidden}, limits={"max_rows": 1000}, joint=list(ENTRIES.values())
    )


def due(trial: Trial) -> list[int]:
    """Return the numbers of the cells that are due."""
    cells = enumerate(trial.roster.cells(trial.task))
    return [number for number, cell in cells if cell.measure in trial.task.released_measures]


def a_payload(trial: Trial) -> SharePayload:
    """Return a payload in which each kind of share of a result occurs."""
    cells = due(trial)
    return SharePayload(
        released=np.array(cells[1:], dtype=np.int64),
        counts=np.arange(3, 2 + len(cells), dtype=np.int64),
        sums=np.arange(HELD * (len(cells) - 1), dtype=np.uint64).reshape(HELD, -1),
        suppressed=((cells[0], "too_few_gateways"),),
        notes=(("north-1", SealNotes(late=2, dropped=3)),),
        joint=(
            JointShare(groups=(0, 2), hidden=((1, "too_few_readings"),), data=bytes(range(8 * HELD))),
            JointShare(groups=(0,), data=bytes(range(24 * HELD))),
            JointShare(reason="party_missing", suspects=(1,)),
            JointShare(hidden=((0, "no_readings"), (1, "overflow"), (2, "too_few_organisations"))),
            JointShare(reason="singular_system"),
            JointShare(reason="out_of_range"),
            JointShare(reason="parties_disagree", suspects=(0, 2)),
        ),
    )


def an_aggregate(trial: Trial) -> Aggregate:
    """Return an aggregate with results, one that is partly kept back, and suppressed ones."""
    task = trial.task
    of = {spec.job: (spec.name, spec.job, *spec.result(task.measures)) for spec in task.joint}

    def point(job: str, *values: JointValue) -> JointResult:
        name, _, unit, resolution = of[job]
        return JointResult(name=name, job=job, outcome="point", unit=unit, resolution=resolution, values=values)

    def suppressed(job: str, reason: str, *at_fault: str) -> JointResult:
        name, _, unit, resolution = of[job]
        return JointResult(
            name=name,
            job=job,
            outcome="suppressed",
            unit=unit,
            resolution=resolution,
            reason=reason,
            at_fault=at_fault,
        )

    return a_result(
        trial,
        contributor=Contributor(gateway="north-1", organisation="north", late=0),
        cells=(a_cell(trial, "centre", "no2", outcome="point", count=4, sum_steps=-41),),
        joint=(
            point(
                "threshold",
                JointValue(labels={"area": "centre"}, key="above", steps=1),
                JointValue(labels={"area": "outer"}, key="above", steps=None, reason="too_few_readings"),
                JointValue(labels={"area": "ring"}, key="above", steps=0),
            ),
            point(
                "rank",
                JointValue(labels={"area": "ring"}, key="max", steps=1),
                JointValue(labels={"area": "centre"}, key="median", steps=2),
                JointValue(labels={"area": "centre"}, key="-2", steps=2),
            ),
            point("product", JointValue(labels={}, key="total", steps=-(2**126) + 1)),
            suppressed("polynomial", "no_readings"),
            suppressed("linear_solve", "singular_system"),
            suppressed("least_squares", "party_missing", "party-2"),
            point("circuit", JointValue(labels={"area": "centre"}, key="out0", steps=10**400 - 1)),
        ),
    )


def jobs() -> dict[str, Any]:
    """What every encoder has to make."""
    trial = a_trial()
    payload = a_payload(trial).encode()
    read = SharePayload.decode(payload, due=due(trial), held=HELD, joint=len(trial.task.joint))
    assert read.encode() == payload
    made = an_aggregate(trial)
    data = aggregate.encode(made, trial.keys["collector"].identity)
    assert aggregate.decode(data, task=trial.task) == made
    return {
        "about": "SPEC 3.1, 8.3, 9.1: a task with jobs, the plaintext of an aggregate share of it, an aggregate of it",
        "task": canonical(trial.task.document()).decode(),
        "task_hash": trial.task.hash.hex(),
        "due": due(trial),
        "held": HELD,
        "payload": payload.hex(),
        "aggregate": data.decode(),
    }


def _reason(read: Callable[[], object]) -> str:
    try:
        read()
    except WireError as error:
        return error.reason
    raise AssertionError("internal error: a bad vector was read")


def _bad_payloads(trial: Trial) -> dict[str, bytes]:
    good = a_payload(trial)
    data = good.encode()

    def with_first(share: JointShare) -> bytes:
        return replace(good, joint=(share, *good.joint[1:])).encode()

    first = good.joint[0]
    place = len(replace(good, joint=()).encode())
    hidden = place + 2 + 4 + 4 * len(first.groups) + 4 + 4
    return {
        "a byte too short": data[:-1],
        "a byte too long": data + b"\0",
        "a job too few": replace(good, joint=good.joint[:-1]).encode(),
        "a job too many": replace(good, joint=(*good.joint, first)).encode(),
        "no jobs": replace(good, joint=()).encode(),
        "a reason that nobody knows": data[:place] + b"\x0b" + data[place + 1 :],
        "a suspect who is no party": with_first(JointShare(reason="parties_disagree", suspects=(3,))),
        "something hidden for no reason of the policy": data[:hidden] + b"\x06" + data[hidden + 1 :],
        "a result and suspects": with_first(replace(first, suspects=(1,))),
        "a reason and elements": with_first(JointShare(reason="party_missing", data=bytes(8 * HELD))),
        "a reason and groups": with_first(JointShare(reason="party_missing", groups=(0,))),
        "a reason and something hidden": with_first(JointShare(reason="overflow", hidden=((0, "overflow"),))),
        "groups not ascending": with_first(replace(first, groups=(2, 0))),
        "a group twice": with_first(replace(first, groups=(0, 0))),
        "a group that is hidden too": with_first(replace(first, hidden=((2, "overflow"),))),
        "suspects not ascending": with_first(JointShare(reason="parties_disagree", suspects=(2, 0))),
        "a component too short": with_first(replace(first, data=bytes(8 * HELD - 1))),
        "a cell that is not due": replace(good, suppressed=((2, "too_few_gateways"),)).encode(),
    }


def _bad_aggregates(trial: Trial) -> dict[str, bytes]:
    good = an_aggregate(trial)
    threshold, *others = good.joint
    value = threshold.values[0]

    def signed(*joint: JointResult) -> bytes:
        return aggregate.encode(replace(good, joint=joint), trial.keys["collector"].identity)

    def with_value(text: bytes) -> bytes:
        """Sign what no encoder makes."""
        document = aggregate.encode(good, trial.keys["collector"].identity)
        inner = document[len(b'{"aggregate":') : document.index(b',"signature"')]
        changed = inner.replace(b'"key":"total","labels":{},"steps":"-85070591730234615865843651857942052863"', text)
        assert changed != inner, "internal error: the vector of the product has moved"
        signature = trial.keys["collector"].identity.sign(b"sotto/1 aggregate\0" + changed)
        return canonical({"aggregate": None, "signature": aggregate.b64(signature)}).replace(b"null", changed, 1)

    return {
        "no jobs": signed(),
        "a job too few": signed(threshold, *others[:-1]),
        "a job twice": signed(threshold, *others, threshold),
        "jobs in another order": signed(*others, threshold),
        "another job's name": signed(replace(threshold, name="low"), *others),
        "another job": signed(replace(threshold, job="rank"), *others),
        "another unit": signed(replace(threshold, unit="W"), *others),
        "another resolution": signed(replace(threshold, resolution=threshold.resolution / 10), *others),
        "a value kept back without a reason": signed(replace(threshold, values=(replace(value, steps=None),)), *others),
        "a value of 401 digits": signed(replace(threshold, values=(replace(value, steps=10**400),)), *others),
        "steps as a number": with_value(b'"key":"total","labels":{},"steps":7'),
        "minus zero": with_value(b'"key":"total","labels":{},"steps":"-0"'),
        "a zero in front": with_value(b'"key":"total","labels":{},"steps":"07"'),
        "digits of another script": with_value('"key":"total","labels":{},"steps":"\u0667"'.encode()),
        "a number with a reason": with_value(b'"key":"total","labels":{},"reason":"overflow","steps":"7"'),
        "neither a number nor a reason": with_value(b'"key":"total","labels":{}'),
    }


def jobs_bad() -> dict[str, Any]:
    """What every decoder has to refuse."""
    trial = a_trial()
    count = len(trial.task.joint)
    return {
        "about": "SPEC 8.3, 9.1: for the task, the due cells and `held` of jobs.json",
        "payloads": [
            {
                "name": name,
                "payload": data.hex(),
                "reason": _reason(lambda d=data: SharePayload.decode(d, due=due(trial), held=HELD, joint=count)),
            }  # type: ignore[misc]
            for name, data in _bad_payloads(trial).items()
        ],
        "aggregates": [
            {
                "name": name,
                "record": data.decode(),
                "reason": _reason(lambda d=data: aggregate.decode(d, task=trial.task)),
            }  # type: ignore[misc]
            for name, data in _bad_aggregates(trial).items()
        ],
    }
