"""Joint results at the collector: exact where all three agree, and named suppressions everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_ops.rings import F127, F521, Z64, Bits, Ring
from mpc_ops.rounds import MessageError
from protocol.aggregate import JointValue
from protocol.share import JointShare
from streams.joint.plan import Plan, plans_of
from streams.joint.reveal import Revealed, pack, reveal_job, unpack
from tests.trial import make_trial

MEASURES = {
    "no2": {"unit": "ug/m3", "range": [0, 1000], "resolution": 1},
    "load": {"unit": "kW", "range": [0, 10**6], "resolution": 1, "statistics": []},
    "price": {"unit": "1", "range": [0, 10**6], "resolution": 1, "statistics": []},
}
JOINT: list[dict[str, Any]] = [
    {"name": "overload", "job": "threshold", "measure": "load", "limit": 1200},
    {"name": "worst", "job": "rank", "measure": "no2", "places": ["max", -1], "reveal": "labels"},
    {"name": "levels", "job": "rank", "measure": "no2", "places": ["max", 2], "reveal": "values"},
    {"name": "cost", "job": "product", "measures": ["load", "price"]},
]
TRIAL = make_trial("replicated", measures=MEASURES, joint=JOINT)
PLANS = dict(zip((job["name"] for job in JOINT), plans_of(TRIAL.task, TRIAL.roster, {}), strict=True))
AREAS = [group[0] for group in PLANS["overload"].groups]
RINGS: list[Ring] = [Z64, F127, F521, Bits(1)]


def elements(ring: Ring, rng: Random, count: int) -> np.ndarray:
    """Draw uniform elements."""
    return ring.element([rng.randrange(ring.order) for _ in range(count)])


def shared(ring: Ring, values: Sequence[int], seed: int = 7) -> list[np.ndarray]:
    """Share whole numbers among three parties, in their own order: component i first, then component i + 1."""
    rng = Random(seed)
    parts = [elements(ring, rng, len(values)) for _ in range(2)]
    parts.append(ring.sub(ring.sub(ring.element(list(values)), parts[0]), parts[1]))
    return [np.stack([parts[party], parts[(party + 1) % 3]]) for party in range(3)]


def sent(plan: Plan, values: Sequence[int], *, hidden: tuple[tuple[int, str], ...] = ()) -> dict[int, JointShare]:
    """What three honest parties send of a result."""
    groups = tuple(group for group in range(len(plan.groups)) if group not in dict(hidden))
    ring = plan.job(groups).ring
    return {
        party: JointShare(groups=groups, hidden=hidden, data=pack(ring, share))
        for party, share in enumerate(shared(ring, values))
    }


def lie(plan: Plan, share: JointShare, *slots: int) -> JointShare:
    """Add one to the first element of some of a party's two components."""
    job = plan.job(share.groups)
    values = unpack(job.ring, share.data, job.elements)
    for slot in slots:
        values[slot, 0] = job.ring.add(values[slot, :1], job.ring.element([1]))[0]
    return replace(share, data=pack(job.ring, values))


@pytest.mark.parametrize("ring", RINGS, ids=lambda ring: ring.name)
@given(count=st.integers(1, 20), seed=st.integers(0, 2**32))
def test_what_is_packed_is_unpacked(ring: Ring, count: int, seed: int) -> None:
    """Two halves of one size, so that a party's two components never share a byte; any other size is refused."""
    rng = Random(seed)
    values = np.stack([elements(ring, rng, count) for _ in range(2)])
    data = pack(ring, values)
    assert len(data) == 2 * ring.size(count)
    assert (unpack(ring, data, count) == values).all()
    for other in (data + b"\0", data[:-1], data * 2):
        with pytest.raises(MessageError):
            unpack(ring, other, count)


def test_groups_stand_each_by_itself() -> None:
    """One of three is kept back: the two others have their bit, and it has its reason and no number."""
    hidden = ((1, "too_few_organisations"),)
    revealed = reveal_job(PLANS["overload"], sent(PLANS["overload"], [1, 0], hidden=hidden))
    assert revealed == Revealed(
        values=(
            JointValue(labels={"area": AREAS[0]}, key="above", steps=1),
            JointValue(labels={"area": AREAS[1]}, key="above", steps=None, reason="too_few_organisations"),
            JointValue(labels={"area": AREAS[2]}, key="above", steps=0),
        )
    )


