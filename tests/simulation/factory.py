"""The one place that knows the constructors of the code under test, and what stands in for keys."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ingest.commit import Kept
from ingest.gateway import Gateway
from ingest.shard import Outgoing, Rows, SegmentKey, SegmentState, Sharder
from ingest.windows import WindowBook, WindowRules
from protocol.batch import Core, Epoch, Place, SealCore, ShareRecord, _statement, decode_record
from protocol.body import SealNotes
from protocol.contribution import Contribution
from protocol.errors import WireError
from protocol.keys import KeyFile
from protocol.topics import Topics
from streams.collector import Collector
from streams.joint.desk import JointDesk
from streams.joint.keys import PartyKeys, RunPlace
from streams.joint.plan import plans_of
from streams.leaf import Leaf
from streams.root import Root
from tests.simulation.setting import Setting
from tests.trial import HOUR

Shared = tuple[str, int, tuple[int, ...]]
"""A contribution's gateway, window and readings."""


class Ledger:
    """What gateways have shared: the oracle's knowledge of what a contribution must add up to."""

    def __init__(self) -> None:
        self.batches: dict[bytes, tuple[int, ...]] = {}
        """Hash of a core -> its readings."""
        self.contributions: dict[bytes, Shared] = {}
        """By id."""

    def sealed(self, name: str, window: int, contribution: bytes, cores: bytes, *, cold: bool) -> None:
        """Remember a seal over batches."""
        if not cold:
            each = (self.batches[cores[place : place + 32]] for place in range(0, len(cores), 32))
            self.contributions[contribution] = (name, window, tuple(value for one in each for value in one))


class Stamp:
    """Stands in for a private key: a signature is a keyed hash, under a key that everybody knows."""

    def __init__(self, identity: Any) -> None:
        self._public = identity.public_key()
        self._key = self._public.public_bytes_raw()

    def public_key(self) -> Any:
        return self._public

    def sign(self, statement: bytes) -> bytes:
        return hashlib.blake2b(statement, key=self._key).digest()


class OpenCard:
    """Stands in for a party's card: nothing is sealed to it."""

    def __init__(self, key_id: bytes) -> None:
        self.key_id = key_id

    def public_key(self) -> None:
        """There is none."""


class Openly:
    """Stands in for a party's keys: an encapsulation holds its secret in clear."""

    def verify(self, record: ShareRecord, identity: bytes) -> None:
        statement = _statement(record.header, record.ciphertext)
        if record.signature != hashlib.blake2b(statement, key=identity).digest():
            raise WireError("wrong_signature")

    def segment_key(self, encapsulation: bytes, info: bytes) -> bytes:
        del info
        return encapsulation


class OpenKeys(PartyKeys):
    """A party's contributions to the keys of a joint computation, in clear."""

    def seal(self, place: RunPlace, peer: int) -> bytes:
        return self.contribution(place, peer)

    def open(self, place: RunPlace, peer: int, sealed: bytes) -> bytes:
        del place, peer
        return sealed


class OpenSharder(Sharder):
    """The production sharder without public keys, and without chance: equal rows give equal records."""

    def __init__(self, setting: Setting, name: str, epoch: Epoch, ledger: Ledger) -> None:
        trial = setting.trial
        super().__init__(
            task=trial.task,
            roster=trial.roster,
            key=_stamped(setting, name),
            cards=_cards(setting),
            entropy=bytes,
            epoch=epoch,
        )
        self._memo = setting.sealed
        self._id = (name, epoch)
        self._ledger = ledger
        self._cores = setting.cores

    def encapsulate(self, place: Place, party: int, secret: bytes) -> SegmentKey:
        del place, party
        return SegmentKey(secret, secret)

    def batch(self, *, window: int, rows: Rows, sequence: int) -> tuple[list[Outgoing], bytes]:
        key = (self._id, window, sequence, rows.units.tobytes())
        found: tuple[list[Outgoing], bytes] | None = self._memo.get(key)  # type: ignore[assignment]  # by its key
        if found is None:
            found = self._memo[key] = super().batch(window=window, rows=rows, sequence=sequence)
            self._known(found[0])
        self._ledger.batches[found[1]] = tuple(rows.units.tolist())
        return found

    def seal(
        self,
        *,
        window: int,
        segments: Sequence[SegmentState],
        sealed_at: int,
        notes: SealNotes | None = None,
        cold: bool = False,
    ) -> list[Outgoing]:
        sealed_at = window + HOUR  # nothing decides by it, so schedules need not differ in it
        key = (
            self._id,
            window,
            tuple((state.epoch, state.batches, state.cores) for state in segments),
            notes,
            cold,
        )
        found: Any = self._memo.get(key)
        if found is None:
            outgoing = super().seal(window=window, segments=segments, sealed_at=sealed_at, notes=notes, cold=cold)
            core = self._known(outgoing)
            assert isinstance(core, SealCore)
            found = self._memo[key] = outgoing, core.contribution
        self._ledger.sealed(self._id[0], window, found[1], b"".join(state.cores for state in segments), cold=cold)
        return list(found[0])

    def _known(self, outgoing: list[Outgoing]) -> Core:
        """Remember the core, which is the same in the records of all parties."""
        core = decode_record(outgoing[0].value).core
        self._cores.update((out.value, core) for out in outgoing)
        return core


