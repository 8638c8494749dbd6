"""One party lies, in each way that it can: no wrong value is shown as checked, and the party is named."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest

from protocol.body import SealNotes
from protocol.control import AggregateShare, Close, ControlRecord, Fault, GiveUp, Manifest
from protocol.share import SharePayload
from protocol.topics import partition_of_window
from tests.trial import HOUR, START, Trial, make_trial
from tests.whole.test_way_of_a_reading import AFTER, Gateway, plain, shown
from tests.whole.town import Town

PARTIES = ("party-1", "party-2", "party-3")


class Case:
    """A town with readings of every gateway that wait to be sent."""

    def __init__(self, scheme: str = "replicated", *, away: tuple[str, ...] = (), unverified: str = "release") -> None:
        self.trial: Trial = make_trial(scheme, policy={"min_organisations": 3, "unverified": unverified})
        self.town = Town(self.trial, now=AFTER, away=away)
        self.gateways = [Gateway(self.trial, name, self.town) for name in self.trial.roster.gateways]

    def send(self, *windows: int, missing: tuple[str, ...] = ()) -> None:
        for window in windows or (START,):
            for number, gateway in enumerate(self.gateways):
                records = gateway.batch(window, [(0, 10 + number), (1, 3), (3, 7)]) + gateway.seal(window)
                self.town.send([record for record in records if record.party not in missing])
        self.town.settle()

    def wait(self) -> None:
        self.town.wait(3 * self.trial.task.window.deadline)

    def exact(self, window: int = START) -> bool:
        return shown(self.trial, self.town, window) == plain(self.trial, self.gateways, window)

    def outcome(self, window: int = START) -> set[tuple[str, str, tuple[str, ...]]]:
        return {(cell.outcome, cell.reason, cell.at_fault) for cell in self.town.aggregates()[window].cells}

    def named(self, role: str) -> dict[tuple[str, str], float]:
        """(party, kind) -> how often this role counted it."""
        metric = f"sotto_{'collector' if role == 'collector' else 'party'}_contradictions"
        return {
            (sample.labels["party"], sample.labels["kind"]): sample.value
            for family in self.town.registries[role].collect()
            if family.name == metric
            for sample in family.samples
            if sample.name.endswith("_total")
        }

    def named_by_all(self, *expected: tuple[str, str]) -> None:
        """Every root and the collector have counted this, once, and nothing else."""
        for role in (*PARTIES, "collector"):
            assert self.named(role) == dict.fromkeys(expected, 1.0), role


def one_more(*places: int) -> Callable[[SharePayload], SharePayload]:
    """Add 1 to the first cell in these of the party's components."""

    def change(share: SharePayload) -> SharePayload:
        sums = share.sums.copy()
        for place in places:
            sums[place, 0] += np.uint64(1)
        return replace(share, sums=sums)

    return change


def first_cell_hidden(share: SharePayload) -> SharePayload:
    return replace(
        share,
        released=share.released[1:],
        counts=share.counts[1:],
        sums=share.sums[:, 1:],
        suppressed=tuple(sorted([(int(share.released[0]), "too_few_readings"), *share.suppressed])),
    )


def more_late(share: SharePayload) -> SharePayload:
    return replace(share, notes=(("east-1", SealNotes(late=10**6)),))


def says(
    of: type[ControlRecord], change: Callable[..., Iterable[ControlRecord]]
) -> Callable[[ControlRecord], Iterable[ControlRecord]]:
    """Say something else in place of one kind of record."""
    return lambda record: change(record) if isinstance(record, of) else [record]


def test_honest_parties_are_not_named() -> None:
    """Nobody contradicts anybody, also when all is read again."""
    case = Case()
    case.send(START, START + HOUR)
    case.town.start("party-1")
    case.town.start("collector")
    case.send(START + 2 * HOUR)
    assert all(case.exact(window) for window in case.town.aggregates())
    case.named_by_all()


