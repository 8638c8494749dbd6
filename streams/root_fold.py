"""The root on Kafka: bytes in, bytes out. `streams.root` decides, `streams.root_news` tells people of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.contribution import ContributionBox, SealSeen
from protocol.control import Manifest, Outcome, decode, encode
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.keys import Card
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.rounds import decode as decode_rounds
from protocol.rounds import encode as encode_rounds
from protocol.share import SharePayload, share_info
from protocol.task import Task
from protocol.topics import Topics
from runtime.fold import Fold, Moment, Output, Record, Start
from streams.agreement import Agreed
from streams.conduct import Conduct
from streams.due import check_begun
from streams.findings import Findings
from streams.joint.desk import JointDesk
from streams.joint.keys import PartyKeys
from streams.joint.plan import Plan
from streams.log_clock import LogClock
from streams.metrics import PartyMetrics
from streams.root import Root
from streams.root_news import RootNews
from streams.speech import Written


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
        self.news = RootNews(
            task=seat.task, roster=seat.roster, party=seat.number, partition=partition, metrics=metrics
        )
        joint = None
        if seat.plans:
            joint = JointDesk(
                plans=seat.plans,
                keys=seat.keys,
                task_hash=seat.task.hash,
                roster_hash=seat.roster.hash,
                told=self.news.joint,
                no_room=self.news.no_room,
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
        self._now = 0
        self.clock = LogClock()
        self.root = Root(
            task=seat.task,
            roster=seat.roster,
            party=seat.number,
            partition=partition,
            seal_share=self._seal_share,
            ended=self.news.ended,
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
            self.news.rejected("contributions", error.reason)
        if found is not None:
            self.news.contribution(window, now)
        if isinstance(found, SealSeen):
            self.news.seal(window, found)
        return self.root.contribution(window, found, offset=record.offset, at=record.timestamp, now=now)

    def _take_control(self, record: Record, now: int) -> list[Written]:
        found = None
        try:
            found = decode(record.value, task=self._seat.task, roster=self._seat.roster)
            check_begun(found.window, record.timestamp)
        except WireError as error:
            found = None
            self.news.rejected("control", error.reason)
        new = record.offset >= self._old
        if found is not None and not isinstance(found, Outcome):
            self.news.control(found, at=record.timestamp, new=new)
        if found is None or isinstance(found, Outcome) or found.window not in self.root.due:
            return self.root.control(found, offset=record.offset, at=record.timestamp, now=now)
        agreement, at = self.root.agreement, record.timestamp
        self._findings.tell(self._conduct.before(found, agreement, at=at, live=new))
        answer = self.root.control(found, offset=record.offset, at=at, now=now)
        self._findings.tell(self._conduct.after(found.window, agreement, at=at, live=new))
        self.news.agreed(found.window, self._agreed(found.window), over=agreement.over)
        return answer

    def _take_rounds(self, record: Record, now: int) -> list[Written]:
        found = None
        try:
            found = decode_rounds(record.value, task=self._seat.task, roster=self._seat.roster, own=self._said)
            check_begun(found.window, record.timestamp)
        except WireError as error:
            found = None
            self.news.rejected("rounds", error.reason)
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
                missing = self._missing(record, now) if isinstance(record, Manifest) else {}
                self.news.writes(record, missing)
                topic = self._control
                value = encode(record, task=seat.task, roster=seat.roster, identity=seat.identity)
            outputs.append(Output(topic, self._partition, key, value))
        return outputs

    # -- what is told ----------------------------------------------------------------------------------------

    def _seal_share(self, payload: SharePayload, window: int, digest: bytes) -> tuple[bytes, bytes]:
        self.news.released(window, payload, self._agreed(window), now=self._now)
        return self._seat.seal_share(payload, window, digest)

    def _agreed(self, window: int) -> Agreed | None:
        ballot = self.root.agreement.ballot(window)
        return None if ballot is None else ballot.agreed

    def _missing(self, manifest: Manifest, now: int) -> dict[str, str]:
        """Gateway -> silent or incomplete, for those that the manifest goes without."""
        answered = {entry.gateway for entry in manifest.entries} | {fault.gateway for fault in manifest.faults}
        if answered >= set(self._seat.roster.gateways):
            return {}
        windows = self.root.status(now)["windows"]
        here = [one for one in windows if one["window"] == manifest.window]
        return {one["name"]: one["state"] for state in here for one in state["gateways"]}
