"""Bugs that are put in on purpose: each is one change to the code under test, and the simulator has to find it.

A bug names the kinds of schedules in which it is looked for, and how many of them must be enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ingest.commit import Commit, Kept
from ingest.gateway import Gateway
from protocol.control import Manifest
from streams.agreement import Agreement, Ballot
from streams.collector import Collector
from streams.deadlines import Deadlines
from streams.joint.keys import RunPlace
from streams.opening import Opening
from streams.reading import Reading
from streams.root import Root
from tests.simulation.device import Device
from tests.simulation.factory import OpenKeys
from tests.simulation.party import LeafWorker, RootWorker
from tests.simulation.world import Parts


@dataclass(frozen=True, kw_only=True)
class Bug:
    """`kinds`: where it shows; `within`: so many schedules of them find it."""

    parts: Parts
    kinds: tuple[str, ...]
    within: int = 600


# -- the gateway ----------------------------------------------------------------------------------------------


class AcknowledgesFirst(Device):
    """Tells the broker before the commit is durable."""

    _late: Commit | None = None

    def store(self, *, hold: bool = False, flush: bool = True) -> bool:
        if self.gateway is None:
            return False
        self._write()
        self._late = self.gateway.tick(self.now, hold=hold, flush=flush)
        if self._late is not None:
            self._tell([*self._late.acks])
        return self._late is not None

    def acknowledge(self) -> bool:
        return self._write()

    def _write(self) -> bool:
        if self._late is None or self.gateway is None:
            return False
        self.disk.commit(self._late, epoch=self._epoch)
        self._late = None
        return True

    def die(self) -> bool:
        self._late = None
        return super().die()


class ForgetsNumbers(Gateway):
    """Begins its open windows anew after a restart: the batches of the former start are in no seal."""

    def __init__(self, *, kept: Kept, **others: Any) -> None:
        windows = {window: replace(found, segments=()) for window, found in kept.windows.items()}
        super().__init__(kept=replace(kept, windows=windows), **others)


class ForgetsFingerprints(Gateway):
    """Does not recognise after a restart what it had before."""

    def __init__(self, *, kept: Kept, **others: Any) -> None:
        windows = {window: replace(found, fingerprints=b"") for window, found in kept.windows.items()}
        super().__init__(kept=replace(kept, windows=windows), **others)


class ForgetsReceipts(Gateway):
    """Likewise for messages whose readings have no time."""

    def __init__(self, *, kept: Kept, **others: Any) -> None:
        super().__init__(kept=replace(kept, receipts={}), **others)


class SendsTheNewestFirst(Device):
    """Sends what is new before what an interruption has left over."""

    def publish(self, party: int, partition: int, times: int = 1) -> bool:
        self.disk.outgoing.reverse()
        try:
            return super().publish(party, partition, times)
        finally:
            self.disk.outgoing.reverse()


class DeletesBeforeConfirmation(Device):
    """Forgets a record when it was handed to the producer; then the connection breaks."""

    def reconnect(self) -> bool:
        name = self.world.party_names[-1]
        for place, stored in enumerate(self.disk.outgoing):
            if stored.out.party == name and stored.id not in self._sent:
                del self.disk.outgoing[place]
                return True
        return False


# -- the agreement --------------------------------------------------------------------------------------------


class _Fold(Root):
    """A root with another fold of the control log."""

    fold: type[Agreement] = Agreement

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.agreement.__class__ = self.fold


class _CollectorFold(Collector):
    fold: type[Agreement] = Agreement

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.agreement.__class__ = self.fold


def _everywhere(fold: type[Agreement]) -> Parts:
    """The same wrong fold at every root and at the collector."""
    return Parts(
        root=type(f"Root{fold.__name__}", (_Fold,), {"fold": fold}),
        collector=type(f"Collector{fold.__name__}", (_CollectorFold,), {"fold": fold}),
    )


class Union(Agreement):
    """Takes what any party holds."""

    def _decide(self, ballot: Ballot, window: int, at: int) -> None:
        every = {one.gateway: one for manifest in ballot.manifests.values() for one in manifest.entries}
        entries = tuple(sorted(every.values()))
        manifests = dict(ballot.manifests)
        ballot.manifests = {party: replace(said, entries=entries) for party, said in manifests.items()}
        super()._decide(ballot, window, at)
        ballot.manifests = manifests


class LastManifest(Agreement):
    """Lets a party replace its manifest."""

    def _vote(self, ballot: Ballot, record: Any, at: int) -> None:
        if isinstance(record, Manifest) and ballot.agreed is None:
            ballot.manifests.pop(record.party, None)
        super()._vote(ballot, record, at)


class OneClose(Agreement):
    """Ends the wait for a silent party as soon as one party says so."""

    def _vote(self, ballot: Ballot, record: Any, at: int) -> None:
        if self.rules.close_by is not None:
            self.rules = replace(self.rules, close_by=1)
        super()._vote(ballot, record, at)


# -- the root -------------------------------------------------------------------------------------------------


class AsksNoLeaf(Reading):
    """Does not ask how far the leafs have read."""

    def leafs_reached(self, goal: Mapping[int, int]) -> bool:
        del goal
        return True


class ByItsClock(Root):
    """Closes a window by its clock alone."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.reading.__class__ = AsksNoLeaf


class OpensAll(Opening):
    """Opens whatever it hears of."""

    def hear(self, window: int, now: int) -> None:
        del now
        self._known = max(self._known, window)


