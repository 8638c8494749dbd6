"""The collector: one aggregate of each window, exact or suppressed, and nothing that contradicts itself shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from mpc_ops.schemes import scheme
from protocol.aggregate import Aggregate, Contributor, decode, encode
from protocol.body import SealNotes
from protocol.control import AggregateShare, Close, ControlRecord, Entry, GiveUp, Manifest, Outcome
from protocol.errors import WireError
from protocol.share import SharePayload
from streams.collector import Collector, Published
from streams.conduct import Finding
from streams.reveal import Contradiction, reveal
from tests.trial import HOUR, START, Trial, make_trial

NAMES = ("east-1", "north-1", "south-1", "west-1")
UNITS = np.array([66, 1205], dtype=np.int64)
COUNTS = np.array([4, 4], dtype=np.int64)
SUPPRESSED = ((1, "no_readings"), (2, "too_few_organisations"), (4, "no_readings"), (5, "no_readings"))


def payloads(kind: str = "replicated", parties: int = 3, units: np.ndarray = UNITS) -> dict[int, SharePayload]:
    """Shares of cells 0 (no2) and 3 (temperature)."""
    chosen = scheme(kind, parties)
    generator = np.random.default_rng(7)
    parts = [
        generator.integers(0, 2**64, len(units), dtype=np.uint64, endpoint=False) for _ in range(chosen.components - 1)
    ]
    last = units.astype(np.uint64)
    for part in parts:
        last = last - part
    parts.append(last)
    return {
        party: SharePayload(
            released=np.array([0, 3], dtype=np.int64),
            counts=COUNTS,
            sums=np.stack([parts[number] for number in chosen.held_by(party)]),
            suppressed=SUPPRESSED,
            notes=(("west-1", SealNotes(late=2, dropped=9)),),
        )
        for party in range(parties)
    }


def lie(share: SharePayload, *places: tuple[int, int]) -> SharePayload:
    """Add one to (component place, cell place)."""
    sums = share.sums.copy()
    for place in places:
        sums[place] += np.uint64(1)
    return replace(share, sums=sums)


class Feed:
    """A collector and the log that it reads."""

    def __init__(self, trial: Trial, log: list[ControlRecord] | None = None, *, first: int = 0) -> None:
        self.trial = trial
        self.log = [] if log is None else log
        self.first = first
        self.collector = Collector(
            task=trial.task,
            roster=trial.roster.model_copy(update={"partitions": 1}),
            partition=0,
            open_share=self.open_share,
            publish=lambda aggregate: encode(aggregate, trial.keys["collector"].identity),
            first=first,
            end=len(self.log),
        )
        self.unreadable: set[int] = set()
        self.published: list[Aggregate] = []
        self.findings: list[Finding] = []

    def open_share(self, share: AggregateShare) -> bytes:
        if share.party in self.unreadable:
            raise WireError("cannot_open")
        return share.sealed

    def read_again(self) -> Feed:
        """Give the collector what the log had when it started."""
        for offset in range(self.first, len(self.log)):
            self.take(self.collector.control(self.log[offset], offset=offset, at=offset + 500))
        return self

    def write(self, *records: ControlRecord) -> Feed:
        for record in records:
            self.log.append(record)
            offset = len(self.log) - 1
            self.take(self.collector.control(record, offset=offset, at=offset + 500))
        return self

    def take(self, outputs: list[Published | Outcome]) -> None:
        for output in outputs:
            if isinstance(output, Published):
                assert decode(output.value, task=self.trial.task) == output.aggregate
                self.published.append(output.aggregate)
                self.findings += output.findings
            else:
                self.write(output)

    def manifests(self, *parties: int, window: int = START, floor: int = START, names: tuple[str, ...] = NAMES) -> Feed:
        entries = tuple(Entry(gateway=name, contribution=bytes(32)) for name in names)
        return self.write(
            *(
                Manifest(window=window, party=party, floor=floor, last_seal=START + 9, entries=entries, faults=())
                for party in parties
            )
        )

    def shares(self, shares: Mapping[int, SharePayload], window: int = START) -> Feed:
        for party, share in shares.items():
            ballot = self.collector.agreement.ballot(window)
            assert ballot is not None
            assert ballot.agreed is not None
            self.write(
                AggregateShare(
                    window=window,
                    party=party,
                    floor=START,
                    digest=ballot.agreed.digest,
                    key_id=bytes(16),
                    sealed=share.encode(),
                )
            )
        return self

    def only(self) -> Aggregate:
        (aggregate,) = self.published
        return aggregate


@pytest.fixture(scope="module")
def trial() -> Trial:
    return make_trial("replicated")


def test_a_window_becomes_exact_points_and_named_suppressions(trial: Trial) -> None:
    """Every due cell once, in the roster's order; the minimum of the range is added back to the sum."""
    aggregate = Feed(trial).manifests(0, 1, 2).shares(payloads()).only()
    assert [(cell.labels["area"], cell.measure) for cell in aggregate.cells] == [
        (area, measure) for area in ("centre", "outer", "ring") for measure in ("no2", "temperature")
    ]
    no2, temperature = aggregate.cells[0], aggregate.cells[3]
    assert (no2.outcome, no2.reason, no2.count, no2.sum_steps) == ("point", "none", 4, 66)
    assert (temperature.count, temperature.sum_steps) == (4, 1205 - 4 * 400)
    assert temperature.resolution == Decimal("0.1")
    hidden = {number: cell for number, cell in enumerate(aggregate.cells) if cell.outcome == "suppressed"}
    assert {number: cell.reason for number, cell in hidden.items()} == dict(SUPPRESSED)
    assert all(cell.count is cell.sum_steps is None for cell in hidden.values())
    assert aggregate.verified
    assert aggregate.parties == ("party-1", "party-2", "party-3")
    assert aggregate.contributors[-1] == Contributor(gateway="west-1", organisation="west", late=2, dropped=9)
    assert (aggregate.organisations, aggregate.gateways, aggregate.absent) == (4, 4, ())
    assert (aggregate.last_seal, aggregate.revealed_at) == (START + 9, 505)


