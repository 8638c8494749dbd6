"""When a root speaks, and what it says: contributions whole or not at all, deadlines in calm only, one set signed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from protocol.batch import Epoch, Segment, cores_hash
from protocol.body import CellTable
from protocol.contribution import BatchSums, FaultSeen, Progress, SealSeen
from protocol.control import AggregateShare, Close, Entry, Fault, GiveUp, Manifest
from protocol.rounds import RoundsRecord
from protocol.share import SharePayload
from streams.assembly import Assembly
from streams.due import DueWindows
from streams.root import Root
from streams.speech import Written
from tests.trial import HOUR, START, Trial, make_trial

MINUTE = 60_000
NAMES = ("east-1", "north-1", "south-1", "west-1")
DEADLINE = 15 * MINUTE


def core(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def epoch(number: int = 1) -> Epoch:
    return Epoch(counter=number, nonce=bytes(16))


class Feed:
    """A root, with offsets and times filled in."""

    def __init__(self, trial: Trial, party: int = 0, **arguments: Any) -> None:
        self.trial = trial
        task = trial.task
        self.cells = trial.roster.cells(task)
        roster = trial.roster.model_copy(update={"partitions": 1})
        self.payloads: list[SharePayload] = []
        self.root = Root(task=task, roster=roster, party=party, partition=0, seal_share=self.seal_share, **arguments)
        self.now = START + HOUR + MINUTE
        self.offsets = {"contributions": -1, "control": arguments.get("control_first", 0) - 1}

    def seal_share(self, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        self.payloads.append(payload)
        return bytes(16), payload.encode()

    def contribution(self, record: Any, window: int = START) -> list[Written]:
        self.offsets["contributions"] += 1
        at = self.offsets["contributions"]
        return self.root.contribution(window, record, offset=at, at=self.now, now=self.now)

    def batch(
        self,
        gateway: str,
        sequence: int = 0,
        *,
        number: int = 1,
        cells: tuple[int, ...] = (0,),
        rows: int = 2,
        **how: Any,
    ) -> list[Written]:
        return self.contribution(self.make_batch(gateway, sequence, number=number, cells=cells, rows=rows), **how)

    def make_batch(
        self,
        gateway: str,
        sequence: int,
        *,
        number: int = 1,
        cells: tuple[int, ...] = (0,),
        rows: int = 2,
        other: str = "",
    ) -> BatchSums:
        return BatchSums(
            gateway=gateway,
            epoch=epoch(number),
            sequence=sequence,
            core_hash=core(f"{gateway}/{number}/{sequence}{other}"),
            table=CellTable(
                cells=tuple(self.cells[cell] for cell in cells), rows=np.full(len(cells), rows, dtype=np.int64)
            ),
            sums=np.full((2, len(cells)), 2**64 - 1, dtype=np.uint64),
        )

    def make_seal(self, gateway: str, batches: dict[int, int], *, cold: bool = False, late: int = 0) -> SealSeen:
        segments = tuple(
            Segment(
                epoch=epoch(number),
                batches=count,
                cores=cores_hash(b"".join(core(f"{gateway}/{number}/{sequence}") for sequence in range(count))),
            )
            for number, count in sorted(batches.items())
        )
        return SealSeen(
            gateway=gateway,
            contribution=core(f"{gateway}/{sorted(batches.items())}"),
            segments=segments,
            sealed_at=START + HOUR + 7,
            late=late,
            cold=cold,
        )

    def whole(self, gateway: str, window: int = START) -> list[Written]:
        """A gateway's batch and its seal."""
        return [*self.batch(gateway, window=window), *self.contribution(self.make_seal(gateway, {1: 1}), window)]

    def control(self, *records: Written | None) -> list[Written]:
        answers: list[Written] = []
        for record in records:
            self.offsets["control"] += 1
            at = self.offsets["control"]
            assert not isinstance(record, RoundsRecord), "internal error: that is for rounds"
            answers += self.root.control(record, offset=at, at=self.now, now=self.now)
        return answers

    def tick(self, by: int = 0, *, connected: bool = True, behind: bool = False, shares: int = 0) -> list[Written]:
        """Let time pass in small steps, as runtime does."""
        answers: list[Written] = []
        until = self.now + by
        while True:
            caught_up = connected and not behind
            answers += self.root.tick(
                self.now, connected=connected, caught_up=caught_up, ends={0: shares}, ends_at=self.now
            )
            if self.now >= until:
                return answers
            self.now = min(self.now + MINUTE, until)

    def entries(self, *gateways: str) -> tuple[Entry, ...]:
        return tuple(Entry(gateway=name, contribution=self.make_seal(name, {1: 1}).contribution) for name in gateways)

    def manifest(self, party: int, *gateways: str, window: int = START, floor: int = START) -> Manifest:
        return Manifest(
            window=window, party=party, floor=floor, last_seal=0, entries=self.entries(*gateways), faults=()
        )