# -- in its aggregate share ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("liar", "places", "suspects"),
    [
        ("party-1", (0,), ("party-1", "party-3")),
        ("party-1", (1,), ("party-1", "party-2")),
        ("party-2", (0,), ("party-1", "party-2")),
        ("party-3", (0, 1), ("party-3",)),
    ],
)
def test_a_wrong_sum_is_noticed_by_three(liar: str, places: tuple[int, ...], suspects: tuple[str, ...]) -> None:
    """In one component: its two holders are named; in both: the liar. No value, wrong or right, is shown."""
    case = Case()
    case.town.lie_in_shares(liar, one_more(*places))
    case.send()
    assert case.outcome() == {("suppressed", "parties_disagree", suspects)}
    assert not case.town.aggregates()[START].verified
    assert case.named("collector") == {(name, "other_sums"): 1 for name in suspects}
    assert {
        name: case.town.count("collector", "sotto_collector_share_mismatch_total", party=name) for name in PARTIES
    } == {name: float(name in suspects) for name in PARTIES}


@pytest.mark.parametrize("liar", ["party-1", "party-2"])
@pytest.mark.parametrize("places", [(0,), (1,), (0, 1)])
def test_with_two_a_wrong_sum_is_never_called_verified(liar: str, places: tuple[int, ...]) -> None:
    """One component has two holders and is compared; in the others nobody sees a lie, and the point says so."""
    case = Case(away=("party-3",))
    case.town.lie_in_shares(liar, one_more(*places))
    case.send()
    case.wait()
    assert not case.town.aggregates()[START].verified
    both = 1 if liar == "party-1" else 0  # the place of the component that parties 1 and 2 hold
    if both in places:
        assert case.outcome() == {("suppressed", "parties_disagree", ("party-1", "party-2"))}
    else:
        assert case.town.aggregates()[START].cells[0].outcome == "point"


def test_with_two_a_task_may_wait_for_the_third() -> None:
    """`unverified = "wait"`: nothing is shown until the lie can be seen."""
    case = Case(away=("party-3",), unverified="wait")
    case.town.lie_in_shares("party-2", one_more(1))
    case.send()
    case.wait()
    assert case.town.aggregates() == {}
    case.town.start("party-3")
    case.wait()
    assert case.outcome() == {("suppressed", "parties_disagree", ("party-2", "party-3"))}


def test_additive_sums_are_never_called_verified() -> None:
    """A lie shifts the sum, and the flag says that it could."""
    case = Case("additive")
    case.town.lie_in_shares("party-2", one_more(0))
    case.send()
    aggregate = case.town.aggregates()[START]
    assert not aggregate.verified
    assert aggregate.cells[0].sum_steps == plain(case.trial, case.gateways, START)[0][1] + 1


@pytest.mark.parametrize("scheme", ["replicated", "additive"])
@pytest.mark.parametrize(
    "change",
    [lambda share: replace(share, counts=share.counts + 1), first_cell_hidden],
    ids=["counts", "reasons"],
)
def test_wrong_counts_and_reasons_are_noticed(scheme: str, change: Callable[[SharePayload], SharePayload]) -> None:
    """All parties derive them from the same rows: the one that differs is named, with any scheme."""
    case = Case(scheme)
    case.town.lie_in_shares("party-2", change)
    case.send()
    assert case.outcome() == {("suppressed", "parties_disagree", ("party-2",))}
    assert case.named("collector") == {("party-2", "other_counts"): 1}


def test_one_party_cannot_invent_late_readings() -> None:
    """The number is what two of three parties say."""
    case = Case()
    case.town.lie_in_shares("party-1", more_late)
    case.send()
    assert case.exact()
    assert {one.late for one in case.town.aggregates()[START].contributors} == {0}


def test_garbage_in_place_of_a_share_stops_nobody() -> None:
    """The two that can be read are enough: exact, unverified, and whose share was garbage is said."""
    case = Case()
    case.town.lie_in_shares("party-2", lambda _: b"garbage")
    case.send()
    assert case.exact()
    aggregate = case.town.aggregates()[START]
    assert (aggregate.verified, aggregate.parties) == (False, ("party-1", "party-3"))
    assert case.named("collector") == {("party-2", "unreadable_share"): 1}


def test_a_share_over_another_set_counts_for_nothing() -> None:
    """The window goes on with the other two; everybody sees what was signed."""
    case = Case()
    case.town.lie("party-2", says(AggregateShare, lambda share: [replace(share, digest=bytes(32))]))
    case.send()
    case.wait()
    assert case.exact()
    assert case.town.aggregates()[START].parties == ("party-1", "party-3")
    case.named_by_all(("party-2", "other_set"))