def test_an_aggregate_comes_before_its_outcome(trial: Trial) -> None:
    """The outcome says that the aggregate is in Kafka, and with which bytes."""
    feed = Feed(trial).manifests(0, 1, 2, names=())
    (outcome,) = [record for record in feed.log if isinstance(record, Outcome)]
    assert outcome.window == START
    assert START < outcome.floor <= START + HOUR
    assert [cell.reason for cell in feed.only().cells] == ["no_readings"] * 6
    assert feed.only().absent == NAMES


def test_two_parties_are_enough_and_unverified(trial: Trial) -> None:
    """The third is gone: the same numbers, marked."""
    feed = Feed(trial).manifests(0, 1)
    feed.write(*(Close(window=START, party=party, phase=1) for party in (0, 1)))
    shares = payloads()
    aggregate = feed.shares({party: shares[party] for party in (0, 1)}).only()
    assert (aggregate.cells[0].sum_steps, aggregate.verified) == (66, False)
    assert aggregate.parties == ("party-1", "party-2")


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_additive_shares_are_never_called_verified(parties: int) -> None:
    """Any party can shift the sum unseen: the flag says so."""
    feed = Feed(make_trial("additive", parties)).manifests(*range(parties))
    aggregate = feed.shares(payloads("additive", parties)).only()
    assert (aggregate.cells[0].sum_steps, aggregate.cells[3].sum_steps) == (66, 1205 - 1600)
    assert not aggregate.verified


@pytest.mark.parametrize(
    ("liar", "places", "suspects"),
    [
        (0, [(0, 0)], ("party-1", "party-3")),  # component 0 is held by parties 0 and 2
        (1, [(1, 1)], ("party-2", "party-3")),
        (1, [(0, 0), (1, 0)], ("party-2",)),
        (2, [(0, 0), (1, 1)], ("party-3",)),
    ],
)
def test_a_party_that_lies_is_noticed(
    trial: Trial, liar: int, places: list[tuple[int, int]], suspects: tuple[str, ...]
) -> None:
    """A lie in one component leaves its two holders, in both the liar; no number is shown."""
    shares = payloads()
    shares[liar] = lie(shares[liar], *places)
    aggregate = Feed(trial).manifests(0, 1, 2).shares(shares).only()
    assert {(cell.outcome, cell.reason, cell.at_fault) for cell in aggregate.cells} == {
        ("suppressed", "parties_disagree", suspects)
    }
    assert not aggregate.verified


def test_a_lie_while_the_third_is_away_is_never_verified(trial: Trial) -> None:
    """Component 2 has one copy then: the lie cannot be seen, so the point must not claim that it was checked."""
    feed = Feed(trial).manifests(0, 1)
    feed.write(*(Close(window=START, party=party, phase=1) for party in (0, 1)))
    shares = payloads()
    aggregate = feed.shares({0: shares[0], 1: lie(shares[1], (1, 0))}).only()
    assert aggregate.cells[0].sum_steps == 67
    assert not aggregate.verified


