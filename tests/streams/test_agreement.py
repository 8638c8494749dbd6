"""The fold over control, rule by rule."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from protocol.control import AggregateShare, Close, Entry, GiveUp, Manifest
from streams.agreement import Agreement, PartyRecord, Rules, Terminal
from tests.trial import make_trial

W1, W2, W3 = 1000, 2000, 3000


def rules(scheme: str, parties: int = 3, unverified: str = "release") -> Rules:
    trial = make_trial(scheme, parties, policy={"min_organisations": 3, "unverified": unverified})
    return Rules.of(trial.task)


def entry(gateway: str, content: str = "") -> Entry:
    return Entry(gateway=gateway, contribution=hashlib.sha256((gateway + content).encode()).digest())


def manifest(party: int, *entries: Entry, window: int = W1, floor: int = W1, last_seal: int = 0) -> Manifest:
    return Manifest(window=window, party=party, floor=floor, last_seal=last_seal, entries=entries, faults=())


class Log:
    """A log that is folded as it is written."""

    def __init__(self, rule: Rules, first: int = W1) -> None:
        self.offset = -1
        self.fold = Agreement(rules=rule, task_hash=bytes(32), roster_hash=bytes(32), first=first, verdict=self.verdict)
        self.reason: str | None = None

    def verdict(self, gateways: Iterable[str]) -> str | None:
        return self.reason if [*gateways] else "no_readings"

    def write(self, *records: PartyRecord) -> Log:
        for record in records:
            self.offset += 1
            self.fold.fold(record, offset=self.offset, at=100 + self.offset)
        return self

    def share(self, party: int, *, window: int = W1, floor: int = W1, digest: bytes | None = None) -> AggregateShare:
        ballot = self.fold.ballot(window)
        if digest is None:
            assert ballot is not None
            assert ballot.agreed is not None
            digest = ballot.agreed.digest
        return AggregateShare(window=window, party=party, floor=floor, digest=digest, key_id=bytes(16), sealed=b"")

    def terminal(self, window: int = W1) -> Terminal | None:
        ballot = self.fold.ballot(window)
        return ballot.terminal if ballot else None

    def agreed(self) -> tuple[Entry, ...] | None:
        ballot = self.fold.ballot(W1)
        return ballot.agreed.entries if ballot and ballot.agreed else None


A, B = entry("a"), entry("b")


def test_rules_follow_the_scheme() -> None:
    """Replicated goes on with two of three; additive, and a task that waits for verification, need all."""
    assert rules("replicated") == Rules(parties=3, enough=2, close_by=2, give_up_by=2, floor_by=2)
    assert rules("additive", 5) == Rules(parties=5, enough=5, close_by=None, give_up_by=1, floor_by=1)
    assert rules("replicated", unverified="wait") == Rules(parties=3, enough=3, close_by=None, give_up_by=2, floor_by=2)


def test_all_manifests_decide_on_their_intersection() -> None:
    """The set is what every counted manifest has, on gateway and contribution together."""
    other = entry("b", "another epoch")
    log = Log(rules("replicated")).write(manifest(0, A, B), manifest(1, A, other))
    assert log.agreed() is None
    log.write(manifest(2, A, B))
    assert log.agreed() == (A,)


def test_the_first_manifest_of_a_party_counts() -> None:
    """What a party says later does not replace what it said first, for itself neither."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(0, A, B), manifest(1, A, B), manifest(2, A, B))
    assert log.agreed() == (A,)


def test_two_parties_end_the_wait_for_the_third() -> None:
    """One close is not enough (it may be a liar's), nor is the same one twice; a second party's is."""
    log = Log(rules("replicated")).write(manifest(0, A, B), manifest(1, A))
    log.write(Close(window=W1, party=0, phase=1), Close(window=W1, party=0, phase=1))
    assert log.agreed() is None
    log.write(Close(window=W1, party=2, phase=1))
    assert log.agreed() == (A,)
    ballot = log.fold.ballot(W1)
    assert ballot is not None
    assert ballot.agreed is not None
    assert ballot.agreed.parties == (0, 1)


def test_a_close_before_enough_manifests_counts_for_nothing() -> None:
    """Closes written ahead of the manifests cannot shut anybody out."""
    log = Log(rules("replicated")).write(*(Close(window=W1, party=party, phase=1) for party in (0, 1)))
    log.write(manifest(0, A), manifest(1, A))
    assert log.agreed() is None
    log.write(Close(window=W1, party=0, phase=1), Close(window=W1, party=1, phase=1))
    assert log.agreed() == (A,)


def test_a_close_of_another_phase_counts_for_nothing() -> None:
    """A close of phase 2 does not fix the manifests, one of phase 1 not the shares."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A))
    log.write(*(Close(window=W1, party=party, phase=2) for party in (0, 1)))
    assert log.agreed() is None
    log.write(manifest(2, A))
    log.write(log.share(0), log.share(1), *(Close(window=W1, party=party, phase=1) for party in (0, 1)))
    assert log.terminal() is None


def test_closes_have_no_effect_where_all_are_needed() -> None:
    """Additive sharing waits for everybody, whatever is closed."""
    log = Log(rules("additive")).write(manifest(0, A), manifest(1, A))
    log.write(*(Close(window=W1, party=party, phase=1) for party in (0, 1)))
    assert log.agreed() is None


def test_shares_of_all_whose_manifests_counted_end_a_window() -> None:
    """A point comes when each of them has sent one, and says whose were used."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A), manifest(2, A))
    log.write(log.share(2), log.share(0))
    assert log.terminal() is None
    log.write(log.share(1))
    assert log.terminal() == Terminal(outcome="point", parties=(0, 1, 2), at=105)


