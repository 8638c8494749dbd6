"""A root with joint computation: what it waits for, and what of a liar's records it keeps."""

from __future__ import annotations

from mpc_ops.joint.jobs import LinearSolve
from mpc_ops.joint.linear import System
from mpc_ops.joint.quotients import LARGEST
from protocol.control import AggregateShare, Close
from protocol.rounds import Keys, Messages, RoundsRecord
from streams.joint.desk import MOST_KEYS, JointDesk
from streams.joint.reveal import plausible
from tests.streams.joint.rounds_log import DIGEST, keys_of
from tests.streams.joint.test_reveal import PLANS, TRIAL
from tests.streams.test_root import DEADLINE, MINUTE, NAMES, Feed
from tests.trial import HOUR, START


def make_desk(dropped: list[RoundsRecord]) -> JointDesk:
    return JointDesk(
        plans=tuple(PLANS.values()),
        keys=keys_of(TRIAL, 0),
        task_hash=TRIAL.task.hash,
        roster_hash=TRIAL.roster.hash,
        told=lambda _window, _ends, _stopped: None,
        no_room=dropped.append,
    )


def keys(window: int, party: int, size: int = 32) -> Keys:
    return Keys(window=window, party=party, digest=DIGEST, contributions=(bytes(size), bytes(size)))


def messages(window: int, party: int) -> Messages:
    return Messages(window=window, party=party, digest=DIGEST, number=0, history=bytes(32), sealed=())


def kept(desk: JointDesk) -> int:
    """Bytes that wait at a desk."""
    return sum(len(raw) for heard in desk._heard.values() for _, raw in heard.records)


def test_who_waits_no_longer_for_a_run_waits_for_shares() -> None:
    """Two shares are there when the run is left: a close right then would shut out this party's own, or the third.

    A liar that says nothing on rounds makes all wait for the same deadline. With its own share and that of the
    first honest party that leaves the run nothing could be verified.
    """
    feed = Feed(TRIAL, joint=make_desk([]))
    feed.tick()
    manifests = [record for name in NAMES for record in feed.whole(name)]
    said = feed.control(*manifests, feed.manifest(1, *NAMES), feed.manifest(2, *NAMES))
    assert [type(record) for record in said] == [Keys]
    ballot = feed.root.agreement.ballot(START)
    assert ballot is not None
    assert ballot.agreed is not None
    digest = ballot.agreed.digest
    theirs = [
        AggregateShare(window=START, party=party, floor=START, digest=digest, key_id=bytes(16), sealed=b"")
        for party in (1, 2)
    ]
    assert feed.control(*theirs) == []
    assert feed.tick(DEADLINE - MINUTE) == []
    assert feed.tick(MINUTE) == []
    (share,) = feed.tick()
    assert isinstance(share, AggregateShare)
    assert {one.reason for one in feed.payloads[0].joint} == {"party_missing"}
    assert feed.tick(DEADLINE - MINUTE) == []
    assert feed.tick(MINUTE) == [Close(window=START, party=0, phase=2)]


def test_of_windows_without_the_own_keys_only_keys_are_kept() -> None:
    """A liar can write much: nothing of its messages can count, and keys are short. What finds no room is told."""
    dropped: list[RoundsRecord] = []
    desk = make_desk(dropped)
    for number in range(20):
        window = START + number * HOUR
        desk.hear(messages(window, 1), bytes(1 << 20))
        for _ in range(8):
            desk.hear(keys(window, 1), bytes(MOST_KEYS // 4))
    assert kept(desk) == 20 * MOST_KEYS
    assert len(dropped) == 20 * 4


def test_behind_the_own_keys_everything_is_kept() -> None:
    """A party that is started again reads what it has missed: all of it."""
    dropped: list[RoundsRecord] = []
    desk = make_desk(dropped)
    for party in (1, 0, 2):
        desk.hear(keys(START, party), bytes(100))
    for party in range(3):
        desk.hear(messages(START, party), bytes(1 << 20))
    assert kept(desk) == 300 + 3 * (1 << 20)
    assert dropped == []


def test_a_solution_that_no_run_gives_is_none() -> None:
    """A quotient of 2^50 or more is refused by the parties: shares that add up to one are wrong, and agree."""
    job = LinearSolve(system=System(size=2, matrix=100, right=100, scale=1))
    assert plausible(job, [LARGEST, -LARGEST])
    assert not plausible(job, [0, LARGEST + 1])
    assert not plausible(job, [-LARGEST - 1, 0])