def _cards(setting: Setting) -> Any:
    cards: Any = setting.opened.get("cards")
    if cards is None:
        parties = setting.trial.task.party_names
        cards = setting.opened["cards"] = {name: OpenCard(setting.trial.cards[name].key_id) for name in parties}
    return cards


def _stamped(setting: Setting, name: str) -> KeyFile:
    key = setting.opened.get(name)
    if not isinstance(key, KeyFile):
        real = setting.trial.keys[name]
        key = setting.opened[name] = replace(real, identity=Stamp(real.identity))  # type: ignore[arg-type]  # stands in
    return key


class Leafs:
    """The leafs of all parties. A leaf is a pure map, so what it has once answered is remembered."""

    def __init__(self, setting: Setting) -> None:
        trial = setting.trial
        topics = Topics.of(trial.task)
        self._memo: dict[tuple[int, bytes, int], tuple[int, Contribution] | None] = {}
        self._leafs = [
            Leaf(task=trial.task, roster=trial.roster, key=trial.keys[name], topics=topics, opening=Openly())
            for name in trial.task.party_names
        ]

    def read(self, party: int, value: bytes, partition: int) -> tuple[int, Contribution] | None:
        """Return window and contribution of a record, None where it is refused."""
        key = (party, value, partition)
        if key not in self._memo:
            try:
                place, contribution, _ = self._leafs[party].read(value, partition=partition)
                self._memo[key] = (place.window, contribution)
            except WireError:
                self._memo[key] = None
        return self._memo[key]


def leafs_of(setting: Setting) -> Leafs:
    """Return the leafs of a setting, the same ones each time."""
    found = setting.opened.get("leafs")
    if not isinstance(found, Leafs):
        found = setting.opened["leafs"] = Leafs(setting)
    return found


def gateway_of(
    cls: type[Gateway], setting: Setting, name: str, *, epoch: Epoch, kept: Kept, now: int, sharder: OpenSharder
) -> Gateway:
    """Start a gateway over what its disk kept."""
    draws = 0

    def entropy(size: int) -> bytes:
        nonlocal draws
        draws += 1
        return hashlib.blake2b(epoch.nonce + draws.to_bytes(4, "little"), digest_size=size).digest()

    return cls(
        decoders=setting.decoders,
        cells=setting.cells,
        book=_book(setting, kept, now),
        batch=setting.batch,
        max_payload=1 << 20,
        max_rows=setting.trial.task.limits.max_rows,
        sharder=sharder,
        epoch=epoch,
        kept=kept,
        secret=setting.trial.keys[name].storage,
        entropy=entropy,
    )


def _book(setting: Setting, kept: Kept, now: int) -> WindowBook:
    task, clock = setting.trial.task, setting.file.clock
    rules = WindowRules(
        size=task.window.size,
        utc_offset=task.window.utc_offset,
        lateness=task.window.lateness,
        first=task.valid_from,
        last=task.valid_until,
        seals_by=clock.seals_by,
        max_ahead=clock.max_ahead,
        idle_after=clock.idle_after,
    )
    if kept.cold:
        return WindowBook.fresh(rules, now)
    return WindowBook.restored(
        rules, now, following=kept.following, contributes_from=kept.contributes_from, windows=set(kept.windows)
    )


def root_of(cls: type[Root], setting: Setting, *, party: int, partition: int, seal_share: Any, **starts: Any) -> Root:
    """Start a root."""
    trial = setting.trial
    if plans := plans_of(trial.task, trial.roster, {}):
        keys = OpenKeys(
            key=trial.keys[trial.task.party_names[party]], cards=list(_cards(setting).values()), party=party
        )
        starts["joint"] = JointDesk(
            plans=plans,
            keys=keys,
            task_hash=trial.task.hash,
            roster_hash=trial.roster.hash,
            told=lambda *_: None,
            no_room=lambda _: None,
        )
    return cls(
        task=trial.task,
        roster=trial.roster,
        party=party,
        partition=partition,
        seal_share=seal_share,
        **starts,
    )


def collector_of(cls: type[Collector], setting: Setting, *, partition: int, first: int, end: int) -> Collector:
    """Start a collector."""
    return cls(
        task=setting.trial.task,
        roster=setting.trial.roster,
        partition=partition,
        plans=plans_of(setting.trial.task, setting.trial.roster, {}),
        open_share=lambda share: share.sealed,
        publish=lambda aggregate: repr(aggregate).encode(),
        first=first,
        end=end,
    )
