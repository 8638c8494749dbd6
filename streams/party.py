"""A party's flows: its leafs over the shares, its roots over contributions and control (DESIGN 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry

from protocol.contribution import ContributionBox
from protocol.keys import Card, KeyFile
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.fold import Flow, Start
from streams.agreement import Rules
from streams.findings import Findings
from streams.joint.keys import PartyKeys
from streams.joint.plan import Plan
from streams.leaf import Leaf
from streams.leaf_map import Glass, LeafMap
from streams.metrics import PartyMetrics
from streams.recent import attendance, latest
from streams.root_fold import RootFold, Seat
from streams.work import Snapshot


class PartyRole:
    """What one worker of a party runs, and what it shows of it."""

    def __init__(
        self,
        *,
        task: Task,
        roster: Roster,
        topics: Topics,
        key: KeyFile,
        cards: Mapping[str, Card],
        plans: Sequence[Plan],
        registry: CollectorRegistry,
        show_share: str | None,
    ) -> None:
        number = task.party_names.index(key.name)
        box = ContributionBox(storage=key.storage, task_hash=task.hash, party=number)
        self._seat = Seat(
            task=task,
            roster=roster,
            topics=topics,
            name=key.name,
            identity=key.identity,
            box=box,
            collector=cards["collector"],
            plans=tuple(plans),
            keys=PartyKeys(key=key, cards=[cards[party] for party in task.party_names], party=number),
        )
        self._leaf = Leaf(task=task, roster=roster, key=key, topics=topics)
        self._metrics = PartyMetrics(registry)
        self._findings = Findings(task=task, counter=self._metrics.contradictions, logger="sotto.party")
        self._glass = Glass.of(show_share, task=task, roster=roster) if show_share else None
        self._roots: dict[int, RootFold] = {}
        self._page: dict[str, object] = {}

    def flows(self) -> list[Flow]:
        """Leaf and root, of the same partition numbers: the topics have equally many."""
        topics, name = self._seat.topics, self._seat.name
        shares, contributions = topics.shares(name), topics.contributions(name)
        rounds = (topics.rounds,) if self._seat.plans else ()
        return [
            Flow(name="leaf", topics=(shares,), make=self._make_leaf, outputs=(contributions,)),
            Flow(
                name="root",
                topics=(contributions, topics.control, *rounds),
                make=self._make_root,
                watch=(shares,),
                outputs=(topics.control, *rounds),
            ),
        ]

    def _make_leaf(self, number: int, starts: Mapping[str, Start]) -> LeafMap:
        del starts
        return LeafMap(
            leaf=self._leaf,
            box=self._seat.box,
            topic=self._seat.topics.contributions(self._seat.name),
            partition=number,
            partitions=self._seat.roster.partitions,
            metrics=self._metrics,
            glass=self._glass,
        )

    def _make_root(self, number: int, starts: Mapping[str, Start]) -> RootFold:
        self._roots[number] = RootFold(
            seat=self._seat, partition=number, starts=starts, metrics=self._metrics, findings=self._findings
        )
        return self._roots[number]

    def refresh(self, snapshot: Snapshot, now: int) -> None:
        """Look at the roots at work; called by the loop, so that pages and metrics need not."""
        held = {number for flow in snapshot.flows if flow.name == "root" for number in flow.partitions}
        for number in [number for number in self._roots if number not in held]:
            del self._roots[number]
        states: list[dict[str, Any]] = [
            fold.root.status(fold.clock.now(now)) for _, fold in sorted(self._roots.items())
        ]
        windows = sorted((one for state in states for one in state["windows"]), key=lambda one: one["window"])
        self._metrics.open_windows.set(len(windows))
        self._metrics.oldest_open.set(windows[0]["window"] / 1000 if windows else 0)
        task, recents = self._seat.task, [fold.news.recent for fold in self._roots.values()]
        waited = {name for one in windows if one["waits_for"] != "gateways" for name in one["parties"]}
        self._page = {
            "live": bool(states) and all(state["caught_up"] for state in states),
            "gateways": len(self._seat.roster.gateways),
            "enough_parties": Rules.of(task).enough,
            "windows": windows,
            "recent": [one.document() for one in latest(recents)],
            "parties": attendance(task.party_names, recents, waited=waited, now=now, own=self._seat.name),
            "parked": sorted(window for state in states for window in state["parked"]),
            "contradictions": self._findings.document(),
        }

    def document(self) -> Mapping[str, object]:
        """What /status adds: the open windows and what they wait for; in a trial, a share of one reading."""
        return {**self._page, **(self._glass.document() if self._glass is not None else {})}