@pytest.fixture(scope="module")
def trial() -> Trial:
    return make_trial("replicated", limits={"max_gateways": 10, "max_rows": 20})


@pytest.fixture
def feed(trial: Trial) -> Feed:
    return Feed(trial)


# -- the healthy way ---------------------------------------------------------------------------------------------


def test_a_manifest_goes_out_as_soon_as_all_gateways_are_there(feed: Feed) -> None:
    """In the healthy case nobody waits for a clock."""
    feed.tick()
    for name in NAMES[:3]:
        assert feed.whole(name) == []
    (manifest,) = feed.whole("west-1")
    assert manifest == Manifest(
        window=START, party=0, floor=START, last_seal=START + HOUR + 7, entries=feed.entries(*NAMES), faults=()
    )
    assert feed.tick(3 * MINUTE) == []


def test_the_share_follows_the_decision_once(feed: Feed) -> None:
    """All manifests in the log: policy, sums, one aggregate share; its own copy in the log changes nothing."""
    manifests = [record for name in NAMES for record in feed.whole(name)]
    (share,) = feed.control(*manifests, feed.manifest(1, *NAMES), feed.manifest(2, *NAMES))
    assert isinstance(share, AggregateShare)
    assert feed.control(share) == []
    (payload,) = feed.payloads
    assert payload.released.tolist() == [0]
    assert payload.counts.tolist() == [8]
    assert payload.sums.tolist() == [[2**64 - 4], [2**64 - 4]]


def test_a_share_waits_for_what_the_party_does_not_hold_yet(feed: Feed) -> None:
    """After a restart the log may be ahead of the contributions."""
    assert feed.control(*(feed.manifest(party, *NAMES) for party in range(3))) == []
    for name in NAMES[:3]:
        assert feed.whole(name) == []
    (share,) = feed.whole("west-1")
    assert isinstance(share, AggregateShare)


def test_a_party_that_signed_another_set_releases_nothing(feed: Feed) -> None:
    """The log shows a share of ours over another set: two released sets would show what is in one of them only."""
    for name in NAMES:
        feed.whole(name)
    other = AggregateShare(window=START, party=0, floor=START, digest=bytes(32), key_id=bytes(16), sealed=b"")
    assert feed.control(other, *(feed.manifest(party, *NAMES) for party in range(3))) == []
    assert feed.payloads == []


# -- contributions: whole or not there ---------------------------------------------------------------------------


def held(feed: Feed, *records: Any) -> Assembly:
    cells = {cell: number for number, cell in enumerate(feed.cells)}
    assembly = Assembly(cells=cells, held=2, max_rows=20)
    for record in records:
        assembly.add(record)
    return assembly


def test_repeated_batches_count_once(feed: Feed) -> None:
    """A reading counts at most once, whatever is sent again, in whatever order."""
    batches = [feed.make_batch("east-1", number) for number in (1, 0, 1, 0)]
    assembly = held(feed, *batches, feed.make_seal("east-1", {1: 2}), *batches, feed.make_seal("east-1", {1: 2}))
    assert assembly.state("east-1") == "complete"
    contents = assembly.contents(assembly.entries())
    assert contents is not None
    assert contents["east-1"].rows.tolist() == [4]
    assert contents["east-1"].sums.tolist() == [[2**64 - 2]] * 2


