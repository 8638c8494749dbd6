"""What a process has found parties to do: counted, logged and shown, once each, whatever is read again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import structlog
from prometheus_client import Counter

from protocol.task import Task
from protocol.units import iso
from streams.conduct import Finding

KINDS: Final[Mapping[str, str]] = {
    "two_manifests": "It signed two different manifests for one window; the first counts. A worker that was replaced"
    " may have written one, or its key is in two places.",
    "two_sets": "It signed aggregate shares over two sets of one window. Its key is in two places, or it saw two logs.",
    "other_set": "It signed an aggregate share over a set that the log does not agree on. What it reads may be wrong.",
    "close_out_of_turn": "It ended a wait before its time. Alone that has no effect.",
    "give_up_out_of_turn": "It gave a window up before its time. Alone that has no effect where two can go on.",
    "wrong_floor": "It said that it is through with a window of which it still speaks; the record does not count.",
    "floor_too_high": "It said that it is through with a window that has no outcome yet. It lost its log, or lies.",
    "lacks_gateways": "It alone did not hold what the others hold. Its leafs are behind, the gateways did not reach it,"
    " or it leaves them out.",
    "refuses_gateways": "It alone names gateways at fault that the others hold; they are left out. They sent it other"
    " copies than the others, or it lies.",
    "unreadable_share": "Its aggregate share cannot be read. Has it the collector's present sealing key?",
    "other_counts": "Its counts, or the cells that it lets out, are not those of the others.",
    "other_sums": "Its sums are not those of another party that holds the same components: one of these parties lies.",
    "joint_stopped": "A joint computation was stopped, since what one party had sent could not be right: one of these"
    " parties lies, or says so of another.",
    "other_joint": "Its share of a joint result, or what it says of it, is not that of another party: one of these"
    " parties lies.",
}
"""What is found, and what it means. The names are label values of a metric: they never change their meaning."""

_MILD: Final = {"two_manifests", "lacks_gateways", "refuses_gateways"}  # can have an honest cause that is not rare
_REMEMBERED: Final = 1_024
_SHOWN: Final = 20


class Findings:
    """Takes what all folds of a process find."""

    def __init__(self, *, task: Task, counter: Counter, logger: str) -> None:
        self._task = task
        self._counter = counter
        self._log = structlog.get_logger(logger)
        self._known: OrderedDict[Finding, None] = OrderedDict()

    def tell(self, findings: Iterable[Finding]) -> None:
        """Count and log what is new."""
        for finding in findings:
            if finding in self._known:
                continue
            self._known[finding] = None
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            name = self._task.party_names[finding.party]
            self._counter.labels(name, finding.kind).inc()
            write = self._log.warning if finding.kind in _MILD else self._log.error
            write(
                "party_contradicts",
                party=name,
                reason=finding.kind,
                window=iso(finding.window, self._task.window.utc_offset),
                gateways=list(finding.gateways),
                meaning=KINDS[finding.kind],
            )

    def document(self) -> list[dict[str, Any]]:
        """Return the latest ones, newest first, for /status."""
        return [
            {
                "party": self._task.party_names[finding.party],
                "kind": finding.kind,
                "window": finding.window,
                "gateways": list(finding.gateways),
                "meaning": KINDS[finding.kind],
            }
            for finding in reversed([*self._known][-_SHOWN:])
        ]