@pytest.mark.parametrize(
    "change",
    [
        lambda share: replace(share, counts=share.counts + 1),
        lambda share: replace(share, suppressed=((1, "no_readings"), (2, "no_readings"), *SUPPRESSED[2:])),
        lambda share: replace(
            share,
            released=share.released[:1],
            counts=share.counts[:1],
            sums=share.sums[:, :1],
            suppressed=(*SUPPRESSED, (3, "no_readings")),
        ),
    ],
    ids=["counts", "reasons", "cells"],
)
def test_counts_and_policy_are_compared_as_well(change: Callable[[SharePayload], SharePayload], trial: Trial) -> None:
    """Of three the odd one is named; of two it is one or the other."""
    shares = payloads()
    result = reveal(scheme("replicated", 3), {**shares, 1: change(shares[1])}, enough=2)
    assert result == Contradiction(kind="other_counts", suspects=(1,))
    result = reveal(scheme("replicated", 3), {0: shares[0], 1: change(shares[1])}, enough=2)
    assert result == Contradiction(kind="other_counts", suspects=(0, 1))


def test_a_share_that_cannot_be_read_is_none(trial: Trial) -> None:
    """The two others are enough: their value comes out, unverified, and whoever sent the third is named."""
    feed = Feed(trial).manifests(0, 1, 2)
    feed.unreadable = {1}
    aggregate = feed.shares(payloads()).only()
    assert aggregate.cells[0].sum_steps == 66
    assert (aggregate.verified, aggregate.parties) == (False, ("party-1", "party-3"))
    assert feed.findings == [Finding(party=1, kind="unreadable_share", window=START)]


@pytest.mark.parametrize(
    ("scheme_name", "unverified", "present"),
    [("replicated", "release", (0, 1)), ("replicated", "wait", (0, 1, 2)), ("additive", "release", (0, 1, 2))],
)
def test_without_enough_readable_shares_nothing_is_shown(
    scheme_name: str, unverified: str, present: tuple[int, ...]
) -> None:
    """Then the window is suppressed, and the cells name who sent what nobody can read."""
    trial = make_trial(scheme_name, policy={"min_organisations": 3, "unverified": unverified})
    feed = Feed(trial).manifests(*present)
    if len(present) == 2:
        feed.write(*(Close(window=START, party=party, phase=1) for party in present))
    feed.unreadable = {1}
    shares = payloads(scheme_name)
    cells = feed.shares({party: shares[party] for party in present}).only().cells
    assert {(cell.reason, cell.at_fault) for cell in cells} == {("parties_disagree", ("party-2",))}


def test_one_party_cannot_say_any_number_of_late_readings(trial: Trial) -> None:
    """Notes are not compared (a gateway could make them differ): the middle one of three is shown."""
    shares = payloads()
    for said in (SealNotes(late=10**6), SealNotes(late=0, dropped=1)):
        told = {**shares, 0: replace(shares[0], notes=(("east-1", said),))}
        contributors = Feed(trial).manifests(0, 1, 2).shares(told).only().contributors
        assert [(one.late, one.dropped) for one in contributors] == [(0, 0), (0, 0), (0, 0), (2, 9)]


@pytest.mark.parametrize("units", [-1, 4 * 1000 + 1, -(2**63), 2**63 - 1])
def test_a_sum_that_no_readings_have_is_not_shown(units: int, trial: Trial) -> None:
    """Four readings between 0 and 1000: everything else is an overflow, if the parties agree; else nobody knows."""
    shares = payloads(units=np.array([units, 0], dtype=np.int64))
    cell = Feed(trial).manifests(0, 1, 2).shares(shares).only().cells[0]
    assert (cell.outcome, cell.reason) == ("suppressed", "overflow")
    unchecked = payloads("additive", 3, np.array([units, 0], dtype=np.int64))
    cell = Feed(make_trial("additive")).manifests(0, 1, 2).shares(unchecked).only().cells[0]
    assert (cell.outcome, cell.reason) == ("suppressed", "parties_disagree")


@pytest.mark.parametrize("units", [0, 4 * 1000])
def test_the_ends_of_the_range_are_points(units: int, trial: Trial) -> None:
    """All readings at the lowest or the highest value."""
    shares = payloads(units=np.array([units, 0], dtype=np.int64))
    assert Feed(trial).manifests(0, 1, 2).shares(shares).only().cells[0].sum_steps == units


