"""The policy: which cells of a window may be let out. Each party decides it by itself, on what it holds (DESIGN 5.8).

All parties hold the same row counts of the agreed contributions (the cores bind them), so all come to the same answer,
and the collector, who must not be trusted with it, only compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from protocol.body import SealNotes
from protocol.roster import Roster
from protocol.share import JointShare, SharePayload
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


def due_cells(task: Task, roster: Roster) -> NDArray[np.bool_]:
    """Tell for each of the roster's cells whether its sum is to be released: bool[cells].

    A measure without statistics is never released: it exists for joint computations alone.
    """
    released = task.released_measures
    return np.array([cell.measure in released for cell in roster.cells(task)], dtype=np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """An agreed set added up by cell: rows int64[cells], this party's components uint64[held, cells], and who has
    rows where: bool[gateways, cells], bool[organisations, cells]."""

    counts: NDArray[np.int64] = field(repr=False)
    sums: NDArray[np.uint64] = field(repr=False)
    gateways: NDArray[np.bool_] = field(repr=False)
    organisations: NDArray[np.bool_] = field(repr=False)


def totals(task: Task, roster: Roster, contributions: Mapping[str, CellSums], *, held: int) -> Totals:
    """Add up the contributions of an agreed set (gateway -> its sums); components wrap modulo 2^64."""
    cells = len(roster.cells(task))
    names = sorted({roster.gateways[name].organisation for name in contributions})
    found = Totals(
        counts=np.zeros(cells, dtype=np.int64),
        sums=np.zeros((held, cells), dtype=np.uint64),
        gateways=np.zeros((len(contributions), cells), dtype=np.bool_),
        organisations=np.zeros((len(names), cells), dtype=np.bool_),
    )
    for number, (name, part) in enumerate(contributions.items()):
        with_rows = part.cells[part.rows > 0]
        found.counts[part.cells] += part.rows
        found.sums[:, part.cells] += part.sums
        found.gateways[number, with_rows] = True
        found.organisations[names.index(roster.gateways[name].organisation), with_rows] = True
    return found


def judge(
    task: Task,
    roster: Roster,
    whole: Totals,
    *,
    notes: Mapping[str, SealNotes],
    joint: tuple[JointShare, ...] = (),
) -> SharePayload:
    """Apply the policy to each cell of an agreed set on the gateways that have rows in it.

    A released cell carries the total of rows and the sums (mod 2^64) of each component, a suppressed one the first
    reason that holds and nothing else. A cell that is not due, since its measure only feeds joint computations, is
    neither. `joint`: this party's part of the jobs' results.
    """
    due = due_cells(task, roster)
    counts = whole.counts
    policy = task.policy
    reasons = {
        "no_readings": counts == 0,
        "too_few_organisations": whole.organisations.sum(axis=0) < policy.min_organisations,
        "too_few_gateways": whole.gateways.sum(axis=0) < policy.gateways,
        "too_few_readings": counts < policy.readings,
        "overflow": counts > task.limits.max_rows * task.limits.max_gateways,
    }
    hidden = np.logical_or.reduce(tuple(reasons.values()))
    released = np.flatnonzero(due & ~hidden).astype(np.int64)
    return SharePayload(
        released=released,
        counts=counts[released],
        sums=whole.sums[:, released],
        suppressed=tuple(
            (cell, next(reason for reason, holds in reasons.items() if holds[cell]))
            for cell in np.flatnonzero(due & hidden).tolist()
        ),
        notes=tuple((name, notes[name]) for name in sorted(notes) if notes[name]),
        joint=joint,
    )