def test_a_seal_names_the_segments_of_all_its_epochs(feed: Feed) -> None:
    """A restarted gateway seals both segments, and both are waited for."""
    first, second = (feed.make_batch("east-1", 0, number=number, cells=(number,)) for number in (1, 3))
    assembly = held(feed, first, feed.make_seal("east-1", {1: 1, 3: 1}))
    assert assembly.state("east-1") == "incomplete"
    assembly.add(second)
    contents = assembly.contents(assembly.entries())
    assert contents is not None
    assert contents["east-1"].cells.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (lambda feed: [feed.make_batch("east-1", 0, other="!"), feed.make_batch("east-1", 0)], "two_cores"),
        (lambda feed: [feed.make_batch("east-1", 0, other="!")], "two_cores"),
        (lambda feed: [feed.make_seal("east-1", {2: 1})], "two_seals"),
        (lambda feed: [feed.make_batch("east-1", 1)], "not_canonical"),
        (lambda feed: [feed.make_batch("east-1", 0, rows=21)], "too_many_rows"),
        (lambda feed: [FaultSeen(gateway="east-1", reason="unequal_copies")], "unequal_copies"),
    ],
)
def test_a_gateway_that_contradicts_itself_is_left_out_and_named(feed: Feed, more: Any, reason: str) -> None:
    """Two cores under one number, two seals, more than was sealed, or what the leaf refused."""
    assembly = held(feed, *more(feed), feed.make_seal("east-1", {1: 1}))
    assert assembly.faults() == (Fault(gateway="east-1", reason=reason),)
    assert assembly.entries() == ()
    assert assembly.answered("east-1")


def test_rows_are_limited_over_all_segments(feed: Feed) -> None:
    """The bound that excludes an overflow is on a gateway's rows in a cell and window, not on one batch's."""
    batches = [feed.make_batch("east-1", 0, number=number, rows=11) for number in (1, 2)]
    assembly = held(feed, *batches, feed.make_seal("east-1", {1: 1, 2: 1}))
    assert assembly.faults() == (Fault(gateway="east-1", reason="too_many_rows"),)


def test_what_was_whole_stays_held_for_those_who_signed_for_it(feed: Feed) -> None:
    """A second seal after the manifest is the gateway's fault, but the first contribution is still the agreed one."""
    assembly = held(feed, feed.make_batch("east-1", 0), feed.make_seal("east-1", {1: 1}))
    entries = assembly.entries()
    assembly.add(feed.make_seal("east-1", {2: 1}))
    assert assembly.entries() == ()
    assert assembly.contents(entries) is not None
    assert assembly.contents([Entry(gateway="east-1", contribution=bytes(32))]) is None


def test_nobody_waits_for_a_cold_or_faulty_gateway(feed: Feed) -> None:
    """A gateway that lost its state says so, and the window goes on without it at once."""
    feed.whole("east-1")
    feed.whole("north-1")
    feed.contribution(FaultSeen(gateway="south-1", reason="unequal_copies"))
    (manifest,) = feed.contribution(feed.make_seal("west-1", {}, cold=True))
    assert isinstance(manifest, Manifest)
    assert manifest.entries == feed.entries("east-1", "north-1")
    assert manifest.faults == (Fault(gateway="south-1", reason="unequal_copies"),)


@pytest.mark.parametrize("cold_first", [True, False])
def test_a_cold_seal_gives_way_to_a_contribution(feed: Feed, cold_first: bool) -> None:
    """A gateway that lost its state cannot know that it had sealed the window: what it had sealed counts."""
    cold, whole = feed.make_seal("east-1", {}, cold=True), feed.make_seal("east-1", {1: 1})
    seals = [cold, whole] if cold_first else [whole, cold]
    assembly = held(feed, feed.make_batch("east-1", 0), *seals)
    assert assembly.state("east-1") == "complete"
    assert [entry.contribution for entry in assembly.entries()] == [whole.contribution]
    assert assembly.faults() == ()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0), (1, 0, 2)])