def test_shares_over_two_sets_are_named() -> None:
    """The one over the agreed set counts; that there is another one is an alarm."""
    case = Case()
    case.town.lie("party-2", says(AggregateShare, lambda share: [share, replace(share, digest=bytes(32))]))
    case.send()
    assert case.exact()
    assert case.town.aggregates()[START].verified
    case.named_by_all(("party-2", "two_sets"), ("party-2", "other_set"))


# -- in its manifest -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("liar", PARTIES)
def test_a_withheld_gateway_stays_in_the_sum(liar: str) -> None:
    """The two that hold it release; the third has only made the result unverified, and is named with the gateway."""
    case = Case()
    case.town.lie(liar, says(Manifest, lambda manifest: [replace(manifest, entries=manifest.entries[1:])]))
    case.town.lie_in_shares(liar, lambda _: b"late")  # what it sends after that matters to nobody
    case.send()
    case.wait()
    assert case.exact()
    aggregate = case.town.aggregates()[START]
    assert (aggregate.absent, aggregate.verified) == ((), False)
    for role in (*PARTIES, "collector"):
        assert case.named(role)[liar, "lacks_gateways"] == 1


def test_an_empty_manifest_stops_nobody() -> None:
    """Withholding everything is withholding oneself."""
    case = Case()
    case.town.lie("party-1", says(Manifest, lambda manifest: [replace(manifest, entries=())]))
    case.send()
    assert case.exact()
    assert case.town.aggregates()[START].absent == ()


def test_with_wait_a_withheld_gateway_is_left_out_and_its_party_named() -> None:
    """Nothing is released that is not checked, so what one does not hold is in no sum: within `max_absent`."""
    case = Case(unverified="wait")
    case.town.lie("party-2", says(Manifest, lambda manifest: [replace(manifest, entries=manifest.entries[1:])]))
    case.send()
    aggregate = case.town.aggregates()[START]
    assert (aggregate.absent, aggregate.verified) == (("east-1",), True)
    assert shown(case.trial, case.town, START) == plain(case.trial, case.gateways[1:], START)
    case.named_by_all(("party-2", "lacks_gateways"))


def test_a_gateway_that_leaves_one_party_out_costs_the_verification_only() -> None:
    """Nothing reaches party 2 from it: the two others hold it in full."""
    case = Case()
    first = case.gateways[0]
    records = first.batch(START, [(0, 999)]) + first.seal(START)
    case.town.send([record for record in records if record.party != "party-2"])
    for gateway in case.gateways[1:]:
        case.town.send(gateway.batch(START, [(0, 1)]) + gateway.seal(START))
    case.wait()
    assert case.exact()
    assert not case.town.aggregates()[START].verified
    case.named_by_all(("party-2", "lacks_gateways"))


def test_a_party_that_catches_up_before_the_shares_makes_it_verified() -> None:
    """It lacked a gateway in its manifest and holds it now: its share over the set of the two others is compared."""
    case = Case()
    case.town.lie("party-1", says(Manifest, lambda manifest: [replace(manifest, entries=manifest.entries[1:])]))
    case.send()
    assert case.exact()
    aggregate = case.town.aggregates()[START]
    assert (aggregate.verified, aggregate.parties) == (True, PARTIES)


def test_a_false_accusation_removes_the_gateway_and_names_the_accuser() -> None:
    """It may be true (unequal copies are seen by one alone), so it counts; `max_absent` bounds it."""

    def accuse(manifest: Manifest) -> list[ControlRecord]:
        fault = Fault(gateway=manifest.entries[0].gateway, reason="unequal_copies")
        return [replace(manifest, entries=manifest.entries[1:], faults=(fault,))]

    case = Case()
    case.town.lie("party-3", says(Manifest, accuse))
    case.send()
    aggregate = case.town.aggregates()[START]
    assert (aggregate.absent, aggregate.verified) == (("east-1",), True)
    assert shown(case.trial, case.town, START) == plain(case.trial, case.gateways[1:], START)
    case.named_by_all(("party-3", "refuses_gateways"))


