"""What a root tells people of what it reads and writes: counted, logged, kept for /status. It decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from protocol.contribution import SealSeen
from protocol.control import AggregateShare, Close, ControlRecord, GiveUp, Manifest
from protocol.roster import Roster
from protocol.rounds import RoundsRecord
from protocol.share import JointShare, SharePayload
from protocol.task import Task
from protocol.units import iso
from streams.agreement import Agreed, PartyRecord, Terminal
from streams.joint.run import Stopped
from streams.metrics import PartyMetrics
from streams.recent import MOST_NAMED, Ended, Recent

_log = structlog.get_logger("sotto.party")

_REMEMBERED_SEALS: Final = 4_096


class RootNews:
    """One root's; `party`: whose it is. Windows are starts, times ms."""

    def __init__(self, *, task: Task, roster: Roster, party: int, partition: int, metrics: PartyMetrics) -> None:
        self._task = task
        self._roster = roster
        self._party = party
        self._partition = partition
        self._metrics = metrics
        self._heard: dict[int, int] = {}
        self._mine: dict[int, Manifest] = {}
        self._seals: dict[tuple[int, str], bytes] = {}
        self._judged: dict[int, tuple[int, tuple[tuple[int, str], ...]]] = {}
        self.recent = Recent()

    # -- what was read ---------------------------------------------------------------------------------------

    def rejected(self, topic: str, reason: str) -> None:
        """A record is none of ours, or not right."""
        self._metrics.rejected.labels(topic, reason).inc()
        _log.warning("record_rejected", topic=topic, reason=reason, partition=self._partition)

    def contribution(self, window: int, now: int) -> None:
        """There is something of a window."""
        self._heard.setdefault(window, now)

    def seal(self, window: int, seal: SealSeen) -> None:
        """Notice two devices with one key, also when the window has long ended over the seal that came first."""
        self._metrics.last_seal.labels(seal.gateway).set(seal.sealed_at / 1000)
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

    def control(self, record: PartyRecord, *, at: int, new: bool) -> None:
        """A party has spoken; `new`: nobody has counted it before."""
        name = self._task.party_names[record.party]
        self.recent.hear(name, at)
        if isinstance(record, Manifest) and new:
            self._metrics.manifests.labels(name).inc()
            if record.party == self._party:
                self._mine.setdefault(record.window, record)

    def agreed(self, window: int, agreed: Agreed | None, *, over: int) -> None:
        """Name what the intersection took away from what this party held. Windows before `over` are forgotten."""
        if window in self._mine and agreed is not None:
            lost = set(self._mine.pop(window).entries) - set(agreed.entries)
            for entry in sorted(lost):
                self._metrics.faults.labels(entry.gateway, "not_held_by_all").inc()
                _log.warning("released_without", gateway=entry.gateway, window=self._at(window))
        for kept in (self._mine, self._heard):
            for start in [start for start in kept if start < over]:
                del kept[start]

    def ended(self, window: int, terminal: Terminal) -> None:
        """Keep for /status how a window ended: of this party's values how many were let out, and which were not."""
        task, judged = self._task, self._judged.pop(window, None)
        points, hidden = judged if judged is not None and terminal.outcome == "point" else (None, ())
        cells, names = self._roster.cells(task), task.party_names
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

    # -- what is written -------------------------------------------------------------------------------------

    def released(self, window: int, payload: SharePayload, agreed: Agreed | None, *, now: int) -> None:
        """This party's share of a window is about to be written."""
        names = [entry.gateway for entry in agreed.entries] if agreed is not None else []
        _log.info(
            "window_released",
            window=self._at(window),
            organisations=len({self._roster.gateways[name].organisation for name in names}),
            gateways=len(names),
            waited=f"{(now - self._heard.get(window, now)) / 1000:.1f}s",
            cells=len(payload.released) + len(payload.suppressed),
            suppressed=len(payload.suppressed),
        )
        self._judged[window] = (len(payload.released), payload.suppressed)

    def writes(self, record: ControlRecord, missing: Mapping[str, str]) -> None:
        """A record goes to control. `missing`: gateway -> silent or incomplete, for those that a manifest lacks."""
        match record:
            case Manifest():
                self._manifest(record, missing)
            case AggregateShare():
                self._metrics.aggregate_shares.inc()
            case Close():
                _log.info("goes_on_without", window=self._at(record.window), phase=record.phase)
            case GiveUp():
                self._metrics.closes.labels("gave_up").inc()
                _log.warning("gives_up", window=self._at(record.window))

    def _manifest(self, manifest: Manifest, missing: Mapping[str, str]) -> None:
        self._metrics.contributions.labels("complete").inc(len(manifest.entries))
        for state in missing.values():
            self._metrics.contributions.labels(state).inc()
        self._metrics.closes.labels("deadline" if missing else "complete").inc()
        if missing:
            _log.warning("deadline_passed", window=self._at(manifest.window), without=sorted(missing))
        for fault in manifest.faults:
            self._metrics.faults.labels(fault.gateway, fault.reason).inc()
            _log.error("gateway_at_fault", gateway=fault.gateway, reason=fault.reason, window=self._at(manifest.window))

    # -- joint computation -----------------------------------------------------------------------------------

    def joint(self, window: int, ends: Sequence[JointShare], stopped: Stopped | None) -> None:
        """The jobs of a window have ended here, each in its own way."""
        for spec, end in zip(self._task.joint, ends, strict=True):
            self._metrics.joint.labels(spec.name, "computed" if end.reason == "none" else end.reason).inc()
        if stopped is not None:
            suspects = [self._task.party_names[party] for party in stopped.suspects]
            _log.error("joint_stopped", window=self._at(window), reason=stopped.reason, suspects=suspects)

    def no_room(self, record: RoundsRecord) -> None:
        """A party has said more than a run has."""
        name = self._task.party_names[record.party]
        self._metrics.joint_dropped.labels(name).inc()
        _log.warning("joint_record_dropped", party=name, window=self._at(record.window))

    def _at(self, window: int) -> str:
        return iso(window, self._task.window.utc_offset)
