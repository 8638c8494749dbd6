"""The collector on Kafka: control in, aggregates and outcomes out. The decisions are `streams.collector`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from protocol.aggregate import Aggregate, CellResult, JointResult, encode
from protocol.control import AggregateShare, Outcome, decode
from protocol.control import encode as encode_control
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.joint_outcomes import JointOutcome, groups_of, joint_outcomes
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.share import share_info
from protocol.task import Task
from protocol.topics import Topics
from protocol.units import iso
from runtime.fold import Flow, Fold, Moment, Output, Record, Start
from streams.agreement import Rules
from streams.collector import Collector, Published
from streams.conduct import Conduct
from streams.due import check_begun
from streams.findings import Findings
from streams.joint.plan import Plan
from streams.log_clock import LogClock
from streams.metrics import CollectorMetrics
from streams.recent import MOST_NAMED, Ended, Recent, attendance, latest
from streams.work import Snapshot

_log = structlog.get_logger("sotto.collector")


class CollectorFold(Fold):
    """One partition number of the control log."""

    def __init__(self, *, role: CollectorRole, partition: int, start: Start) -> None:
        self._role = role
        self._partition = partition
        self._old = start.end
        self._clock = LogClock()
        self._conduct = Conduct(task=role.task, complete=start.first == 0)
        self.recent = Recent()
        self.collector = Collector(
            task=role.task,
            roster=role.roster,
            partition=partition,
            open_share=role.open_share,
            publish=lambda aggregate: encode(aggregate, role.key.identity),
            plans=role.plans,
            first=start.first,
            end=start.end,
        )

    def record(self, record: Record, now: int) -> Sequence[Output]:
        """Take a control record of anybody."""
        if record.offset >= self._old:  # what was there at the start may be of any age
            self._clock.read(record.timestamp, now)
            self._role.clock_ahead(self._clock.ahead)
        found = None
        try:
            found = decode(record.value, task=self._role.task, roster=self._role.roster)
            check_begun(found.window, record.timestamp)
        except WireError as error:
            found = None
            self._role.reject(error.reason, self._partition)
        if found is not None and not isinstance(found, Outcome):
            self.recent.hear(self._role.task.party_names[found.party], record.timestamp)
        if found is None or isinstance(found, Outcome) or found.window not in self.collector.due:
            return self._write(self.collector.control(found, offset=record.offset, at=record.timestamp), now)
        agreement, at, live = self.collector.agreement, record.timestamp, record.offset >= self._old
        self._role.findings.tell(self._conduct.before(found, agreement, at=at, live=live))
        answer = self.collector.control(found, offset=record.offset, at=at)
        self._role.findings.tell(self._conduct.after(found.window, agreement, at=at, live=live))
        return self._write(answer, now)

    def tick(self, moment: Moment) -> Sequence[Output]:
        """Begin, where there was nothing to read."""
        return self._write(self.collector.begin(), moment.now)

    def committable(self) -> Mapping[str, int]:
        """What the collector needs no more."""
        offset = self.collector.committable()
        return {} if offset is None else {self._role.topics.control: offset}

    def _write(self, records: Sequence[Published | Outcome], now: int) -> list[Output]:
        """The aggregate before its outcome: what the log calls published has to be there."""
        role, outputs = self._role, []
        for record in records:
            key = record.window.to_bytes(8, "little", signed=True)
            if isinstance(record, Published):
                role.findings.tell(record.findings)
                role.tell(record.aggregate, now)
                self.recent.end(_ended(record.aggregate, role.outcomes(record.aggregate), role.task))
                outputs.append(Output(role.topics.aggregates, self._partition, key, record.value))
            else:
                value = encode_control(record, task=role.task, roster=role.roster, identity=role.key.identity)
                outputs.append(Output(role.topics.control, self._partition, key, value))
        return outputs


class CollectorRole:
    """What one worker of the collector runs, and what it shows of it."""

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        topics: Topics,
        key: KeyFile,
        registry: CollectorRegistry,
        plans: Sequence[Plan] = (),
    ) -> None:
        """`plans`: one for each joint computation of the task, in its order."""
        self.task = task
        self.plans = plans
        self.roster = roster
        self.topics = topics
        self.key = key
        self._private = key.private_key()
        self._key_id = key.card().key_id
        self._metrics = CollectorMetrics(registry)
        self.findings = Findings(task=task, counter=self._metrics.contradictions, logger="sotto.collector")
        self._folds: dict[int, CollectorFold] = {}
        self._page: dict[str, object] = {}

    def flows(self) -> list[Flow]:
        """One flow over the control log."""
        topics = self.topics
        return [
            Flow(
                name="collector",
                topics=(topics.control,),
                make=self._make,
                outputs=(topics.control, topics.aggregates),
            )
        ]

    def _make(self, number: int, starts: Mapping[str, Start]) -> CollectorFold:
        fold = CollectorFold(role=self, partition=number, start=starts[self.topics.control])
        self._folds[number] = fold
        return fold

    def open_share(self, share: AggregateShare) -> bytes:
        """Open what a party has sealed to the collector. Raises WireError."""
        if share.key_id != self._key_id:
            raise WireError("other_key")
        suite = SUITES[self.task.scheme.sealing]
        info = share_info(
            task_hash=self.task.hash,
            roster_hash=self.roster.hash,
            window=share.window,
            digest=share.digest,
            party=share.party,
            suite=suite.code,
            key_id=share.key_id,
        )
        return suite.open(share.sealed, self._private, info)

    def clock_ahead(self, ms: int | None) -> None:
        """Show by how much this clock is ahead of Kafka's; nothing is decided by it."""
        if ms is not None:
            self._metrics.clock_offset.set(ms / 1000)

    def reject(self, reason: str, partition: int) -> None:
        """Count a record of control that is none of ours."""
        self._metrics.rejected.labels("control", reason).inc()
        _log.warning("record_rejected", topic="control", reason=reason, partition=partition)

    def tell(self, aggregate: Aggregate, now: int) -> None:
        """Count and log a window that is complete."""
        metrics, task = self._metrics, self.task
        kinds = Counter((cell.outcome, cell.reason) for cell in aggregate.cells)
        for (outcome, reason), count in kinds.items():
            metrics.cells.labels(outcome, reason).inc(count)
        points = sum(count for (outcome, _), count in kinds.items() if outcome == "point")
        joint = self.outcomes(aggregate)
        for result in joint:
            metrics.joint.labels(result.name, "point" if result.point else "suppressed", result.reason).inc()
        outcomes: list[CellResult | JointResult] = [*aggregate.cells, *aggregate.joint]
        suspects = {name for one in outcomes if one.reason == "parties_disagree" for name in one.at_fault}
        for name in suspects:
            metrics.share_mismatch.labels(name).inc()
            _log.error("parties_disagree", window=self._at(aggregate.window_start), at_fault=name)
        if aggregate.parties:
            for name in set(task.party_names) - set(aggregate.parties):
                metrics.party_missing.labels(name).inc()
        metrics.organisations.set(aggregate.organisations)
        metrics.window_end_to_point.observe(max(0, now - aggregate.window_end) / 1000)
        told: dict[str, object] = {}
        if aggregate.last_seal:
            metrics.seal_to_point.observe(max(0, now - aggregate.last_seal) / 1000)
            told["after_last_seal"] = f"{now - aggregate.last_seal}ms"
        if aggregate.joint:
            told["joint"] = {job.name: _told([one for one in joint if one.name == job.name]) for job in aggregate.joint}
        _log.info(
            "window_complete",
            window=self._at(aggregate.window_start),
            points=points,
            suppressed=len(aggregate.cells) - points,
            parties=len(aggregate.parties),
            checked="yes" if aggregate.verified else "no",
            **told,
        )

    def outcomes(self, aggregate: Aggregate) -> tuple[JointOutcome, ...]:
        """What came of each joint computation, or of each of its groups: what page, metric and database count."""
        return joint_outcomes(aggregate, groups_of(self.task))

    def _at(self, window: int) -> str:
        return iso(window, self.task.window.utc_offset)

    def refresh(self, snapshot: Snapshot, now: int) -> None:
        """Look at the folds at work; called by the loop, so that pages and metrics need not."""
        held = {number for flow in snapshot.flows for number in flow.partitions}
        for number in [number for number in self._folds if number not in held]:
            del self._folds[number]
        states: list[dict[str, Any]] = [fold.collector.status() for _, fold in sorted(self._folds.items())]
        windows = sorted((one for state in states for one in state["windows"]), key=lambda one: one["window"])
        self._metrics.waiting.set(len(windows))
        self._metrics.oldest_waiting.set(windows[0]["window"] / 1000 if windows else 0)
        recents = [fold.recent for fold in self._folds.values()]
        waited = {name for one in windows for name in one["parties"]}
        self._page = {
            "live": bool(states) and all(state["caught_up"] for state in states),
            "enough_parties": Rules.of(self.task).enough,
            "windows": windows,
            "contradictions": self.findings.document(),
            "recent": [one.document() for one in latest(recents)],
            "parties": attendance(self.task.party_names, recents, waited=waited, now=now),
        }

    def document(self) -> Mapping[str, object]:
        """What /status adds: the open windows and what they wait for."""
        return self._page