def test_a_seal_that_does_not_know_of_an_epoch_is_a_fault(feed: Feed, order: tuple[int, ...]) -> None:
    """Two devices that share the messages of one session, or a lost state: one epoch's readings would be missing."""
    records = [
        feed.make_batch("east-1", 0, number=1),
        feed.make_batch("east-1", 0, number=2),
        feed.make_seal("east-1", {2: 1}),
    ]
    assembly = held(feed, *(records[number] for number in order))
    assert assembly.faults() == (Fault(gateway="east-1", reason="two_seals"),)
    assert assembly.entries() == ()


def test_an_empty_window_is_a_contribution(feed: Feed) -> None:
    """A seal without segments says that there were no readings: its organisation is not absent."""
    assembly = held(feed, feed.make_seal("east-1", {}))
    assert assembly.state("east-1") == "complete"
    contents = assembly.contents(assembly.entries())
    assert contents is not None
    assert contents["east-1"].rows.size == 0


# -- deadlines ---------------------------------------------------------------------------------------------------


def test_an_incomplete_manifest_waits_for_deadline_and_leafs(feed: Feed) -> None:
    """At the deadline the party notes how far its shares go, and speaks when its leafs have read that far."""
    feed.tick()
    feed.whole("east-1")
    assert feed.tick(DEADLINE - MINUTE, shares=9) == []
    assert feed.tick(2 * MINUTE, shares=9) == []
    assert feed.contribution(Progress(partition=0, offset=8)) == []
    (manifest,) = feed.contribution(Progress(partition=0, offset=9))
    assert isinstance(manifest, Manifest)
    assert manifest.entries == feed.entries("east-1")


@pytest.mark.parametrize("how", [{"connected": False}, {"behind": True}])
def test_an_interruption_starts_the_deadline_anew(feed: Feed, how: dict[str, bool]) -> None:
    """Kafka away, or the party behind: what it could not read is not silence (operators.md B5)."""
    feed.tick()
    feed.whole("east-1")
    feed.tick(DEADLINE - MINUTE)
    assert feed.tick(10 * MINUTE, **how) == []
    assert feed.tick(DEADLINE - 2 * MINUTE) == []
    assert len(feed.tick(2 * MINUTE)) == 1


def test_a_moment_behind_is_no_interruption(feed: Feed) -> None:
    """A log that grows all the time is never read to its end for long."""
    feed.tick()
    feed.whole("east-1")
    feed.tick(DEADLINE - MINUTE)
    feed.tick(behind=True)
    feed.now += 2_000
    feed.tick(behind=True)
    assert len(feed.tick(2 * MINUTE)) == 1


def test_a_clock_that_is_set_back_does_not_make_the_deadline_longer(feed: Feed) -> None:
    """A party whose clock was ten hours ahead does not hold its windows for ten hours once it is right."""
    feed.tick()
    right = feed.now
    feed.now += 10 * HOUR
    feed.tick(MINUTE)
    feed.whole("east-1")
    feed.now = max(right, START + HOUR)
    feed.tick()
    assert feed.tick(DEADLINE - MINUTE) == []
    assert len(feed.tick(2 * MINUTE)) == 1


def test_the_deadline_runs_from_the_windows_end(feed: Feed) -> None:
    """A window that is still open on the clock cannot be closed early by an eager gateway."""
    feed.now = START + MINUTE
    feed.tick()
    feed.whole("east-1")
    assert feed.tick(HOUR + DEADLINE - 2 * MINUTE) == []
    assert len(feed.tick(2 * MINUTE)) == 1


def test_windows_too_far_ahead_start_nothing(feed: Feed) -> None:
    """A gateway whose clock is an hour ahead costs nobody a window; its records are kept until their time comes."""
    feed.now = START + MINUTE
    feed.tick()
    for name in NAMES:
        assert feed.whole(name, START + HOUR) == []
    assert feed.root.status(feed.now)["parked"] == [START + HOUR]
    assert [one["window"] for one in feed.root.status(feed.now)["windows"]] == []
    (manifest,) = feed.tick(HOUR - 5 * MINUTE)
    assert isinstance(manifest, Manifest)
    assert manifest.window == START + HOUR
    assert manifest.floor == START  # the window before it is due now, and not over