def test_more_rows_than_the_limits_is_an_overflow() -> None:
    """Counts beyond the task's bound could have wrapped."""
    trial = make_trial("replicated", limits={"max_gateways": 4, "max_rows": 1})
    shares = {p: replace(share, counts=COUNTS + 1) for p, share in payloads().items()}
    assert Feed(trial).manifests(0, 1, 2).shares(shares).only().cells[0].reason == "overflow"


def test_who_did_not_answer_is_named(trial: Trial) -> None:
    """Given up: every cell says why, and who was missing."""
    feed = Feed(trial).manifests(0).write(GiveUp(window=START, party=0), GiveUp(window=START, party=2))
    assert {(cell.reason, cell.at_fault) for cell in feed.only().cells} == {("party_missing", ("party-2", "party-3"))}


def test_too_many_absent_ends_every_cell(trial: Trial) -> None:
    """Two of four organisations are not in the agreed set."""
    aggregate = Feed(trial).manifests(0, 1, 2, names=NAMES[:2]).only()
    assert {cell.reason for cell in aggregate.cells} == {"too_many_absent"}
    assert aggregate.absent == NAMES[2:]


def test_with_numbers_only_nobody_is_named() -> None:
    """The policy keeps from the dashboard who took part; absent ones would tell it as well."""
    trial = make_trial("replicated", policy={"min_organisations": 3, "contributors": "number"})
    aggregate = Feed(trial).manifests(0, 1, 2, names=NAMES[:3]).shares(payloads()).only()
    assert (aggregate.contributors, aggregate.absent) == ((), ())
    assert (aggregate.organisations, aggregate.gateways) == (3, 3)


def test_windows_that_the_quorum_floor_passes_are_over(trial: Trial) -> None:
    """Nobody spoke of them in time: they have an outcome like all others."""
    later = START + 2 * HOUR
    feed = Feed(trial).manifests(0, window=START + HOUR).manifests(0, 1, window=later, floor=later)
    assert [(one.window_start, one.cells[0].reason) for one in feed.published] == [
        (START, "window_over"),
        (START + HOUR, "window_over"),
    ]


def end(feed: Feed, number: int) -> None:
    window = START + number * HOUR
    feed.manifests(0, 1, 2, window=window, floor=window, names=())


def test_a_restart_makes_nothing_twice(trial: Trial) -> None:
    """Outcomes in the log are believed: their aggregates were in Kafka before."""
    feed = Feed(trial)
    for number in range(3):
        end(feed, number)
    again = Feed(trial, feed.log).read_again()
    assert again.published == []
    assert again.collector.status()["floor"] == feed.collector.status()["floor"]


def test_a_crash_before_the_outcome_gives_the_same_bytes_again(trial: Trial) -> None:
    """Whoever reads aggregates meets a repetition, never another result."""
    feed = Feed(trial).manifests(0, 1, 2).shares(payloads())
    cut = [record for record in feed.log if not isinstance(record, Outcome)]
    again = Feed(trial, cut).read_again()
    assert again.published == feed.published


def test_it_commits_behind_the_floor_of_its_recorded_outcomes_only(trial: Trial) -> None:
    """What an outcome in the log does not cover may have to be made again."""
    feed = Feed(trial).manifests(0, 1, 2).shares(payloads())
    committable = []
    for number in range(1, 6):
        end(feed, number)
        committable.append(feed.collector.committable())
    assert all(offset is not None for offset in committable)
    assert committable == sorted(committable, key=lambda offset: offset or 0)
    last = committable[-1]
    assert last is not None
    assert 0 < last < len(feed.log)
    again = Feed(trial, feed.log, first=last).read_again()
    assert again.published == []
    end(again, 6)
    assert [one.window_start for one in again.published] == [START + 6 * HOUR]


def test_memory_is_given_back(trial: Trial) -> None:
    """A collector that runs for a year holds the windows above the floors and nothing else."""
    feed = Feed(trial)
    for number in range(100):
        end(feed, number)
    collector: Any = feed.collector
    assert len(collector.agreement.windows) <= 2
    assert len(collector._done) <= 2
    assert len(collector._needed) <= 2


def test_status_says_whom_a_window_waits_for(trial: Trial) -> None:
    """Names of parties, nothing else."""
    (window,) = Feed(trial).manifests(0, 2).collector.status()["windows"]
    assert window == {"window": START, "waits_for": "manifests", "parties": ["party-2"]}
