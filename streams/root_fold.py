"""The root on Kafka: bytes in, bytes out, and what is told of it. The decisions are `streams.root`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.contribution import ContributionBox, SealSeen
from protocol.control import AggregateShare, Close, ControlRecord, GiveUp, Manifest, Outcome, decode, encode
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.keys import Card
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.rounds import decode as decode_rounds
from protocol.rounds import encode as encode_rounds
from protocol.share import JointShare, SharePayload, share_info
from protocol.task import Task
from protocol.topics import Topics
from protocol.units import iso
from runtime.fold import Fold, Moment, Output, Record, Start
from streams.agreement import Terminal
from streams.conduct import Conduct
from streams.due import check_begun
from streams.findings import Findings
from streams.joint.desk import JointDesk
from streams.joint.keys import PartyKeys
from streams.joint.plan import Plan
from streams.joint.run import Stopped
from streams.log_clock import LogClock
from streams.metrics import PartyMetrics
from streams.recent import MOST_NAMED, Ended, Recent
from streams.root import Root
from streams.speech import Written

_log = structlog.get_logger("sotto.party")

_REMEMBERED_SEALS: Final = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which party this is, and what it signs and seals with."""

    task: Task
    roster: Roster
    topics: Topics
    name: str
    identity: Ed25519PrivateKey = field(repr=False)
    box: ContributionBox = field(repr=False)
    collector: Card
    plans: tuple[Plan, ...]
    keys: PartyKeys = field(repr=False)

    @property
    def number(self) -> int:
        """The party's number."""
        return self.task.party_names.index(self.name)

    def seal_share(self, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        """Seal an aggregate share to the collector alone."""
        suite = SUITES[self.task.scheme.sealing]
        info = share_info(
            task_hash=self.task.hash,
            roster_hash=self.roster.hash,
            window=window,
            digest=digest,
            party=self.number,
            suite=suite.code,
            key_id=self.collector.key_id,
        )
        return self.collector.key_id, suite.seal(payload.encode(), self.collector.public_key(), info)


class RootFold(Fold):
    """One partition number of a party's contributions, of the control log and of joint computation."""

    def __init__(
        self, *, seat: Seat, partition: int, starts: Mapping[str, Start], metrics: PartyMetrics, findings: Findings
    ) -> None:
        joint = None
        if seat.plans:
            joint = JointDesk(
                plans=seat.plans,
                keys=seat.keys,
                task_hash=seat.task.hash,
                roster_hash=seat.roster.hash,
                told=self._tell_joint,
                no_room=self._tell_no_room,
            )
        self._seat = seat
        self._partition = partition
        self._metrics = metrics
        self._findings = findings
        self._conduct = Conduct(task=seat.task, complete=starts[seat.topics.control].first == 0)
        self._contributions = seat.topics.contributions(seat.name)
        self._control = seat.topics.control
        self._rounds = seat.topics.rounds
        self._shares = seat.topics.shares(seat.name)
        self._old = starts[self._control].end  # records before it have been counted by whoever was here then
        self._said = b""  # the record of a round that was written last
        self._heard: dict[int, int] = {}
        self._mine: dict[int, Manifest] = {}
        self._now = 0
        self.clock = LogClock()
        self._seals: dict[tuple[int, str], bytes] = {}
        self._judged: dict[int, tuple[int, tuple[tuple[int, str], ...]]] = {}
        self.recent = Recent()
        self.root = Root(
            task=seat.task,
            roster=seat.roster,
            party=seat.number,
            partition=partition,
            seal_share=self._seal_share,
            ended=self._remember,
            control_first=starts[self._control].first,
            control_end=starts[self._control].end,
            contributions_first=starts[self._contributions].first,
            joint=joint,
            rounds_first=starts[self._rounds].first if joint else 0,
            rounds_end=starts[self._rounds].end if joint else 0,
        )

    # -- the fold --------------------------------------------------------------------------------------------

    def record(self, record: Record, now: int) -> Sequence[Output]:
        """Take a contribution of our own leafs, or a control record of anybody."""
        self.clock.read(record.timestamp, now)
        now = self._now = self.clock.now(now)
        if record.topic == self._control:
            return self._write(self._take_control(record, now), now)
        if record.topic == self._rounds:
            return self._write(self._take_rounds(record, now), now)
        return self._write(self._take_contribution(record, now), now)

    def tick(self, moment: Moment) -> Sequence[Output]:
        """Let time pass."""
        now = self._now = self.clock.now(moment.now)
        if self.clock.ahead is not None:
            self._metrics.clock_offset.set(self.clock.ahead / 1000)
        ends = moment.ends.get(self._shares, {})
        records = self.root.tick(
            now,
            connected=moment.connected,
            caught_up=moment.caught_up,
            ends=ends if len(ends) == self._seat.roster.partitions else None,
            ends_at=moment.ends_at - (moment.now - now),
        )
        return self._write(records, now)

    def committable(self) -> Mapping[str, int]:
        """What the root needs no more."""
        names = {"contributions": self._contributions, "control": self._control, "rounds": self._rounds}
        return {names[name]: offset for name, offset in self.root.committable().items()}

    def _take_contribution(self, record: Record, now: int) -> list[Written]:
        window, found = 0, None
        try:
            window, found = self._seat.box.open(record.value, labels=len(self._seat.task.labels))
        except WireError as error:
            self._reject("contributions", error.reason)
        if found is not None:
            self._heard.setdefault(window, now)
        if isinstance(found, SealSeen):
            self._metrics.last_seal.labels(found.gateway).set(found.sealed_at / 1000)
            self._see_seal(window, found)
        return self.root.contribution(window, found, offset=record.offset, at=record.timestamp, now=now)

    def _take_control(self, record: Record, now: int) -> list[Written]:
        found = None
        try:
            found = decode(record.value, task=self._seat.task, roster=self._seat.roster)
            check_begun(found.window, record.timestamp)
        except WireError as error:
            found = None
            self._reject("control", error.reason)
        new = record.offset >= self._old
        if found is not None and not isinstance(found, Outcome):
            self.recent.hear(self._seat.task.party_names[found.party], record.timestamp)
        if isinstance(found, Manifest):
            self._see_manifest(found, new=new)
        if found is None or isinstance(found, Outcome) or found.window not in self.root.due:
            return self.root.control(found, offset=record.offset, at=record.timestamp, now=now)
        agreement, at = self.root.agreement, record.timestamp
        self._findings.tell(self._conduct.before(found, agreement, at=at, live=new))
        answer = self.root.control(found, offset=record.offset, at=at, now=now)
        self._findings.tell(self._conduct.after(found.window, agreement, at=at, live=new))
        self._compare(found.window)
        return answer

    def _take_rounds(self, record: Record, now: int) -> list[Written]:
        found = None
        try:
            found = decode_rounds(record.value, task=self._seat.task, roster=self._seat.roster, own=self._said)
            check_begun(found.window, record.timestamp)
        except WireError as error:
            found = None
            self._reject("rounds", error.reason)
        return self.root.rounds(found, record.value, offset=record.offset, at=record.timestamp, now=now)

    def _write(self, records: Sequence[Written], now: int) -> list[Output]:
        seat, outputs = self._seat, []
        for record in records:
            key = record.window.to_bytes(8, "little", signed=True)
            if isinstance(record, RoundsRecord):
                topic = self._rounds
                value = encode_rounds(record, task=seat.task, roster=seat.roster, identity=seat.identity)
                self._said = value
            else:
                self._tell(record, now)
                topic = self._control
                value = encode(record, task=seat.task, roster=seat.roster, identity=seat.identity)
            outputs.append(Output(topic, self._partition, key, value))
        return outputs

    # -- what is told ----------------------------------------------------------------------------------------

    def _at(self, window: int) -> str:
        return iso(window, self._seat.task.window.utc_offset)

    def _reject(self, topic: str, reason: str) -> None:
        self._metrics.rejected.labels(topic, reason).inc()
        _log.warning("record_rejected", topic=topic, reason=reason, partition=self._partition)

    def _seal_share(self, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        ballot = self.root.agreement.ballot(window)
        agreed = ballot.agreed if ballot is not None else None
        names = [entry.gateway for entry in agreed.entries] if agreed is not None else []
        gateways = self._seat.roster.gateways
        _log.info(
            "window_released",
            window=self._at(window),
            organisations=len({gateways[name].organisation for name in names}),
            gateways=len(names),
            waited=f"{(self._now - self._heard.get(window, self._now)) / 1000:.1f}s",
            cells=len(payload.released) + len(payload.suppressed),
            suppressed=len(payload.suppressed),
        )
        self._judged[window] = (len(payload.released), payload.suppressed)
        return self._seat.seal_share(payload, window, digest)

    def _remember(self, window: int, terminal: Terminal) -> None:
        """Keep for /status how a window ended: of this party's values how many were let out, and which were not."""
        task, judged = self._seat.task, self._judged.pop(window, None)
        points, hidden = judged if judged is not None and terminal.outcome == "point" else (None, ())
        cells, names = self._seat.roster.cells(task), task.party_names
        self.recent.end(
            Ended(
                window=window,
                at=terminal.at,
                reason=terminal.reason,
                parties=tuple(names[party] for party in terminal.parties),
                at_fault=tuple(names[party] for party in terminal.at_fault),
                points=points,
                suppressed=None if points is None else len(hidden),
                named=tuple(
                    {
                        "labels": dict(zip(task.labels, cells[number].labels, strict=True)),
                        "measure": task.measure_names[cells[number].measure],
                        "reason": reason,
                    }
                    for number, reason in hidden[:MOST_NAMED]
                ),
            )
        )

    def _tell(self, record: ControlRecord, now: int) -> None:
        match record:
            case Manifest():
                self._tell_manifest(record, now)
            case AggregateShare():
                self._metrics.aggregate_shares.inc()
            case Close():
                _log.info("goes_on_without", window=self._at(record.window), phase=record.phase)
            case GiveUp():
                self._metrics.closes.labels("gave_up").inc()
                _log.warning("gives_up", window=self._at(record.window))

    def _tell_manifest(self, manifest: Manifest, now: int) -> None:
        missing = self._states(manifest, now)
        self._metrics.contributions.labels("complete").inc(len(manifest.entries))
        for state in missing.values():
            self._metrics.contributions.labels(state).inc()
        self._metrics.closes.labels("deadline" if missing else "complete").inc()
        if missing:
            _log.warning("deadline_passed", window=self._at(manifest.window), without=sorted(missing))
        for fault in manifest.faults:
            self._metrics.faults.labels(fault.gateway, fault.reason).inc()
            _log.error("gateway_at_fault", gateway=fault.gateway, reason=fault.reason, window=self._at(manifest.window))

    def _tell_joint(self, window: int, ends: Sequence[JointShare], stopped: Stopped | None) -> None:
        for plan, end in zip(self._seat.plans, ends, strict=True):
            self._metrics.joint.labels(plan.name, "computed" if end.reason == "none" else end.reason).inc()
        if stopped is not None:
            suspects = [self._seat.task.party_names[party] for party in stopped.suspects]
            _log.error("joint_stopped", window=self._at(window), reason=stopped.reason, suspects=suspects)

    def _tell_no_room(self, record: RoundsRecord) -> None:
        party = self._seat.task.party_names[record.party]
        self._metrics.joint_dropped.labels(party).inc()
        _log.warning(
            "joint_record_dropped", party=party, window=self._at(record.window), meaning="It says more than a run has."
        )

    def _states(self, manifest: Manifest, now: int) -> dict[str, str]:
        """Gateway -> silent or incomplete, for those that the manifest goes without."""
        answered = {entry.gateway for entry in manifest.entries} | {fault.gateway for fault in manifest.faults}
        if answered >= set(self._seat.roster.gateways):
            return {}
        windows = self.root.status(now)["windows"]
        here = [one for one in windows if one["window"] == manifest.window]
        return {one["name"]: one["state"] for state in here for one in state["gateways"]}

    def _see_seal(self, window: int, seal: SealSeen) -> None:
        """Notice two devices with one key, also when the window has long ended over the seal that came first."""
        if seal.cold:
            return
        first = self._seals.setdefault((window, seal.gateway), seal.contribution)
        if first != seal.contribution:
            self._metrics.duplicate_identity.labels(seal.gateway).inc()
            _log.error(
                "two_seals",
                gateway=seal.gateway,
                window=self._at(window),
                remedy="Do two devices use this gateway's key, or an old copy of its state? Stop one of them.",
            )
        if len(self._seals) > _REMEMBERED_SEALS:
            del self._seals[next(iter(self._seals))]

    def _see_manifest(self, manifest: Manifest, *, new: bool) -> None:
        if new:
            self._metrics.manifests.labels(self._seat.task.party_names[manifest.party]).inc()
        if manifest.party == self._seat.number and new:
            self._mine.setdefault(manifest.window, manifest)

    def _compare(self, window: int) -> None:
        """Name what the intersection took away from what this party held."""
        ballot = self.root.agreement.ballot(window)
        if window in self._mine and ballot is not None and ballot.agreed is not None:
            lost = set(self._mine.pop(window).entries) - set(ballot.agreed.entries)
            for entry in sorted(lost):
                self._metrics.faults.labels(entry.gateway, "not_held_by_all").inc()
                _log.warning("released_without", gateway=entry.gateway, window=self._at(window))
        over = self.root.agreement.over
        for kept in (self._mine, self._heard):
            for start in [start for start in kept if start < over]:
                del kept[start]
