"""The agreement: the fold over the control log of one partition, the same at every root and at the collector.

Kafka gives everybody the same order of the records of one partition; this module turns that order into decisions and
does nothing else. It has no clock and asks nobody, so whoever reads the same records decides the same (DESIGN 5.5,
SPEC 8.1, `reference/streams.md`). Records come decoded, their signatures and bindings checked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from mpc_ops.schemes import scheme
from protocol.control import AggregateShare, Close, Entry, GiveUp, Manifest, set_digest
from protocol.task import Task
from streams.agreed_set import choose

PartyRecord = Manifest | Close | GiveUp | AggregateShare

MANIFESTS: Final = 1
SHARES: Final = 2

Verdict = Callable[[Iterable[str]], str | None]
"""Gateways of an agreed set -> the reason for which nothing of the window is released, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How many of what decides.

    `enough`: manifests (and shares) without which there is no result. `close_by`: so many parties must have ended the
    wait, so that one honest deadline at least has passed; None where no wait can be ended. `give_up_by`: likewise for
    giving up. `floor_by`: a floor is everybody's once so many parties have reached it, because the rest are too few to
    bring a window below it to a result.
    """

    parties: int
    enough: int
    close_by: int | None
    give_up_by: int
    floor_by: int

    @classmethod
    def of(cls, task: Task) -> Rules:
        """Return the rules of a task's scheme and policy."""
        parties = len(task.party)
        chosen = scheme(task.scheme.name, parties)
        signers = chosen.tolerates_lies + 1
        # `unverified = "wait"`: without the third copy nothing is released, so there is nothing to close.
        waits = task.policy.unverified == "wait" or chosen.enough == parties
        return cls(
            parties=parties,
            enough=parties if waits else chosen.enough,
            close_by=None if waits else signers,
            give_up_by=signers,
            floor_by=parties - chosen.enough + 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The one set of contributions over which a window may be released, and whose manifests made it.

    `lacking`, `refusing`: (party, gateway) where that party alone did not hold, or refused, what all others hold.
    """

    entries: tuple[Entry, ...]
    parties: tuple[int, ...]
    digest: bytes
    last_seal: int
    lacking: tuple[tuple[int, str], ...] = ()
    refusing: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """The end of a window. `parties`: whose shares are used; `at_fault`: who did not answer, or went on without an
    outcome; `at`: Kafka's time."""

    outcome: Literal["point", "suppressed"]
    reason: str = "none"
    parties: tuple[int, ...] = ()
    at_fault: tuple[int, ...] = ()
    at: int = 0


@dataclass(slots=True)
class Ballot:
    """What the log says of one window."""

    manifests: dict[int, Manifest] = field(default_factory=dict)
    shares: dict[int, AggregateShare] = field(default_factory=dict)
    closed: dict[int, set[int]] = field(default_factory=lambda: {MANIFESTS: set(), SHARES: set()})
    given_up: dict[int, set[int]] = field(default_factory=lambda: {MANIFESTS: set(), SHARES: set()})
    agreed: Agreed | None = None
    terminal: Terminal | None = None
    signed: dict[int, set[bytes]] = field(default_factory=dict)

    @property
    def phase(self) -> int:
        """What the window waits for: manifests (1), or the shares over the agreed set (2)."""
        return MANIFESTS if self.agreed is None else SHARES

    def waited_for(self, parties: int) -> tuple[int, ...]:
        """Of so many parties, those whose manifests, or whose shares over the agreed set, are not there."""
        if self.agreed is None:
            return tuple(party for party in range(parties) if party not in self.manifests)
        return tuple(party for party in self.agreed.parties if party not in self.shares)

    def contradicted(self, party: int) -> bool:
        """Tell whether this party has signed a share over another set than the agreed one.

        Then its logs are not what they were, or its key is in two places: it must not sign a second set, since the
        difference of two released sets shows what is in one of them only.
        """
        digest = self.agreed.digest if self.agreed else None
        return bool(self.signed.get(party, set()) - {digest})

    def forget_contents(self) -> None:
        """Keep the decision and drop what led to it: all that matters of a window that has ended."""
        for held in (self.manifests, self.shares, self.signed):
            held.clear()


@dataclass(slots=True)
class _Claim:
    """The highest floor that a party has claimed, and where it last did so."""

    floor: int
    offset: int


class Agreement:
    """The fold. `first`: the first window that can exist; `verdict`: the part of the policy that needs no counts;
    `organisation`: gateway -> its organisation."""

    def __init__(
        self,
        *,
        rules: Rules,
        task_hash: bytes,
        roster_hash: bytes,
        first: int,
        verdict: Verdict,
        organisation: Mapping[str, str],
    ) -> None:
        self.rules = rules
        self.windows: dict[int, Ballot] = {}
        self.over = first
        """The quorum floor Q: windows that start before it have ended, or nobody spoke of them in time."""
        self._task_hash = task_hash
        self._roster_hash = roster_hash
        self._verdict = verdict
        self._organisation = organisation
        self._claims: dict[int, _Claim] = {}

    def fold(self, record: PartyRecord, *, offset: int, at: int) -> None:
        """Take the next record of a party. `at` is Kafka's time for it (ms), remembered with an outcome."""
        if isinstance(record, Manifest | AggregateShare) and record.floor > record.window:
            return  # nobody is through with a window of which it still speaks: no valid record says so
        ballot = self.windows.get(record.window)
        if ballot is None and record.window >= self.over:
            ballot = self.windows[record.window] = Ballot()
        if ballot is not None and ballot.terminal is None:
            self._vote(ballot, record, at)
        if isinstance(record, Manifest | AggregateShare):
            self._claim(record.party, record.floor, offset, at)

    def ballot(self, window: int) -> Ballot | None:
        """What is known of a window; None where nobody has spoken of it, or it was forgotten."""
        return self.windows.get(window)

    def forget_below(self, window: int) -> None:
        """Drop every window that starts before `window`, which must be at most Q, or have ended for the caller."""
        for start in [start for start in self.windows if start < window]:
            del self.windows[start]

    def pin(self) -> int | None:
        """The lowest offset whose record is needed to learn Q again: commit nothing behind it.

        These are the latest claims of as many parties as make Q, and of all parties that have claimed more: with them,
        whoever starts to read there moves Q at the same places of the log as who has read all of it. None: Q has not
        moved yet, and all is needed.
        """
        if len(self._claims) < self.rules.floor_by:
            return None
        ahead = [claim.offset for claim in self._claims.values() if claim.floor > self.over]
        at_it = sorted((claim.offset for claim in self._claims.values() if claim.floor == self.over), reverse=True)
        needed = ahead + at_it[: max(0, self.rules.floor_by - len(ahead))]
        return min(needed) if len(needed) >= self.rules.floor_by else None

    def _vote(self, ballot: Ballot, record: PartyRecord, at: int) -> None:
        rules = self.rules
        match record:
            case Manifest():
                if ballot.agreed is None:
                    ballot.manifests.setdefault(record.party, record)
                    if len(ballot.manifests) == rules.parties:
                        self._decide(ballot, record.window, at)
            case AggregateShare():
                self._take_share(ballot, record, at)
            case Close():
                self._close(ballot, record, at)
            case GiveUp():
                gone = ballot.given_up[ballot.phase]
                gone.add(record.party)
                if len(gone) >= rules.give_up_by:
                    self._give_up(ballot, record.window, at)

    def _take_share(self, ballot: Ballot, share: AggregateShare, at: int) -> None:
        signed = ballot.signed.setdefault(share.party, set())
        if len(signed) < 2:  # two different ones are contradiction enough
            signed.add(share.digest)
        if ballot.agreed is None or share.digest != ballot.agreed.digest or share.party in ballot.shares:
            return
        ballot.shares[share.party] = share
        if len(ballot.shares) >= self.rules.enough and ballot.shares.keys() >= set(ballot.agreed.parties):
            self._reveal(ballot, at)

    def _close(self, ballot: Ballot, close: Close, at: int) -> None:
        """Count a close only for the phase that it names, and only behind enough records of that phase."""
        if self.rules.close_by is None or close.phase != ballot.phase:
            return
        there = ballot.manifests if ballot.agreed is None else ballot.shares
        if len(there) < self.rules.enough:
            return
        closed = ballot.closed[close.phase]
        closed.add(close.party)
        if len(closed) >= self.rules.close_by:
            if ballot.agreed is None:
                self._decide(ballot, close.window, at)
            else:
                self._reveal(ballot, at)

    def _give_up(self, ballot: Ballot, window: int, at: int) -> None:
        there: Iterable[int] = ballot.manifests if ballot.agreed is None else ballot.shares
        if len(set(there)) < self.rules.enough:
            missing = tuple(sorted(set(range(self.rules.parties)) - set(there)))
            ballot.terminal = Terminal(outcome="suppressed", reason="party_missing", at_fault=missing, at=at)
        elif ballot.agreed is None:
            self._decide(ballot, window, at)
        else:
            self._reveal(ballot, at)

    def _decide(self, ballot: Ballot, window: int, at: int) -> None:
        choice = choose(ballot.manifests, enough=self.rules.enough, organisation=self._organisation)
        digest = set_digest(
            task_hash=self._task_hash,
            roster_hash=self._roster_hash,
            window=window,
            entries=choice.entries,
            parties=choice.parties,
        )
        seals = sorted(ballot.manifests[party].last_seal for party in choice.parties)
        ballot.agreed = Agreed(
            entries=choice.entries,
            parties=choice.parties,
            digest=digest,
            last_seal=seals[len(seals) // 2],  # the middle one: one party alone cannot say any number it likes
            lacking=choice.lacking,
            refusing=choice.refusing,
        )
        reason = self._verdict(entry.gateway for entry in choice.entries)
        if reason is not None:
            ballot.terminal = Terminal(outcome="suppressed", reason=reason, at=at)

    @staticmethod
    def _reveal(ballot: Ballot, at: int) -> None:
        ballot.terminal = Terminal(outcome="point", parties=tuple(sorted(ballot.shares)), at=at)

    def _claim(self, party: int, floor: int, offset: int, at: int) -> None:
        claim = self._claims.get(party)
        if claim is not None and floor <= claim.floor:
            if floor == claim.floor:
                claim.offset = offset  # where it stands, and no window ends by it
            return
        self._claims[party] = _Claim(floor, offset)
        floors = sorted((known.floor for known in self._claims.values()), reverse=True)
        if len(floors) < self.rules.floor_by:
            return
        self.over = max(self.over, floors[self.rules.floor_by - 1])
        for start, ballot in self.windows.items():
            if start < self.over and ballot.terminal is None:
                # Whoever reads from the pin on knows the same claims above a window that is not over.
                through = tuple(sorted(party for party, known in self._claims.items() if known.floor > start))
                ballot.terminal = Terminal(outcome="suppressed", reason="window_over", at_fault=through, at=at)