def test_silent_windows_are_due_by_the_clock_while_the_task_lasts(feed: Feed) -> None:
    """Nobody sends anything: after lateness and deadline the window ends, with no readings (operators.md M2)."""
    feed.now = START + HOUR
    (manifest,) = feed.tick(11 * MINUTE + DEADLINE)
    assert isinstance(manifest, Manifest)
    assert (manifest.window, manifest.entries) == (START, ())


def test_a_replay_makes_due_only_what_comes_before_what_it_sends(feed: Feed, trial: Trial) -> None:
    """Long after a task's end, later windows are not waited for; earlier ones are."""
    feed.now = trial.task.valid_until + 10 * 24 * HOUR
    assert feed.tick(2 * DEADLINE) == []
    feed.whole("east-1", START + 2 * HOUR)
    assert [one["window"] for one in feed.root.status(feed.now)["windows"]] == [START, START + HOUR, START + 2 * HOUR]


def test_windows_outside_the_task_or_partition_are_no_windows(trial: Trial) -> None:
    """They are never due, whoever speaks of them: another partition has another order."""
    due = DueWindows(task=trial.task, roster=trial.roster, partition=1)
    assert START - HOUR not in due
    assert trial.task.valid_until not in due
    assert START + 1 not in due
    here = [*due.starting(START, trial.task.valid_until)]
    assert here
    assert all(window in due for window in here)
    every = [
        window
        for partition in range(3)
        for window in DueWindows(task=trial.task, roster=trial.roster, partition=partition).starting(0, 2**62)
    ]
    assert sorted(every) == [*range(START, trial.task.valid_until, HOUR)]


# -- ending the wait ---------------------------------------------------------------------------------------------


def test_closes_are_written_when_they_can_mean_something(feed: Feed) -> None:
    """A deadline after its own manifest, and with two manifests in the log."""
    feed.tick()
    feed.whole("east-1")
    (manifest,) = feed.tick(DEADLINE)
    assert feed.control(manifest) == []
    assert feed.tick(DEADLINE) == []
    assert feed.control(feed.manifest(1, "east-1")) == [Close(window=START, party=0, phase=1)]
    assert feed.control(Close(window=START, party=0, phase=1)) == []


def test_parties_that_miss_the_same_gateway_do_not_shut_each_other_out(feed: Feed) -> None:
    """Their deadlines pass within seconds; closing on the first two manifests would leave the result unverified."""
    feed.tick()
    feed.whole("east-1")
    (manifest,) = feed.tick(DEADLINE)
    assert feed.control(feed.manifest(1, "east-1"), manifest) == []
    assert feed.tick(DEADLINE - MINUTE) == []
    assert feed.tick(MINUTE) == [Close(window=START, party=0, phase=1)]


def test_the_wait_for_shares_has_a_deadline_of_its_own(trial: Trial) -> None:
    """A party that falls silent between manifest and share does not hold the window up."""
    feed = Feed(trial)
    feed.tick()
    manifests = [record for name in NAMES for record in feed.whole(name)]
    feed.tick(2 * DEADLINE)
    (share,) = feed.control(*manifests, feed.manifest(1, *NAMES), feed.manifest(2, *NAMES))
    assert isinstance(share, AggregateShare)
    theirs = AggregateShare(window=START, party=1, floor=START, digest=share.digest, key_id=bytes(16), sealed=b"")
    assert feed.control(share, theirs) == []
    assert feed.tick(DEADLINE - MINUTE) == []
    assert feed.tick(MINUTE) == [Close(window=START, party=0, phase=2)]


def test_giving_up_is_a_record_and_survives_restarts(trial: Trial) -> None:
    """Its time runs from Kafka's time of the first record: a party that is restarted every day gives up as well."""
    feed = Feed(trial)
    first = feed.now
    day = 24 * HOUR
    for restart in range(3):
        feed = Feed(trial)
        feed.now = first
        assert feed.control(feed.manifest(1, "east-1")) == []
        feed.now = first + restart * day
        assert not any(isinstance(record, GiveUp) for record in feed.tick(day - HOUR))
    assert any(record == GiveUp(window=START, party=0) for record in feed.tick(2 * HOUR))


# -- starting and committing -------------------------------------------------------------------------------------