@pytest.mark.parametrize("other_first", [True, False])
def test_of_two_manifests_the_first_counts_and_both_are_seen(other_first: bool) -> None:
    """All read the same log, so all take the same one; that there are two is said."""

    def twice(manifest: Manifest) -> list[ControlRecord]:
        other = replace(manifest, entries=manifest.entries[1:])
        return [other, manifest] if other_first else [manifest, other]

    case = Case()
    case.town.lie("party-2", says(Manifest, twice))
    case.send()
    assert case.exact()
    expected = [("party-2", "two_manifests"), *([("party-2", "lacks_gateways")] if other_first else [])]
    case.named_by_all(*expected)


def test_the_same_manifest_again_is_nothing() -> None:
    """A worker that does not know yet that it was replaced says what the new one says, with its own floor."""
    case = Case()
    case.town.lie("party-2", says(Manifest, lambda manifest: [manifest, replace(manifest, floor=START)]))
    case.send(START, START + HOUR)
    assert case.exact()
    assert case.exact(START + HOUR)
    case.named_by_all()


# -- out of turn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [1, 2])
def test_closing_early_alone_has_no_effect(phase: int) -> None:
    """Before its deadline, before anything is there, behind two manifests: the third party still takes part."""
    case = Case()
    case.town.write("party-1", Close(window=START, party=0, phase=phase))
    case.town.lie("party-1", lambda record: [record, Close(window=START, party=0, phase=phase)])
    case.send()
    assert case.exact()
    assert case.town.aggregates()[START].verified
    case.named_by_all(("party-1", "close_out_of_turn"))


def test_giving_up_early_alone_has_no_effect() -> None:
    """Two of three must have waited so long."""
    case = Case()
    case.town.write("party-1", GiveUp(window=START, party=0))
    case.send()
    assert case.exact()
    case.named_by_all(("party-1", "give_up_out_of_turn"))


def test_giving_up_early_ends_an_additive_window_and_is_named() -> None:
    """Where all are needed any one can block: it might as well send nothing. But it is said who did."""
    case = Case("additive")
    case.town.write("party-2", GiveUp(window=START, party=1))
    case.send()
    assert {(outcome, reason) for outcome, reason, _ in case.outcome()} == {("suppressed", "party_missing")}
    case.named_by_all(("party-2", "give_up_out_of_turn"))


def high_floor(window: int) -> Manifest:
    """Say that all before `window` is over."""
    return Manifest(window=window, party=1, floor=window, last_seal=0, entries=(), faults=())


def test_a_floor_above_open_windows_alone_has_no_effect() -> None:
    """With f = 1 two parties must be through with a window before it can be over."""
    case = Case()
    case.town.write("party-1", Close(window=START, party=0, phase=1))  # the window is open in the log
    later = same_partition(case.trial, START)
    case.town.write("party-2", high_floor(later))
    case.send()
    assert case.exact()
    assert case.town.aggregates()[START].verified
    for role in (*PARTIES, "collector"):
        assert case.named(role)["party-2", "floor_too_high"] == 1


def test_a_high_floor_ends_additive_windows_and_is_named() -> None:
    """Additive: one floor is the quorum, since without that party there is no result anyway. The cells say whose.

    Of a window that nobody can have opened yet there is no valid record.
    """
    case = Case("additive")
    case.town.lie("party-3", says(AggregateShare, lambda _: []))
    case.send()
    assert case.town.aggregates() == {}
    later = same_partition(case.trial, START)
    case.town.write("party-2", high_floor(later))
    case.town.settle()
    assert case.town.aggregates() == {}
    case.town.now = later
    case.town.write("party-2", high_floor(later))
    case.town.settle()
    assert case.outcome() == {("suppressed", "window_over", ("party-2",))}
    for role in (*PARTIES, "collector"):
        assert case.named(role)["party-2", "floor_too_high"] == 1


def test_a_floor_above_its_own_window_is_named() -> None:
    """The record is none; who wrote it is said."""
    case = Case()
    case.town.write("party-2", replace(high_floor(START), floor=START + HOUR))
    case.send()
    assert case.exact()
    case.named_by_all(("party-2", "wrong_floor"))


def same_partition(trial: Trial, window: int) -> int:
    """Return a later window of the same partition that nobody has opened."""
    here = partition_of_window(trial.task.hash, window, trial.roster.partitions)
    later = range(window + HOUR, window + 100 * HOUR, HOUR)
    return next(w for w in later if partition_of_window(trial.task.hash, w, trial.roster.partitions) == here)
