"""The policy of joint computation: which groups of a job may be computed. Pure, and the same at all parties.

A group's result is of all its cells together, so what a policy asks for must hold for them together: one organisation
may hold the prices and others the volumes. Two things must hold for every cell by itself. It has a reading: what is
computed without one is something else than what was asked for. And where its measure is released too, the cell may be:
the sums of its neighbours, taken away from the group's, would leave the one that is kept back. So it is with smaller
groups of other jobs whose results can be the sums themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from protocol.task import Task
from streams.policy import Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be computed of a job: `groups` ascending, or nothing, and then why; `hidden`: groups left out, and why.

    Of a job whose groups stand each by itself all can be hidden: then it has no reason, and nothing is computed.
    """

    reason: str = "none"
    groups: tuple[int, ...] = ()
    hidden: tuple[tuple[int, str], ...] = ()


def verdict(
    task: Task,
    whole: Totals,
    cells: NDArray[np.intp],
    due: NDArray[np.bool_],
    *,
    elementwise: bool,
    shown: bool,
    others: Sequence[NDArray[np.intp]] = (),
) -> Verdict:
    """Judge the groups of a job: `cells` intp[groups, k], `due` bool[cells] (`streams.policy.due_cells`).

    `others`: the groups, as `cells`, of each other job that can tell a group's sum: what hides one hides all around it.

    `shown`: the sum of a group may be the result, so each group must hold by itself, although none can be left out.
    """
    groups = cells if elementwise or shown else cells.reshape(1, -1)
    reasons = _reasons(task, whole, groups)
    used = np.unique(cells[due[cells]])
    alone = dict(zip(used.tolist(), _reasons(task, whole, used[:, None]), strict=True))
    for number, group in enumerate(groups.tolist()):
        if reasons[number] == "none":
            reasons[number] = next((why for cell in group if (why := alone.get(cell, "none")) != "none"), "none")
    kept = [
        (set(group), why)
        for other in others
        for group, why in zip(other.tolist(), _reasons(task, whole, other), strict=True)
        if why != "none"
    ]
    for number, group in enumerate(groups.tolist() if kept else ()):
        if reasons[number] == "none":
            around = set(group)
            reasons[number] = next((why for inside, why in kept if inside <= around), "none")
    if not elementwise:
        reason = next((why for why in reasons if why != "none"), "none")
        return Verdict(reason=reason, groups=tuple(range(len(cells))) if reason == "none" else ())
    return Verdict(
        groups=tuple(group for group, reason in enumerate(reasons) if reason == "none"),
        hidden=tuple((group, reason) for group, reason in enumerate(reasons) if reason != "none"),
    )


def _reasons(task: Task, whole: Totals, groups: NDArray[np.intp]) -> list[str]:
    """For each group of cells the first reason that holds for them together, in the order of `streams.policy.judge`."""
    counts, policy = whole.counts[groups], task.policy
    holds = {
        "no_readings": (counts == 0).any(axis=1),
        "too_few_organisations": whole.organisations[:, groups].any(axis=2).sum(axis=0) < policy.min_organisations,
        "too_few_gateways": whole.gateways[:, groups].any(axis=2).sum(axis=0) < policy.gateways,
        "too_few_readings": counts.sum(axis=1) < policy.readings,
        "overflow": (counts > task.limits.readings).any(axis=1),
    }
    return [next((reason for reason, where in holds.items() if where[group]), "none") for group in range(len(groups))]
