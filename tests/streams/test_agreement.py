"""The fold over control, rule by rule."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import pytest

from protocol.control import AggregateShare, Close, Entry, Fault, GiveUp, Manifest
from streams.agreement import Agreement, PartyRecord, Rules, Terminal
from tests.trial import make_trial

W1, W2, W3 = 1000, 2000, 3000


def rules(scheme: str, parties: int = 3, unverified: str = "release") -> Rules:
    trial = make_trial(scheme, parties, policy={"min_organisations": 3, "unverified": unverified})
    return Rules.of(trial.task)


def entry(gateway: str, content: str = "") -> Entry:
    return Entry(gateway=gateway, contribution=hashlib.sha256((gateway + content).encode()).digest())


def manifest(
    party: int, *entries: Entry, window: int = W1, floor: int = W1, last_seal: int = 0, faults: tuple[str, ...] = ()
) -> Manifest:
    refused = tuple(Fault(gateway=name, reason="unequal_copies") for name in faults)
    return Manifest(window=window, party=party, floor=floor, last_seal=last_seal, entries=entries, faults=refused)


class Log:
    """A log that is folded as it is written."""

    def __init__(self, rule: Rules, first: int = W1) -> None:
        self.offset = -1
        self.fold = Agreement(
            rules=rule,
            task_hash=bytes(32),
            roster_hash=bytes(32),
            first=first,
            verdict=self.verdict,
            organisation={name: name[0] for name in ("a", "b", "c", "c2", "c3")},
        )
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

    def parties(self) -> tuple[int, ...] | None:
        ballot = self.fold.ballot(W1)
        return ballot.agreed.parties if ballot and ballot.agreed else None

    def lacking(self) -> tuple[tuple[int, str], ...]:
        ballot = self.fold.ballot(W1)
        return ballot.agreed.lacking if ballot and ballot.agreed else ()


A, B = entry("a"), entry("b")
C, C2, C3 = entry("c"), entry("c2"), entry("c3")  # three gateways of one organisation


def test_rules_follow_the_scheme() -> None:
    """Replicated goes on with two of three; additive, and a task that waits for verification, need all."""
    assert rules("replicated") == Rules(parties=3, enough=2, close_by=2, give_up_by=2, floor_by=2)
    assert rules("additive", 5) == Rules(parties=5, enough=5, close_by=None, give_up_by=1, floor_by=1)
    assert rules("replicated", unverified="wait") == Rules(parties=3, enough=3, close_by=None, give_up_by=2, floor_by=2)


def test_what_all_hold_is_agreed_by_all() -> None:
    """The healthy case; a gateway that one party alone holds is in no set, nor is one that all hold differently."""
    other, third = entry("b", "another epoch"), entry("b", "a third")
    log = Log(rules("replicated")).write(manifest(0, A, B, C), manifest(1, A, other))
    assert log.agreed() is None
    log.write(manifest(2, A, third))
    assert (log.agreed(), log.parties()) == ((A,), (0, 1, 2))


@pytest.mark.parametrize("without", [(), (entry("b", "another epoch"),)], ids=["withheld", "another contribution"])
@pytest.mark.parametrize("party", [0, 1, 2])
def test_a_party_that_withholds_a_gateway_removes_itself(party: int, without: tuple[Entry, ...]) -> None:
    """Two hold it equally, which is enough to add it up: the set is theirs, and the one without it is named."""
    log = Log(rules("replicated"))
    log.write(*(manifest(one, A, *(without if one == party else (B,))) for one in range(3)))
    others = tuple(one for one in range(3) if one != party)
    assert (log.agreed(), log.parties(), log.lacking()) == ((A, B), others, ((party, "b"),))
    log.write(log.share(others[0]))
    assert log.terminal() is None
    log.write(log.share(others[1]))
    ended = log.terminal()
    assert ended is not None
    assert (ended.outcome, ended.parties) == ("point", others)


def test_a_third_share_over_the_set_of_two_is_used_if_it_comes_in_time() -> None:
    """Who lacked a gateway at its deadline and holds it now can still add the third copy: all are compared."""
    log = Log(rules("replicated")).write(manifest(0, A, B), manifest(1, A), manifest(2, A, B))
    log.write(log.share(1), log.share(0))
    assert log.terminal() is None
    log.write(log.share(2))
    ended = log.terminal()
    assert ended is not None
    assert ended.parties == (0, 1, 2)


def test_a_gateway_refused_by_one_is_in_no_set() -> None:
    """Unequal copies are seen by one party alone: the other two would add up different numbers."""
    log = Log(rules("replicated")).write(manifest(0, A, B), manifest(1, A, faults=("b",)), manifest(2, A, B))
    assert (log.agreed(), log.parties(), log.lacking()) == ((A,), (0, 1, 2), ())
    ballot = log.fold.ballot(W1)
    assert ballot is not None
    assert ballot.agreed is not None
    assert ballot.agreed.refusing == ((1, "b"),)


def test_of_two_pairs_the_one_with_more_organisations_counts() -> None:
    """The policy asks for organisations; then gateways count, then the lowest numbers, so that all choose alike."""
    log = Log(rules("replicated"))
    log.write(manifest(0, C, C2, C3), manifest(1, A, B, C, C2, C3), manifest(2, A, B))
    assert (log.agreed(), log.parties()) == ((A, B), (1, 2))
    log = Log(rules("replicated")).write(manifest(0, A, C), manifest(1, A, C, C2, C3), manifest(2, C, C2, C3))
    assert (log.agreed(), log.parties()) == ((A, C), (0, 1))
    log = Log(rules("replicated")).write(manifest(0, A, C), manifest(1, A, C, B, C2), manifest(2, B, C2))
    assert (log.agreed(), log.parties()) == ((A, C), (0, 1))


@pytest.mark.parametrize("rule", [rules("replicated", unverified="wait"), rules("additive")])
def test_where_all_are_needed_the_set_is_the_intersection(rule: Rules) -> None:
    """No two of three may release then, so what one lacks cannot be in the sum; who lacks it alone is named."""
    log = Log(rule).write(manifest(0, A, B), manifest(1, A), manifest(2, A, B))
    assert (log.agreed(), log.parties(), log.lacking()) == ((A,), (0, 1, 2), ((1, "b"),))


def test_one_party_cannot_say_any_time_of_the_last_seal() -> None:
    """The middle one of the parties' is taken."""
    log = Log(rules("replicated"))
    log.write(manifest(0, A, last_seal=7), manifest(1, A, last_seal=2**53 - 1), manifest(2, A, last_seal=5))
    ballot = log.fold.ballot(W1)
    assert ballot is not None
    assert ballot.agreed is not None
    assert ballot.agreed.last_seal == 7


