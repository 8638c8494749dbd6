"""What the log shows of a party that an honest one does not do. It decides nothing: the fold has its rules, and they
leave a party that lies without effect; this names it, so that people can ask.

Only what is certain is said. A restarted worker, or one that does not know yet that it was replaced, repeats what was
said before: that is no contradiction. Kafka's times are compared with a tenth to spare, since a party's clock may step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from protocol.control import AggregateShare, Close, GiveUp, Manifest
from protocol.task import Task
from streams.agreement import MANIFESTS, Agreement, Ballot, PartyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A party, what it did (`streams.findings`), in which window (start, ms), and which gateways it is about."""

    party: int
    kind: str
    window: int
    gateways: tuple[str, ...] = ()


@dataclass(slots=True)
class _Seen:
    """What stood in the log of one window: the first manifest of each party (hash, Kafka's time), the sets signed."""

    manifests: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    sets: dict[int, set[bytes]] = field(default_factory=dict)
    decided: int | None = None


class Conduct:
    """Reads along with one fold of the control log. `complete`: the log is read from its beginning."""

    def __init__(self, *, task: Task, complete: bool) -> None:
        self._task = task
        self._complete = complete
        self._from: int | None = None
        self._windows: dict[int, _Seen] = {}

    def before(self, record: PartyRecord, agreement: Agreement, *, at: int, live: bool) -> list[Finding]:
        """Look at a record that the fold is about to take. `at`: Kafka's time of it.

        `live`: the log was read to its end before. Until then the beginnings of windows that have long ended may be
        unknown, so that only contradictions in terms are found.
        """
        if live and self._from is None:
            cut = not self._complete and agreement.pin() is None
            self._from = max(agreement.windows, default=agreement.over - 1) + 1 if cut else agreement.over
        if isinstance(record, Manifest | AggregateShare) and record.floor > record.window:
            return [
                Finding(party=record.party, kind="wrong_floor", window=record.window)
            ]  # the fold takes no such record
        kinds: list[str] = []
        whole = live and self._from is not None and record.window >= max(self._from, agreement.over)
        seen = self._windows.setdefault(record.window, _Seen())
        ballot = agreement.ballot(record.window) or Ballot()
        match record:
            case Manifest():
                kinds += self._manifest(seen, record, at)
            case AggregateShare():
                kinds += self._share(seen, record, ballot, whole=whole)
            case Close():
                if whole and self._early(seen, record, agreement, at):
                    kinds.append("close_out_of_turn")
            case GiveUp():
                due = self._task.window_end(record.window) + self._task.window.give_up_after * 9 // 10
                if whole and at < due:
                    kinds.append("give_up_out_of_turn")
        if isinstance(record, Manifest | AggregateShare) and live and self._passes_open(record.floor, agreement):
            kinds.append("floor_too_high")
        return [Finding(party=record.party, kind=kind, window=record.window) for kind in kinds]

    def after(self, window: int, agreement: Agreement, *, at: int, live: bool) -> list[Finding]:
        """Look at what the fold has made of the record."""
        for start in [start for start in self._windows if start < agreement.over]:
            del self._windows[start]
        ballot, seen = agreement.ballot(window), self._windows.get(window)
        if ballot is None or ballot.agreed is None or seen is None or seen.decided is not None:
            return []
        seen.decided = at
        if not live:
            return []
        agreed = ballot.agreed
        return [
            Finding(party=party, kind=kind, window=window, gateways=tuple(name for by, name in pairs if by == party))
            for kind, pairs in (("lacks_gateways", agreed.lacking), ("refuses_gateways", agreed.refusing))
            for party in sorted({by for by, _ in pairs})
        ]

    @staticmethod
    def _manifest(seen: _Seen, manifest: Manifest, at: int) -> list[str]:
        """Floor and time may differ when a worker speaks again: what it holds may not."""
        content = sha256(repr((manifest.entries, manifest.faults)).encode()).digest()
        first, _ = seen.manifests.setdefault(manifest.party, (content, at))
        return [] if first == content else ["two_manifests"]

    @staticmethod
    def _share(seen: _Seen, share: AggregateShare, ballot: Ballot, *, whole: bool) -> list[str]:
        signed = seen.sets.setdefault(share.party, set())
        kinds = ["two_sets"] if signed - {share.digest} else []
        if len(signed) < 2:
            signed.add(share.digest)
        if whole and (ballot.agreed is None or ballot.agreed.digest != share.digest):
            kinds.append("other_set")
        return kinds

    def _early(self, seen: _Seen, close: Close, agreement: Agreement, at: int) -> bool:
        """Whether nobody could have waited for a whole deadline here, or had nothing to close at all."""
        rules = agreement.rules
        if rules.close_by is None:
            return True
        if close.phase == MANIFESTS:
            since = seen.manifests[close.party][1] if close.party in seen.manifests else None
            there = len(seen.manifests)
        else:
            since = seen.decided
            there = len(seen.sets)
        waited = self._task.window.deadline * 9 // 10
        return since is None or there < rules.enough or at < since + waited

    def _passes_open(self, floor: int, agreement: Agreement) -> bool:
        begin = max(agreement.over, self._from if self._from is not None else floor)
        return any(begin <= start < floor and known.terminal is None for start, known in agreement.windows.items())
