"""What must hold, told at the step at which it breaks. Mostly from outside: the plain sums of what gateways shared, the
logs, and what was acknowledged; the one fold of the control log here is by somebody who never restarts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from protocol.batch import BatchCore, Core, SealCore
from protocol.control import AggregateShare, GiveUp, Manifest, Outcome
from protocol.rounds import Keys, RoundsRecord, encode
from streams.collector import Published
from streams.policy import agreement_of
from tests.simulation.factory import Stamp
from tests.simulation.liar import Liar
from tests.simulation.setting import GIVE_UP, LIMIT
from tests.trial import HOUR

if TYPE_CHECKING:
    from streams.agreement import Agreed
    from tests.simulation.party import RootWorker
    from tests.simulation.world import World


class Violation(AssertionError):  # noqa: N818 - what it is
    """What must never happen has happened."""


class Oracle:
    """Watches one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.liar = Liar(world)
        self.acknowledged: set[tuple[str, int]] = set()
        self.refused: set[tuple[str, int]] = set()
        self.manifests: dict[int, dict[int, Manifest]] = defaultdict(dict)
        self._said_at: dict[tuple[int, int], int] = {}
        self._decided: dict[int, bytes] = {}
        self._released: dict[int, dict[bytes, set[int]]] = defaultdict(lambda: defaultdict(set))
        self._said: dict[tuple[int, int, int | None], bytes] = {}
        self.aggregates: dict[int, Published] = {}
        self._outcomes: set[int] = set()

    def _name(self, window: int) -> str:
        return f"window {self.world.setting.number(window)}"

    # -- while it runs ----------------------------------------------------------------------------------------

    def controlled(self, partition: int, record: Any) -> None:
        """A party's record is in control."""
        if isinstance(record, Manifest):
            if self.manifests[record.window].setdefault(record.party, record) is record:
                self._said_at[record.window, record.party] = len(self.world.control[partition].records) - 1
        elif isinstance(record, AggregateShare):
            sets = self._released[record.window]
            sets[record.digest].add(record.party)
            if len(sets) == 1:
                return
            enough = self.world.setting.scheme.enough
            if sum(len(parties) >= enough for parties in sets.values()) > 1:
                raise Violation(f"two reveals of {self._name(record.window)}")
            if record.party != self.world.kind.liar and sum(record.party in parties for parties in sets.values()) > 1:
                raise Violation(f"party {record.party} releases two sets of {self._name(record.window)}")

    def said(self, record: RoundsRecord) -> bytes:
        """A party speaks in a joint computation: what it has said once in a round is all that it ever says there."""
        trial = self.world.setting.trial
        stamp: Any = Stamp(trial.keys[self.world.party_names[record.party]].identity)
        raw = encode(record, task=trial.task, roster=trial.roster, identity=stamp)
        place = (record.window, record.party, None if isinstance(record, Keys) else record.number)
        if self._said.setdefault(place, raw) != raw:
            raise Violation(f"party {record.party} says two things in round {place[2]} of {self._name(record.window)}")
        return raw

    def outcome(self, record: Outcome) -> None:
        """The collector says that an aggregate is there."""
        if record.window not in self.aggregates:
            raise Violation(f"an outcome of {self._name(record.window)} without an aggregate")
        self._outcomes.add(record.window)

    def published(self, record: Published) -> None:
        """An aggregate is in its topic."""
        known = self.aggregates.setdefault(record.window, record)
        if known.value != record.value:
            raise Violation(f"two outcomes of {self._name(record.window)}: {known.aggregate} and {record.aggregate}")

    def decided(self, party: int, partition: int, window: int, agreed: Agreed) -> None:
        """A root knows the agreed set of a window."""
        del partition
        if self._decided.setdefault(window, agreed.digest) != agreed.digest:
            raise Violation(f"party {party} decides {self._name(window)} otherwise than another did")

    def manifest(self, worker: RootWorker, manifest: Manifest) -> None:
        """An honest party writes a manifest: what it leaves out it must have waited for, and must not have had."""
        world, window = self.world, manifest.window
        said_at = self._said_at.get((window, manifest.party), -1)
        if worker.began_at[0] <= said_at < worker.began_at[1]:
            raise Violation(f"party {manifest.party} speaks again of {self._name(window)}: the log held its manifest")
        spoken = {one.gateway for one in manifest.entries} | {one.gateway for one in manifest.faults}
        for fault in manifest.faults:
            if fault.gateway not in world.damaged:
                raise Violation(
                    f"party {manifest.party} blames {fault.gateway} in {self._name(window)}: {fault.reason}"
                )
        for name in world.setting.names:
            if name in spoken:
                continue
            records = self._records(worker.party, name, window, None)
            if any(isinstance(core, SealCore) and core.cold for core in records):
                continue
            goal = worker.goals.get(window)
            if goal is None:
                raise Violation(
                    f"party {manifest.party} goes on without {name} in {self._name(window)} before its deadline"
                )
            end = goal[world.setting.lane[name, window]]
            if self._whole(self._records(worker.party, name, window, end)):
                raise Violation(
                    f"party {manifest.party} leaves {name} out of {self._name(window)} although all of it was there"
                )

    def gives_up(self, worker: RootWorker, record: GiveUp) -> None:
        """An honest party gives up: it has waited as long as is configured, by its clock."""
        if worker.now < record.window + HOUR + GIVE_UP:
            raise Violation(f"party {record.party} gives {self._name(record.window)} up too early")

    def _records(self, party: int, name: str, window: int, end: int | None) -> list[Core]:
        found: list[Core] = []
        cores = self.world.setting.cores
        for value in self.world.shares[party][self.world.setting.lane[name, window]].records[:end]:
            core = cores.get(value)
            if core is not None and core.place.gateway == name and core.place.window == window:
                found.append(core)
        return found

    @staticmethod
    def _whole(records: list[Core]) -> bool:
        seals = {core.contribution: core for core in records if isinstance(core, SealCore)}
        if len(seals) != 1:
            return False
        (seal,) = seals.values()
        there = {(core.place.epoch, core.sequence) for core in records if isinstance(core, BatchCore)}
        named = {(segment.epoch, number) for segment in seal.segments for number in range(segment.batches)}
        return there == named and not seal.cold

    def root_commits(self, worker: RootWorker, topic: str, before: int, offset: int) -> None:
        """Only what lies below the quorum floor may go, and what shows where that floor is must stay."""
        world, partition = self.world, worker.partition
        fold = world.folds[partition]
        before = max(before, world.control[partition].first) if topic == "control" else before
        if topic == "contributions":
            windows = [entry[0] for entry in world.contributions[worker.party][partition].records[before:offset]]
        elif topic == "rounds":
            # What has ended in the log needs no rounds, whoever starts again.
            spoken = {entry[0].window for entry in world.rounds[partition].records[before:offset]}
            ended = {window for window, ballot in fold.windows.items() if ballot.terminal is not None}
            windows = sorted(spoken - ended)
        else:
            records = world.control[partition].records
            windows = [
                entry[0].window
                for entry in records[before:offset]
                if entry[0] is not None and not isinstance(entry[0], Outcome)
            ]
            again = agreement_of(world.setting.trial.task, world.setting.trial.roster, first=world.setting.windows[0])
            for place in range(offset, len(records)):
                record = records[place][0]
                if record is not None and not isinstance(record, Outcome):
                    again.fold(record, offset=place, at=0)
            if again.over != fold.over:
                raise Violation(f"party {worker.party} commits what shows the quorum floor")
        for window in windows:
            if window >= fold.over:
                raise Violation(f"party {worker.party} commits {topic} that {self._name(window)} needs")

    def collector_commits(self, partition: int, before: int, offset: int) -> None:
        """Only what belongs to windows that have their outcome in the log."""
        for record, _ in self.world.control[partition].records[before:offset]:
            if record is not None and record.window not in self._outcomes:
                raise Violation(f"the collector commits what {self._name(record.window)} needs")

    # -- at the end -------------------------------------------------------------------------------------------

    def open_windows(self) -> list[int]:
        """Windows that are due and have no aggregate."""
        return [window for window in self.world.setting.windows if window not in self.aggregates and self._due(window)]

    def _due(self, window: int) -> bool:
        """A window is due when it, or a later one, was heard of; or by the clock, while the task lasts and for as long
        as a party waits at most: a task whose time has long passed is a replay."""
        world = self.world
        if world.time < world.setting.trial.task.valid_until + GIVE_UP:
            return True
        place, cores = world.setting.place, world.setting.cores
        return any(
            core is not None and core.place.window >= window and place[core.place.window] == place[window]
            for lanes in world.shares
            for lane in lanes
            for core in map(cores.get, lane.records)
        )

    def waits(self) -> None:
        """Deadlines have passed, again and again, and only giving up is left."""
        world = self.world
        if sum(world.up) >= world.folds[0].rules.enough:
            raise Violation(f"{self._names(self.open_windows())} does not end although enough parties are there")

    def _names(self, windows: list[int]) -> str:
        return ", ".join(map(self._name, windows))

    def check(self) -> None:
        """Everything has ended, and rightly."""
        if self.open_windows():
            raise Violation(f"no outcome of {self._names(self.open_windows())}")
        self.check_gateways()
        for window in self.aggregates:
            self._check_window(window)
        for party, lanes in enumerate(self.world.root):
            for worker, _ in lanes:
                if worker is not None and worker.root.status(worker.now)["windows"]:
                    raise Violation(f"party {party} still waits: {worker.root.status(worker.now)}")

    def check_gateways(self) -> None:
        """What gateways at work have shared; that of histories was checked when they were made."""
        if self.world.devices:
            self._check_lanes()
            self._check_readings()

    def _check_lanes(self) -> None:
        """Each epoch's batches have numbers without holes, in order, and its seal comes after them."""
        cores = self.world.setting.cores
        for party, lanes in enumerate(self.world.shares):
            for lane in lanes:
                following: Counter[tuple[object, int]] = Counter()
                for value in lane.records:
                    core = cores.get(value)
                    if isinstance(core, BatchCore):
                        key = (core.place.epoch, core.place.window)
                        if core.sequence > following[key]:
                            raise Violation(
                                f"{core.place.gateway}'s batch {core.sequence} reaches party {party} before "
                                f"batch {following[key]} of {self._name(core.place.window)}"
                            )
                        following[key] = max(following[key], core.sequence + 1)

    def _check_readings(self) -> None:
        """What was acknowledged is shared, once, or was refused and counted."""
        counted: Counter[tuple[str, int | None, int]] = Counter()
        timed = self.world.kind.timed
        contributions: dict[tuple[str, int], bytes] = {}
        for identity, (name, window, values) in self.world.ledger.contributions.items():
            if name not in self.world.damaged and contributions.setdefault((name, window), identity) != identity:
                raise Violation(f"{name} seals {self._name(window)} twice")
            for value, times in Counter(values).items():
                counted[name, window if timed else None, value] += times
        for name in self.world.setting.names:
            for reading in self.world.setting.readings[name]:
                times = counted[name, reading.window, reading.value]
                key = (name, reading.number)
                if name in self.world.damaged:
                    continue
                if times > 1:
                    raise Violation(f"{reading} is counted {times} times")
                if not times and key in self.acknowledged and key not in self.refused:
                    raise Violation(f"{reading} was acknowledged and is lost")

    def _check_window(self, window: int) -> None:
        world, setting = self.world, self.world.setting
        aggregate = self.aggregates[window].aggregate
        (cell,) = aggregate.cells
        ballot = world.folds[setting.place[window]].ballot(window)
        terminal = ballot.terminal if ballot else None
        agreed = ballot.agreed if ballot else None
        lies = world.lies and setting.kind.liar is not None
        if window in self._decided and (agreed is None or agreed.digest != self._decided[window]):
            raise Violation(f"{self._name(window)} was decided otherwise than the log says")
        if cell.outcome == "suppressed" and (terminal is None or terminal.outcome == "suppressed"):
            reason = terminal.reason if terminal else "window_over"
            if cell.reason != reason:
                raise Violation(f"{self._name(window)}: {cell.reason}, the log says {reason}")
            return
        if ballot is None or agreed is None or terminal is None or terminal.outcome != "point":
            raise Violation(f"{self._name(window)} is revealed, the log says {terminal}")
        entries = {entry.gateway: entry.contribution for entry in agreed.entries}
        if set(entries) != {one.gateway for one in aggregate.contributors}:
            raise Violation(f"{self._name(window)} names others than the agreed contributors")
        for party in set(terminal.parties) & set(agreed.parties):
            signed = {(one.gateway, one.contribution) for one in self.manifests[window][party].entries}
            if not signed >= set(entries.items()):
                raise Violation(f"{self._name(window)} counts what party {party} never held")
        said = [set(manifest.entries) for manifest in self.manifests[window].values()]
        for entry in set.intersection(*said) - set(agreed.entries):
            raise Violation(f"{self._name(window)} goes without {entry.gateway}, which all parties held")
        values = [value for identity in entries.values() for value in world.ledger.contributions[identity][2]]
        self._check_point(window, aggregate, cell, values, lies=lies)

    def _check_point(self, window: int, aggregate: Any, cell: Any, values: list[int], *, lies: bool) -> None:
        world = self.world
        liar_counts = lies and world.party_names[world.kind.liar or 0] in aggregate.parties
        full = len(aggregate.parties) == len(world.party_names)
        if aggregate.verified != (world.setting.scheme.tolerates_lies > 0 and full) and cell.outcome == "point":
            raise Violation(f"{self._name(window)}: verified={aggregate.verified} by {aggregate.parties}")
        if cell.outcome == "suppressed":
            if cell.reason == "no_readings" and not values:
                return
            if cell.reason == "parties_disagree" and liar_counts:
                if full and world.party_names[world.kind.liar or 0] not in cell.at_fault:
                    raise Violation(f"{self._name(window)}: the liar is not among the suspects {cell.at_fault}")
                return
            raise Violation(f"{self._name(window)} is suppressed as {cell.reason} and could be released")
        if liar_counts and not aggregate.verified:
            return
        if (cell.count, cell.sum_steps) != (len(values), sum(values)):
            raise Violation(f"{self._name(window)} is wrong: {self._difference(cell, values)}")

        for job in aggregate.joint:
            if job.outcome == "suppressed":
                if job.reason != "party_missing" or (full and world.kind.unverified == "wait"):
                    raise Violation(f"{self._name(window)}: {job.name} is suppressed as {job.reason}")
            elif not aggregate.verified or [one.steps for one in job.values] != [int(sum(values) > LIMIT)]:
                raise Violation(f"{self._name(window)}: {job.name} is wrong: {job.values} of {sum(values)}")

    def _difference(self, cell: Any, values: list[int]) -> str:
        """Say which reading is lost or doubled: the digits of the total to the base of four."""
        total, told = cell.sum_steps, []
        expected = Counter(values)
        for name in self.world.setting.names:
            for reading in self.world.setting.readings[name]:
                times = total // reading.value % 4
                if times != expected[reading.value]:
                    told.append(f"{reading} counts {times} times instead of {expected[reading.value]}")
        return f"{cell.count} readings instead of {len(values)}; " + ("; ".join(told[:4]) or "the total is garbage")
