"""Joint computation through all real folds, in memory: exact results, restarts, parties that are away or lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from protocol.aggregate import JointResult
from protocol.control import Manifest
from protocol.rounds import Keys, Messages, RoundsRecord
from protocol.rounds import decode as decode_rounds
from protocol.rounds import encode as encode_rounds
from protocol.share import SharePayload
from protocol.topics import partition_of_window
from runtime.fold import Output, Place
from streams.joint.desk import MOST_KEYS
from tests.trial import HOUR, START, Trial, make_trial
from tests.whole.test_way_of_a_reading import AFTER, Gateway, plain
from tests.whole.town import Town

AREAS = ("centre", "outer", "ring")
MEASURES: dict[str, Any] = {
    "load": {"unit": "kW", "range": [-10, 1000], "resolution": 1},
    "price": {"unit": "EUR", "range": [0, 100], "resolution": Decimal("0.01"), "statistics": []},
    "volume": {"unit": "m3", "range": [0, 100], "resolution": Decimal("0.1"), "statistics": []},
}
JOBS: list[dict[str, Any]] = [
    {"name": "overload", "job": "threshold", "measure": "load", "limit": 60},
    {"name": "worst", "job": "rank", "measure": "load", "places": ["max"], "reveal": "labels"},
    {"name": "cost", "job": "product", "measures": ["price", "volume"]},
]


def joint_trial(**changes: Any) -> Trial:
    return make_trial(measures=MEASURES, joint=JOBS, limits={"max_gateways": 10, "max_rows": 1000}, **changes)


class Case:
    """A town whose task has jobs, and gateways with something to say."""

    def __init__(self, *, away: tuple[str, ...] = (), **changes: Any) -> None:
        self.trial = joint_trial(**changes)
        self.town = Town(self.trial, now=AFTER, away=away)
        self.gateways = [Gateway(self.trial, name, self.town) for name in self.trial.roster.gateways]
        cells = self.trial.roster.cells(self.trial.task)
        self.number = {(cell.labels[0], self.trial.task.measure_names[cell.measure]): n for n, cell in enumerate(cells)}

    def send(self, *windows: int) -> None:
        """Every gateway has a load for every area; one has the prices, two have volumes."""
        for window in windows or (START,):
            shift = (window - START) // HOUR
            for place, gateway in enumerate(self.gateways):
                rows = [
                    (self.number[area, "load"], 10 + 7 * place + 13 * ((k + shift) % 3)) for k, area in enumerate(AREAS)
                ]
                if place < 3:
                    name = ("price", "volume", "volume")[place]
                    rows += [(self.number[area, name], 100 * place + 11 * k + shift) for k, area in enumerate(AREAS)]
                self.town.send(gateway.batch(window, rows) + gateway.seal(window))

    def sums(self, window: int) -> dict[tuple[str, str], int]:
        totals = plain(self.trial, self.gateways, window)
        return {place: totals[number][1] for place, number in self.number.items()}

    def expected(self, window: int) -> dict[str, list[tuple[dict[str, str], int | None]]]:
        """What the jobs must give, from the readings in the clear."""
        sums = self.sums(window)
        load = {area: sums[area, "load"] for area in AREAS}
        worst = max(AREAS, key=lambda area: load[area])
        return {
            "overload": [({"area": area}, int(load[area] > 60)) for area in AREAS],
            "worst": [({"area": worst}, 1)],
            "cost": [({}, sum(sums[area, "price"] * sums[area, "volume"] for area in AREAS))],
        }

    def results(self, window: int = START) -> dict[str, JointResult]:
        return {one.name: one for one in self.town.aggregates()[window].joint}

    def exact(self, window: int = START) -> bool:
        found = {
            name: [(value.labels, value.steps) for value in one.values]
            for name, one in self.results(window).items()
            if one.outcome == "point"
        }
        return found == self.expected(window)

    def outcomes(self, window: int = START) -> set[tuple[str, str, tuple[str, ...]]]:
        return {(one.outcome, one.reason, one.at_fault) for one in self.results(window).values()}

    def said(self) -> list[tuple[RoundsRecord, bytes]]:
        task, roster = self.trial.task, self.trial.roster
        return [(decode_rounds(raw, task=task, roster=roster), raw) for raw in self.town.raw(self.town.topics.rounds)]


def test_every_job_of_several_windows_is_exact() -> None:
    """Sums of what is released and results of all jobs, windows overlapping; hidden measures are nowhere."""
    case = Case()
    windows = [START + n * HOUR for n in range(4)]
    case.send(*windows)
    case.town.settle()
    for window in windows:
        assert case.exact(window)
        aggregate = case.town.aggregates()[window]
        assert aggregate.verified
        assert {cell.measure for cell in aggregate.cells} == {"load"}
        assert all(cell.outcome == "point" for cell in aggregate.cells)


def test_no_party_and_no_log_holds_a_result() -> None:
    """What a party puts into its share is a share: the number itself occurs in no record that it can open."""
    case = Case()
    seen: list[bytes] = []

    def look(payload: SharePayload) -> SharePayload:
        seen.append(payload.encode())
        return payload

    for party in case.trial.task.party_names:
        case.town.lie_in_shares(party, look)
    case.send()
    case.town.settle()
    assert case.exact()
    total = case.expected(START)["cost"][0][1]
    assert total is not None
    assert all(total.to_bytes(16, "little") not in raw for raw in seen)


@pytest.mark.parametrize("after", [0, 1, 2, 3, 7, 20])
def test_a_party_that_starts_again_says_the_same_and_the_result_is_exact(after: int) -> None:
    """Killed with so many records on rounds, it reads everything again: the same bytes, one result."""
    case = Case()
    town, rounds = case.town, case.town.topics.rounds
    append: Callable[[Output], None] = town.append
    killed: list[Output] = []

    def watch(output: Output) -> None:
        if output.topic == rounds and len(town.raw(rounds)) >= after and not killed:
            killed.append(output)
            return  # the record is lost with its sender
        append(output)

    town.append = watch  # type: ignore[method-assign]  # the log of a process that dies while it writes
    case.send()
    town.settle()
    assert killed
    assert not town.aggregates()
    lost = decode_rounds(killed[0].value, task=case.trial.task, roster=case.trial.roster)
    town.start(case.trial.task.party_names[lost.party])
    town.settle()
    assert case.exact()
    raws = [raw for _, raw in case.said()]
    assert killed[0].value in raws or isinstance(lost, Keys)
    assert len(raws) == len(set(raws))


def test_without_a_third_party_jobs_are_missing_and_sums_are_there() -> None:
    """Two parties go on with the sums, unverified; no job is computed by two."""
    case = Case(away=("party-3",))
    case.send()
    case.town.settle()
    case.town.wait(3 * case.trial.task.window.deadline)
    assert all(cell.outcome == "point" for cell in case.town.aggregates()[START].cells)
    assert not case.town.aggregates()[START].verified
    assert case.outcomes() == {("suppressed", "party_missing", ("party-3",))}
    assert not case.said()


def test_a_party_lost_in_the_middle_ends_the_jobs_and_not_the_sums() -> None:
    """After the deadline of the shares the two others release what needs no third."""
    case = Case()
    town = case.town
    says = town.append

    def deaf(output: Output) -> None:
        if output.topic == town.topics.rounds:
            record = decode_rounds(output.value, task=case.trial.task, roster=case.trial.roster)
            if record.party == 2 and isinstance(record, Messages) and record.number >= 3:
                return
        says(output)

    town.append = deaf  # type: ignore[method-assign]  # a party whose records do not arrive any more
    case.send()
    town.settle()
    assert not town.aggregates()
    town.wait(4 * case.trial.task.window.deadline)
    assert case.outcomes() == {("suppressed", "party_missing", ("party-3",))}
    assert all(cell.outcome == "point" for cell in town.aggregates()[START].cells)


def test_a_task_that_waits_waits_for_the_third_party() -> None:
    """With `unverified = "wait"` a run is not left: the party comes back, and everything is exact."""
    case = Case(away=("party-3",), policy={"min_organisations": 3, "unverified": "wait"})
    case.send()
    case.town.wait(6 * case.trial.task.window.deadline)
    assert not case.town.aggregates()
    case.town.start("party-3")
    case.town.settle()
    assert case.exact()


def test_a_wrong_share_of_a_result_is_noticed() -> None:
    """One bit of one party's share: every copy is compared, nothing is shown of that job."""
    case = Case()

    def flip(payload: SharePayload) -> SharePayload:
        first, *others = payload.joint
        last = replace(others[-1], data=others[-1].data[:-1] + bytes([others[-1].data[-1] ^ 1]))
        return replace(payload, joint=(first, *others[:-1], last))

    case.town.lie_in_shares("party-2", flip)
    case.send()
    case.town.settle()
    found = case.results()
    assert found["cost"].reason == "parties_disagree"
    assert "party-2" in found["cost"].at_fault
    assert found["overload"].outcome == found["worst"].outcome == "point"