def test_all_groups_can_be_kept_back() -> None:
    """Then there are reasons and nothing is added up."""
    hidden = tuple((group, "no_readings") for group in range(3))
    shares = dict.fromkeys(range(3), JointShare(hidden=hidden))
    assert [(one.steps, one.reason) for one in reveal_job(PLANS["overload"], shares).values] == [
        (None, "no_readings")
    ] * 3


def test_an_order_names_labels_or_values() -> None:
    """The labels of a place, or the number at it."""
    assert reveal_job(PLANS["worst"], sent(PLANS["worst"], [2, 0])).values == (
        JointValue(labels={"area": AREAS[2]}, key="max", steps=1),
        JointValue(labels={"area": AREAS[0]}, key="-1", steps=3),
    )
    assert [one.steps for one in reveal_job(PLANS["levels"], sent(PLANS["levels"], [900, 17])).values] == [900, 17]


def test_a_number_beyond_64_bits_is_exact() -> None:
    """Sums of products live in a field of 127 bits."""
    number = 3 * 10**29 + 1
    assert [one.steps for one in reveal_job(PLANS["cost"], sent(PLANS["cost"], [number])).values] == [number]


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("liar", range(3))
def test_a_lie_is_noticed(name: str, liar: int) -> None:
    """In one component: its two holders are suspects, in both the liar is named; nothing is shown."""
    plan = PLANS[name]
    honest = sent(plan, [1] * plan.job(range(3)).elements)
    for slots in ((0,), (1,), (0, 1)):
        revealed = reveal_job(plan, {**honest, liar: lie(plan, honest[liar], *slots)})
        assert (revealed.reason, revealed.finding, revealed.values) == ("parties_disagree", "other_joint", ())
        holders = {liar} | {(liar - 1) % 3 if slot == 0 else (liar + 1) % 3 for slot in slots}
        assert set(revealed.at_fault) == (holders if len(slots) == 1 else {liar})


@pytest.mark.parametrize(
    "change",
    [
        JointShare(reason="singular_system"),
        JointShare(reason="too_few_readings"),
        JointShare(groups=(0, 1), hidden=((2, "no_readings"),)),
        JointShare(hidden=((0, "no_readings"), (1, "no_readings"), (2, "no_readings"))),
    ],
)
def test_the_odd_one_is_named(change: JointShare) -> None:
    """Reasons and groups follow from what all three know: who says another thing than two others lies."""
    plan = PLANS["overload"]
    revealed = reveal_job(plan, {**sent(plan, [1, 1, 0]), 1: change})
    assert (revealed.reason, revealed.at_fault, revealed.finding) == ("parties_disagree", (1,), "other_joint")


@pytest.mark.parametrize("data", [b"", b"\x07" * 3, b"\xff\xff"])
def test_data_that_are_no_elements_name_their_sender(data: bytes) -> None:
    """Bits after the last element, too many bytes, or none."""
    plan = PLANS["overload"]
    shares = sent(plan, [1, 1, 0])
    revealed = reveal_job(plan, {**shares, 2: replace(shares[2], data=data)})
    assert (revealed.reason, revealed.at_fault) == ("parties_disagree", (2,))


def test_all_three_are_needed() -> None:
    """Two shares hold the result, and cannot be compared: nothing is shown, and who is missing is named."""
    shares = sent(PLANS["cost"], [5])
    for gone in range(3):
        rest = {party: share for party, share in shares.items() if party != gone}
        assert reveal_job(PLANS["cost"], rest) == Revealed(reason="party_missing", at_fault=(gone,))


def test_one_that_has_waited_no_longer_ends_the_job() -> None:
    """Whatever the others have come to: a run that one has left has no result. Who came to its end is not missing."""
    shares = sent(PLANS["cost"], [5])
    left = JointShare(reason="party_missing", suspects=(2,))
    others = dict.fromkeys(range(3), JointShare(reason="too_few_gateways"))
    assert reveal_job(PLANS["cost"], {**others, 0: left}) == Revealed(reason="party_missing", at_fault=(2,))
    assert reveal_job(PLANS["cost"], {**shares, 0: left}) == Revealed(reason="party_missing", at_fault=(0,))


@pytest.mark.parametrize("reason", ["singular_system", "out_of_range", "too_few_organisations", "no_readings"])
def test_a_reason_that_all_three_give_stands(reason: str) -> None:
    """Nobody is at fault."""
    shares = dict.fromkeys(range(3), JointShare(reason=reason))
    assert reveal_job(PLANS["cost"], shares) == Revealed(reason=reason)