def test_the_first_manifest_of_a_party_counts() -> None:
    """What a party says later does not replace what it said first, for itself neither."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(0, A, B), manifest(1, A, B), manifest(2, A))
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
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", at_fault=(1, 2), at=103)


def test_giving_up_with_enough_manifests_decides_instead() -> None:
    """A give-up in phase 1 does not count again in phase 2: there each party has to say it anew."""
    log = Log(rules("replicated")).write(manifest(0, A), manifest(1, A))
    log.write(GiveUp(window=W1, party=0), GiveUp(window=W1, party=1))
    assert log.agreed() == (A,)
    assert log.terminal() is None
    log.write(log.share(0), GiveUp(window=W1, party=0), GiveUp(window=W1, party=1))
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", at_fault=(1, 2), at=106)


def test_one_give_up_suffices_where_anybody_can_block() -> None:
    """Additive: one party can withhold its share anyway."""
    log = Log(rules("additive")).write(manifest(0, A), GiveUp(window=W1, party=0))
    assert log.terminal() == Terminal(outcome="suppressed", reason="party_missing", at_fault=(1, 2), at=101)


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
    assert log.terminal() == Terminal(
        outcome="suppressed", reason="window_over", at_fault=tuple(range(needed)), at=100 + log.offset
    )
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
