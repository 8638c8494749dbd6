"""The policy: which cells of a window may be let out. Each party decides it by itself, on what it holds (DESIGN 5.8).

All parties hold the same row counts of the agreed contributions (the cores bind them), so all come to the same answer,
and the collector, who must not be trusted with it, only compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from protocol.body import SealNotes
from protocol.roster import Roster
from protocol.share import SharePayload
from protocol.task import Task
from streams.agreement import Agreement, Rules
from streams.assembly import CellSums


def set_verdict(task: Task, roster: Roster, gateways: Iterable[str]) -> str | None:
    """Return why nothing may be released over this set of gateways, or None. Needs no counts.

    `too_many_absent`: so that nobody chooses the set by withholding. Organisations without gateways in the roster
    have nothing to withhold and are not absent.
    """
    here = set(gateways)
    if not here:
        return "no_readings"
    all_of_them = {gateway.organisation for gateway in roster.gateways.values()}
    present = {roster.gateways[name].organisation for name in here}
    absent = len(all_of_them - present)
    return "too_many_absent" if absent and absent > _may_be_absent(task, len(all_of_them)) else None


def _may_be_absent(task: Task, organisations: int) -> int:
    return ceil(Fraction(task.policy.max_absent) * organisations)


def agreement_of(task: Task, roster: Roster, *, first: int) -> Agreement:
    """Return the fold of one partition of control from window `first` on: the same at every root and the collector."""
    return Agreement(
        rules=Rules.of(task),
        task_hash=task.hash,
        roster_hash=roster.hash,
        first=first,
        verdict=lambda gateways: set_verdict(task, roster, gateways),
        organisation={name: gateway.organisation for name, gateway in roster.gateways.items()},
    )


def judge(
    task: Task, roster: Roster, contributions: Mapping[str, CellSums], *, held: int, notes: Mapping[str, SealNotes]
) -> SharePayload:
    """Add up the contributions by cell and apply the policy to each cell on the gateways that have rows in it.

    `contributions`: gateway -> its sums; `held`: number of components. A released cell carries the total of rows and
    the sums (mod 2^64) of each component, a suppressed one the first reason that holds and nothing else.
    """
    cells = len(roster.cells(task))
    counts = np.zeros(cells, dtype=np.int64)
    sums = np.zeros((held, cells), dtype=np.uint64)
    gateways = np.zeros(cells, dtype=np.int64)
    organisations = np.zeros(cells, dtype=np.int64)
    spoke: dict[str, NDArray[np.bool_]] = {}
    for name, part in contributions.items():
        with_rows = part.cells[part.rows > 0]
        counts[part.cells] += part.rows
        sums[:, part.cells] += part.sums
        gateways[with_rows] += 1
        has = spoke.setdefault(roster.gateways[name].organisation, np.zeros(cells, dtype=np.bool_))
        has[with_rows] = True
    for has in spoke.values():
        organisations += has
    policy = task.policy
    reasons = {
        "no_readings": counts == 0,
        "too_few_organisations": organisations < policy.min_organisations,
        "too_few_gateways": gateways < policy.gateways,
        "too_few_readings": counts < policy.readings,
        "overflow": counts > task.limits.max_rows * task.limits.max_gateways,
    }
    hidden = np.logical_or.reduce(tuple(reasons.values()))
    released = np.flatnonzero(~hidden).astype(np.int64)
    return SharePayload(
        released=released,
        counts=counts[released],
        sums=sums[:, released],
        suppressed=tuple(
            (cell, next(reason for reason, holds in reasons.items() if holds[cell]))
            for cell in np.flatnonzero(hidden).tolist()
        ),
        notes=tuple((name, notes[name]) for name in sorted(notes) if notes[name]),
    )