def test_an_unreadable_record_on_rounds_is_counted_and_changes_nothing() -> None:
    """Noise on the topic, and another party's record with a broken signature."""
    case = Case()
    rounds = case.town.topics.rounds
    place = Place(rounds, 0)
    case.town.append(Output(rounds, place.partition, b"", b"noise"))
    case.send()
    case.town.settle()
    assert case.exact()
    for party in case.trial.task.party_names:
        assert case.town.count(party, "sotto_party_rejected_records_total", topic="rounds", reason="not_ours") == 1


def test_what_a_liar_says_of_a_window_to_come_holds_nothing_back() -> None:
    """A manifest and keys of the task's last window: refused by all, so the places that are committed move on."""
    case = Case()
    trial, town = case.trial, case.town
    task, partitions = trial.task, trial.roster.partitions
    here = [
        window
        for window in range(START, task.valid_until, HOUR)
        if partition_of_window(task.hash, window, partitions) == 0
    ]
    last = here[-1]
    town.now = here[2] + 2 * HOUR
    assert last > town.now + HOUR
    town.write("party-3", Manifest(window=last, party=2, floor=START, last_seal=0, entries=(), faults=()))
    keys = Keys(window=last, party=2, digest=bytes(32), contributions=(bytes(32), bytes(32)))
    value = encode_rounds(keys, task=task, roster=trial.roster, identity=trial.keys["party-3"].identity)
    town.append(Output(town.topics.rounds, 0, b"", value))
    for window in here[:3]:
        case.send(window)
        town.settle()
        assert case.exact(window)
    for party in task.party_names:
        for topic, name in ((town.topics.control, "control"), (town.topics.rounds, "rounds")):
            assert town.committable(party, topic, 0) > 1
            assert town.count(party, "sotto_party_rejected_records_total", topic=name, reason="too_early") == 1
    assert town.committable("collector", town.topics.control, 0) > 1


def test_records_that_find_no_room_are_counted() -> None:
    """A liar that floods rounds before the run has begun: what no run needs is dropped, and that is seen."""
    case = Case()
    trial, town = case.trial, case.town
    size = MOST_KEYS // 2 - 1000
    keys = Keys(window=START, party=2, digest=bytes(32), contributions=(bytes(size), bytes(32)))
    value = encode_rounds(keys, task=trial.task, roster=trial.roster, identity=trial.keys["party-3"].identity)
    number = partition_of_window(trial.task.hash, START, trial.roster.partitions)
    for _ in range(5):
        town.append(Output(town.topics.rounds, number, b"", value))
    town.settle()
    for party in trial.task.party_names:
        # of its own keys in the log a party keeps all that a run can have
        dropped = 0 if party == "party-3" else 3
        assert town.count(party, "sotto_party_joint_dropped_records_total", by="party-3") == dropped