def test_shares_of_two_are_enough_after_two_closes() -> None:
    """A party that fell silent after its manifest does not hold the window up for ever."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A), manifest(2, A))
    log.write(log.share(0), log.share(1), Close(window=W1, party=0, phase=2), Close(window=W1, party=1, phase=2))
    assert log.terminal() == Terminal(outcome="point", parties=(0, 1), at=106)


def test_a_share_over_another_set_does_not_count_and_is_remembered() -> None:
    """A party that signed another set is known to have done so: it must not sign the agreed one as well."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A), manifest(2, A))
    log.write(log.share(0, digest=bytes(32)), log.share(1), log.share(2))
    ballot = log.fold.ballot(W1)
    assert ballot is not None
    assert ballot.terminal is None
    assert ballot.contradicted(0)
    assert not ballot.contradicted(1)


def test_giving_up_takes_one_liar_more_than_there_may_be() -> None:
    """Replicated: the second party's give-up suppresses a window with too few manifests, and names who is missing."""
    log = Log(rules("replicated")).write(manifest(0, A), GiveUp(window=W1, party=0), GiveUp(window=W1, party=0))
    assert log.terminal() is None
    log.write(GiveUp(window=W1, party=1))
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", missing=(1, 2), at=103)


def test_giving_up_with_enough_manifests_decides_instead() -> None:
    """A give-up in phase 1 does not count again in phase 2: there each party has to say it anew."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A))
    log.write(GiveUp(window=W1, party=0), GiveUp(window=W1, party=1))
    assert log.agreed() == (A,)
    assert log.terminal() is None
    log.write(log.share(0), GiveUp(window=W1, party=0), GiveUp(window=W1, party=1))
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", missing=(1, 2), at=106)


def test_one_give_up_suffices_where_anybody_can_block() -> None:
    """Additive: one party can withhold its share anyway."""
    log = Log(rules("additive")).write(manifest(0, A), GiveUp(window=W1, party=0))
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", missing=(1, 2), at=101)


def test_terminal_is_terminal() -> None:
    """Nothing that comes later changes how a window has ended."""
    log = Log(rules("additive")).write(manifest(0, A), GiveUp(window=W1, party=0))
    ended = log.terminal()
    log.write(manifest(1, A), manifest(2, A), GiveUp(window=W1, party=1))
    assert log.terminal() == ended
    assert log.agreed() is None


def test_a_set_that_the_policy_refuses_ends_the_window_without_shares() -> None:
    """What needs no counts is decided by the log alone: nobody has to release anything for it."""
    log = Log(rules("replicated"))
    log.reason = "too_many_absent"
    log.write(manifest(0, A), manifest(1, A), manifest(2, A))
    assert log.terminal() == Terminal(outcome="suppressed", reason="too_many_absent", at=102)


def test_windows_without_contributions_have_no_readings() -> None:
    """Every party says that it holds nothing."""
    log = Log(rules("replicated")).write(manifest(0), manifest(1), manifest(2))
    assert log.terminal() == Terminal(outcome="suppressed", reason="no_readings", at=102)


@pytest.mark.parametrize(("scheme", "parties", "needed"), [("replicated", 3, 2), ("additive", 3, 1)])
def test_a_window_below_the_quorum_floor_is_over(scheme: str, parties: int, needed: int) -> None:
    """Once more than n - k parties are through with it, too few are left to bring it to a result."""
    log = Log(rules(scheme, parties)).write(manifest(2, A))
    for party in range(needed - 1):
        log.write(manifest(party, window=W2, floor=W2))
    assert log.fold.over == W1
    log.write(manifest(needed - 1, window=W2, floor=W2))
    assert log.fold.over == W2
    assert log.terminal() == Terminal(outcome="suppressed", reason="window_over", at=100 + log.offset)
    log.write(manifest(0, A, window=W1 + 1))
    assert log.fold.ballot(W1 + 1) is None


def test_a_floor_above_its_own_window_is_no_record() -> None:
    """Nobody is through with a window of which it speaks; a liar could end windows of the future with it."""
    log = Log(rules("additive")).write(manifest(0, A, floor=W3))
    assert log.fold.over == W1
    assert log.fold.ballot(W1) is None


def test_what_teaches_the_quorum_floor_is_pinned() -> None:
    """Who reads from the pin on learns the same quorum floor as who has read all."""
    log = Log(rules("replicated"))
    assert log.fold.pin() is None
    log.write(manifest(0), manifest(1), manifest(2, window=W3, floor=W3))  # 2 is ahead of the quorum
    log.write(manifest(0, window=W2, floor=W2))
    assert (log.fold.over, log.fold.pin()) == (W2, 2)
    log.write(manifest(0, window=W3, floor=W2), manifest(1, window=W3, floor=W3))
    assert (log.fold.over, log.fold.pin()) == (W3, 2)
    log.write(manifest(2, window=W3, floor=W3))
    assert (log.fold.over, log.fold.pin()) == (W3, 5)