def _told(results: Sequence[JointOutcome]) -> str:
    """What came of a joint computation: "point", a reason, or how many of its groups have a value."""
    points = sum(one.point for one in results)
    if points in (0, len(results)) and len({one.reason for one in results}) == 1:
        return "point" if points else results[0].reason
    return f"{points} of {len(results)}"


def _ended(aggregate: Aggregate, joint: Sequence[JointOutcome], task: Task) -> Ended:
    cells = [cell for cell in aggregate.cells if cell.outcome == "suppressed"]
    results = [one for one in joint if not one.point]
    hidden: list[CellResult | JointOutcome] = [*cells, *results]
    outcomes = len(aggregate.cells) + len(joint)
    reasons = {one.reason for one in hidden}
    whole = len(hidden) == outcomes and len(reasons) == 1
    at_fault = {name for one in hidden for name in one.at_fault}
    named = [
        *({"labels": cell.labels, "measure": cell.measure, "reason": cell.reason} for cell in cells),
        *({"labels": dict(one.labels), "measure": one.name, "reason": one.reason} for one in results),
    ]
    return Ended(
        window=aggregate.window_start,
        at=aggregate.revealed_at,
        reason=reasons.pop() if whole else "none",
        parties=aggregate.parties,
        at_fault=tuple(name for name in task.party_names if name in at_fault),
        verified=aggregate.verified,
        points=outcomes - len(named),
        suppressed=len(named),
        named=tuple(named[:MOST_NAMED]),
    )