class WaitsForNoEnd(Deadlines):
    """Lets the deadline run before the window has ended."""

    def after(self, window: int, since: int) -> int:
        del window
        return max(since, self._calm or since) + self._task.window.deadline


class EagerDeadline(Root):
    """Both: a batch from the future starts a deadline."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.opening.__class__ = OpensAll
        self.deadlines.__class__ = WaitsForNoEnd


class NoticesNoOutage(Root):
    """Lets deadlines run while Kafka is away."""

    def tick(self, now: int, *, connected: bool, caught_up: bool, **others: Any) -> Any:
        del connected, caught_up
        return super().tick(now, connected=True, caught_up=True, **others)


class OwnFloor(Root):
    """Commits what is below its own floor, not the quorum's."""

    def committable(self) -> dict[str, int]:
        if not self.live:
            return {}
        floor, reading = self.floor(), self.reading
        return {
            name: min((at for window, at in reading._needed[name].items() if window >= floor), default=place)
            for name, place in reading._place.items()
        }


class NotCaughtUp(Root):
    """Speaks before it has read what the log held at its start."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**{**arguments, "control_end": 0})


# -- the workers ----------------------------------------------------------------------------------------------


class KeepsState(RootWorker):
    """Keeps its root over a rebalance, with what it believes to have written."""

    def _make(self) -> Root:
        kept: dict[tuple[int, int], Root] = self.world.__dict__.setdefault("kept roots", {})
        root = kept.get((self.party, self.partition))
        if root is None:
            root = kept[self.party, self.partition] = super()._make()
        return root


class DrawsAgain(RootWorker):
    """Draws its part of the keys of a joint computation, each time that it starts."""

    def _make(self) -> Root:
        root = super()._make()
        desk = root.desk
        assert desk is not None
        starts = self.world.__dict__["starts"] = self.world.__dict__.get("starts", 0) + 1
        desk._keys = AnyKeys(key=desk._keys._key, cards=desk._keys._cards, party=self.party)
        desk._keys.salt = starts
        return root


class AnyKeys(OpenKeys):
    """Keys that are other ones each time."""

    salt = 0

    def contribution(self, place: RunPlace, peer: int) -> bytes:
        return blake2b(super().contribution(place, peer), salt=bytes([self.salt % 256]), digest_size=32).digest()


class ForgetsRounds(Root):
    """Commits what it has read of rounds."""

    def committable(self) -> dict[str, int]:
        places = super().committable()
        return {**places, "rounds": self.reading._place["rounds"]} if places else places


class RemembersSegments(LeafWorker):
    """A leaf that gathers a segment before it says anything, and commits what it has read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._gathered: list[tuple[int, Any]] = []

    def _deliver(self, window: int, contribution: Any) -> None:
        self._gathered.append((window, contribution))
        if not hasattr(contribution, "sequence"):
            for one in self._gathered:
                super()._deliver(*one)
            self._gathered.clear()


class Eager(Collector):
    """Commits what it has read."""

    def committable(self) -> int | None:
        return self._place if self.live else None


BUGS: Mapping[str, Bug] = {
    "acknowledged before the commit": Bug(parts=Parts(device=AcknowledgesFirst), kinds=("edge", "wall")),
    "sequence numbers forgotten at a restart": Bug(parts=Parts(gateway=ForgetsNumbers), kinds=("edge",)),
    "fingerprints forgotten at a restart": Bug(parts=Parts(gateway=ForgetsFingerprints), kinds=("edge",)),
    "receipts forgotten at a restart": Bug(parts=Parts(gateway=ForgetsReceipts), kinds=("untimed",)),
    "newest records sent first": Bug(parts=Parts(device=SendsTheNewestFirst), kinds=("edge",)),
    "records deleted before Kafka has them": Bug(
        parts=Parts(device=DeletesBeforeConfirmation), kinds=("edge", "whole")
    ),
    "union in place of intersection": Bug(parts=_everywhere(Union), kinds=("small", "liar")),
    "a second manifest replaces the first": Bug(parts=_everywhere(LastManifest), kinds=("liar",)),
    "one party's close is enough": Bug(parts=_everywhere(OneClose), kinds=("liar", "two-windows")),
    "window closed by the wall clock": Bug(parts=Parts(root=ByItsClock), kinds=("small", "two-windows")),
    "deadline started by a batch from the future": Bug(parts=Parts(root=EagerDeadline), kinds=("wall",)),
    "deadline runs while Kafka is away": Bug(parts=Parts(root=NoticesNoOutage), kinds=("small", "two-windows")),
    "committed behind one's own floor": Bug(parts=Parts(root=OwnFloor), kinds=("two-windows", "retention")),
    "spoken before the log was read": Bug(parts=Parts(root=NotCaughtUp), kinds=("small", "two-windows")),
    "state kept over a rebalance": Bug(parts=Parts(worker=KeepsState), kinds=("additive", "small")),
    "a leaf that keeps state": Bug(parts=Parts(leaf=RemembersSegments), kinds=("small",)),
    "the collector commits what it has read": Bug(parts=Parts(collector=Eager), kinds=("two-windows",)),
    "keys of a joint computation drawn at each start": Bug(parts=Parts(worker=DrawsAgain), kinds=("joint",)),
    "rounds committed before their window has ended": Bug(parts=Parts(root=ForgetsRounds), kinds=("joint",)),
    "control expired while shares are replayed": Bug(parts=Parts(retention=False), kinds=("retention",)),
}
