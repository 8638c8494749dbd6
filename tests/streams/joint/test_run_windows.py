"""A window of a task with joint computations, at the collector: one aggregate with all outcomes, whatever happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from protocol.aggregate import Aggregate, decode, encode
from protocol.control import AggregateShare
from protocol.errors import WireError
from protocol.share import JointShare, SharePayload
from streams.agreement import Agreed, Ballot, Terminal
from streams.combine import Combiner
from streams.conduct import Finding
from streams.joint.plan import plans_of
from tests.streams.joint.test_reveal import PLANS, TRIAL, lie, sent, shared
from tests.trial import HOUR, START

TASK, ROSTER = TRIAL.task, TRIAL.roster
CELLS = ROSTER.cells(TASK)
DUE = [number for number, cell in enumerate(CELLS) if TASK.measure_names[cell.measure] == "no2"]
RESULTS = {"overload": [1, 0, 1], "worst": [2, 0], "levels": [30, 20], "cost": [10**25]}
"""What the three joint computations, in order, are to give: bits, groups, levels, a total."""
Z64 = PLANS["levels"].job((0, 1, 2)).ring


def payloads(units: tuple[int, ...] = (10, 20, 30)) -> dict[int, SharePayload]:
    """What three honest parties seal: a reading sum for each area, and a share of each result."""
    sums = [share if party < 2 else share[::-1] for party, share in enumerate(shared(Z64, units))]  # ascending
    results = [sent(PLANS[name], numbers) for name, numbers in RESULTS.items()]
    return {
        party: SharePayload(
            released=np.array(DUE, dtype=np.int64),
            counts=np.full(len(DUE), 4, dtype=np.int64),
            sums=sums[party],
            suppressed=(),
            notes=(),
            joint=tuple(result[party] for result in results),
        )
        for party in range(3)
    }


def combine(
    shares: Mapping[int, SharePayload], *, unreadable: frozenset[int] = frozenset(), reason: str = "none"
) -> tuple[Aggregate, tuple[Finding, ...]]:
    """Combine and publish; the aggregate is what a reader of the topic gets."""

    def open_share(share: AggregateShare) -> bytes:
        if share.party in unreadable:
            raise WireError("cannot_open")
        return share.sealed

    sealed = {
        party: AggregateShare(
            window=START, party=party, floor=START, digest=bytes(32), key_id=bytes(16), sealed=share.encode()
        )
        for party, share in shares.items()
    }
    terminal = Terminal(
        outcome="point" if reason == "none" else "suppressed", reason=reason, parties=tuple(shares), at=START + HOUR
    )
    agreed = Agreed(entries=(), parties=(0, 1, 2), digest=bytes(32), last_seal=START + HOUR)
    combiner = Combiner(task=TASK, roster=ROSTER, open_share=open_share, plans=plans_of(TASK, ROSTER, {}))
    aggregate, findings = combiner.combine(START, Ballot(shares=sealed, agreed=agreed, terminal=terminal))
    assert decode(encode(aggregate, TRIAL.keys["collector"].identity), task=TASK) == aggregate
    return aggregate, findings


def test_results_stand_beside_the_cells_that_are_due() -> None:
    """Cells of hidden measures are nowhere; every job has its result, exactly, and is verified as the cells are."""
    aggregate, findings = combine(payloads())
    assert [(cell.measure, cell.sum_steps) for cell in aggregate.cells] == [("no2", 10), ("no2", 20), ("no2", 30)]
    assert [(one.name, one.outcome, [value.steps for value in one.values]) for one in aggregate.joint] == [
        ("overload", "point", [1, 0, 1]),
        ("worst", "point", [1, 3]),
        ("levels", "point", [30, 20]),
        ("cost", "point", [10**25]),
    ]
    assert [one.resolution for one in aggregate.joint] == [spec.result(TASK.measures)[1] for spec in TASK.joint]
    assert (aggregate.verified, findings) == (True, ())


def test_a_hidden_measure_in_a_share_makes_it_unreadable() -> None:
    """Each due cell once and no other: a party cannot let out what is not to be released."""
    share = payloads()[0]
    more = replace(share, suppressed=((next(n for n in range(len(CELLS)) if n not in DUE), "no_readings"),))
    aggregate, findings = combine({**payloads(), 0: more})
    assert findings == (Finding(party=0, kind="unreadable_share", window=START),)
    assert {cell.outcome for cell in aggregate.cells} == {"point"}
    assert {(one.reason, one.at_fault) for one in aggregate.joint} == {("party_missing", ("party-1",))}


@pytest.mark.parametrize("gone", range(3))
def test_with_two_shares_sums_come_out_and_joint_results_do_not(gone: int) -> None:
    """Missing, or unreadable: the same."""
    shares = payloads()
    for rest, unreadable in (
        ({party: share for party, share in shares.items() if party != gone}, frozenset[int]()),
        (shares, frozenset({gone})),
    ):
        aggregate, _ = combine(rest, unreadable=unreadable)
        assert [cell.sum_steps for cell in aggregate.cells] == [10, 20, 30]
        assert not aggregate.verified
        assert {(one.outcome, one.reason, one.at_fault) for one in aggregate.joint} == {
            ("suppressed", "party_missing", (TASK.party_names[gone],))
        }


def test_contradicting_sums_take_the_joint_results_with_them() -> None:
    """A party that lies about sums is believed in nothing."""
    shares = payloads()
    sums = shares[1].sums.copy()
    sums[0, 0] += np.uint64(1)
    aggregate, findings = combine({**shares, 1: replace(shares[1], sums=sums)})
    found = {(cell.reason, cell.at_fault) for cell in aggregate.cells}
    found |= {(job.reason, job.at_fault) for job in aggregate.joint}
    assert found == {("parties_disagree", ("party-1", "party-2"))}
    assert {finding.kind for finding in findings} == {"other_sums"}


def test_a_lie_in_one_result_costs_that_result_only() -> None:
    """The others, and the sums, are compared by themselves."""
    shares = payloads()
    joint = list(shares[2].joint)
    joint[3] = lie(PLANS["cost"], joint[3], 0, 1)
    aggregate, findings = combine({**shares, 2: replace(shares[2], joint=tuple(joint))})
    assert [one.reason for one in aggregate.joint] == ["none", "none", "none", "parties_disagree"]
    assert aggregate.joint[3].at_fault == ("party-3",)
    assert aggregate.joint[3].values == ()
    assert findings == (Finding(party=2, kind="other_joint", window=START),)


def test_a_run_that_was_stopped_is_told_once() -> None:
    """All jobs of a window share one run: one finding for each suspect, and no result."""
    stopped = {
        party: (JointShare(reason="parties_disagree", suspects=suspects),) * 4
        for party, suspects in enumerate([(1,), (0,), (0, 1)])
    }
    shares = {party: replace(share, joint=stopped[party]) for party, share in payloads().items()}
    aggregate, findings = combine(shares)
    assert {(one.reason, one.at_fault) for one in aggregate.joint} == {("parties_disagree", ("party-1", "party-2"))}
    assert {cell.outcome for cell in aggregate.cells} == {"point"}
    assert findings == tuple(Finding(party=party, kind="joint_stopped", window=START) for party in (0, 1))


@pytest.mark.parametrize("reason", ["too_many_absent", "party_missing", "window_over", "no_readings"])
def test_a_window_that_is_suppressed_suppresses_its_joint_results(reason: str) -> None:
    """Every outcome that was due is there, with the window's reason."""
    aggregate, _ = combine({}, reason=reason)
    assert [(one.name, one.outcome, one.reason) for one in aggregate.joint] == [
        (spec.name, "suppressed", reason) for spec in TASK.joint
    ]
    assert [(cell.measure, cell.reason) for cell in aggregate.cells] == [("no2", reason)] * 3


def test_what_is_made_of_a_sum_out_of_range_is_suppressed() -> None:
    """The sum of the first area is none that readings have: its order is not shown, the cost is."""
    aggregate, _ = combine(payloads((4001, 20, 30)))
    assert [cell.reason for cell in aggregate.cells] == ["overflow", "none", "none"]
    assert [one.reason for one in aggregate.joint] == ["none", "overflow", "overflow", "none"]