def test_nothing_is_written_before_the_log_is_read_to_its_end(trial: Trial) -> None:
    """What it wrote before its restart may still come: it must not say something else meanwhile."""
    feed = Feed(trial, control_first=0, control_end=2)
    for name in NAMES:
        assert feed.whole(name) == []
    assert feed.tick(2 * DEADLINE) == []
    assert feed.control(feed.manifest(0, "east-1")) == []
    assert feed.root.committable() == {}
    assert feed.control(None) == []  # its own manifest was there: it stays as it is
    assert feed.root.live


def through(feed: Feed, window: int, floor: int) -> None:
    """A window without readings ends by three empty manifests."""
    for party in range(3):
        feed.control(feed.manifest(party, window=window, floor=floor))


def test_only_what_is_below_the_quorum_floor_is_committed(feed: Feed) -> None:
    """Being through with a window oneself is not enough: who restarts must be able to see how it ended."""
    feed.now = START + 4 * HOUR
    feed.tick()
    feed.whole("east-1", START)
    feed.whole("east-1", START + HOUR)
    through(feed, START, START)
    assert feed.root.committable() == {"contributions": 0, "control": 0}
    feed.control(feed.manifest(1, window=START + HOUR, floor=START + HOUR))
    assert feed.root.committable() == {"contributions": 0, "control": 0}
    feed.control(feed.manifest(2, window=START + HOUR, floor=START + HOUR))
    assert feed.root.committable() == {"contributions": 2, "control": 3}


def test_a_log_without_its_beginning_is_not_decided_again(trial: Trial) -> None:
    """Retention took what was before: the windows that the rest speaks of are over for this party."""
    feed = Feed(trial, control_first=5, control_end=6)
    for name in NAMES:
        feed.whole(name)
    assert feed.control(GiveUp(window=START, party=1)) == []
    assert feed.tick(2 * DEADLINE) == []
    answers = [record for name in NAMES for record in feed.whole(name, START + HOUR)]
    assert [(type(record), record.window) for record in answers] == [(Manifest, START + HOUR)]


def test_memory_is_given_back_below_the_quorum_floor(feed: Feed) -> None:
    """A party that runs for a year holds the windows above the quorum floor and nothing else."""
    feed.now = START + 1000 * HOUR
    for number in range(200):
        window = START + number * HOUR
        feed.whole("east-1", window)
        through(feed, window, window)
    root = feed.root
    assert len(root.agreement.windows) == 1
    assert len(root.assemblies._windows) <= 1
    assert len(root.opening._heard) == 1
    assert [len(needed) for needed in root.reading._needed.values()] == [1, 1]


def test_records_that_are_not_for_this_root_change_nothing(feed: Feed) -> None:
    """Unreadable, of unknown gateways, of other windows: the place moves on, nothing else."""
    assert feed.contribution(None) == []
    assert feed.contribution(FaultSeen(gateway="stranger", reason="two_seals")) == []
    assert feed.whole("east-1", START - HOUR) == []
    assert feed.control(None, feed.manifest(1, window=START - HOUR, floor=START - HOUR)) == []
    assert feed.root.status(feed.now)["windows"] == []
    assert feed.root.agreement.windows == {}


# -- telling -----------------------------------------------------------------------------------------------------


def test_status_says_what_a_window_waits_for(feed: Feed) -> None:
    """Who is silent, for how long, and when the window goes on without."""
    feed.tick()
    feed.whole("east-1")
    feed.whole("north-1")
    feed.whole("south-1")
    feed.batch("west-1")
    feed.tick(12 * MINUTE)
    (window,) = feed.root.status(feed.now)["windows"]
    assert window["window"] == START
    assert window["waits_for"] == "gateways"
    assert window["gateways"] == [{"name": "west-1", "state": "incomplete", "silent_ms": 12 * MINUTE}]
    assert window["goes_on_without_in_ms"] == 3 * MINUTE
    feed.control(feed.manifest(0, *NAMES[:3]))
    (window,) = feed.root.status(feed.now)["windows"]
    assert window["waits_for"] == "manifests"
    assert window["parties"] == ["party-2", "party-3"]