def claims(*suspects: tuple[int, ...]) -> dict[int, JointShare]:
    """All three say that the run was stopped, and whom they suspect."""
    return {party: JointShare(reason="parties_disagree", suspects=one) for party, one in enumerate(suspects)}


@pytest.mark.parametrize("liar", range(3))
@pytest.mark.parametrize("victim", range(3))
def test_who_stops_a_run_falsely_stays_a_suspect(liar: int, victim: int) -> None:
    """The liar names an honest one; the two honest ones repeat it, and name whom they have it from."""
    if victim == liar:
        return
    said = [tuple(sorted({liar, victim} - {party})) for party in range(3)]
    said[liar] = (victim,)
    revealed = reveal_job(PLANS["cost"], claims(*said))
    assert set(revealed.at_fault) == {liar, victim}
    assert (revealed.reason, revealed.finding) == ("parties_disagree", "joint_stopped")


@pytest.mark.parametrize("liar", range(3))
def test_two_that_find_one_at_fault_name_it(liar: int) -> None:
    """One of the two would be innocent of a single liar's claim."""
    said = [(liar,) if party != liar else ((liar + 1) % 3,) for party in range(3)]
    assert reveal_job(PLANS["cost"], claims(*said)).at_fault == (liar,)


@given(st.tuples(*(st.sets(st.integers(0, 2)) for _ in range(3))), st.integers(0, 2))
def test_a_lone_liar_is_always_among_those_at_fault(said: tuple[set[int], ...], liar: int) -> None:
    """As long as what honest ones say is true of them: the liar says what it likes."""
    honest = [tuple(sorted(one | {liar})) if party != liar else tuple(sorted(one)) for party, one in enumerate(said)]
    assert liar in reveal_job(PLANS["cost"], claims(*honest)).at_fault


def test_a_check_that_fails_without_a_name_suspects_all() -> None:
    """It is known that one of three lies, and not who."""
    assert reveal_job(PLANS["cost"], claims((), (), ())).at_fault == (0, 1, 2)


def test_numbers_that_the_job_cannot_have_are_not_shown() -> None:
    """The last line: shares that agree and are wrong."""
    largest = TRIAL.task.limits.readings * 10**6
    for name, numbers in (
        ("worst", [3, 0]),
        ("worst", [-1, 0]),
        ("levels", [2**63 - 1, 0]),
        ("cost", [3 * largest**2 + 1]),
    ):
        revealed = reveal_job(PLANS[name], sent(PLANS[name], numbers))
        assert (revealed.reason, revealed.values) == ("parties_disagree", ())


def test_groups_that_the_roster_does_not_have_are_not_shown() -> None:
    """Even if all three say so."""
    for groups, hidden in (((0, 1), ()), ((0, 1, 3), ((2, "overflow"),)), ((), ())):
        shares = dict.fromkeys(range(3), JointShare(groups=groups, hidden=hidden, data=b"\0\0"))
        assert reveal_job(PLANS["overload"], shares).reason == "parties_disagree"


def test_what_is_made_of_an_overflow_is_not_shown() -> None:
    """A gateway's readings out of range make a sum that is not shown: no more is what a job makes of it."""
    plan = PLANS["overload"]
    bad = int(plan.cells[1].ravel()[0])
    steps = [
        (one.steps, one.reason) for one in reveal_job(plan, sent(plan, [1, 1, 0]), overflowed=frozenset({bad})).values
    ]
    assert steps == [(1, "none"), (None, "overflow"), (0, "none")]
    shares = sent(PLANS["cost"], [5])
    assert reveal_job(PLANS["cost"], shares, overflowed=frozenset({bad})) == Revealed(reason="overflow")
    untouched = int(PLANS["worst"].cells[0].ravel()[0])
    assert reveal_job(PLANS["cost"], shares, overflowed=frozenset({untouched})).reason == "none"


def test_the_order_in_which_shares_come_is_nothing() -> None:
    """The same result whoever was first."""
    shares = sent(PLANS["cost"], [41])
    found = [reveal_job(PLANS["cost"], {party: shares[party] for party in order}) for order in permutations(range(3))]
    assert [one.values[0].steps for one in found] == [41] * 6
