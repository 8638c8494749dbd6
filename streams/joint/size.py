"""How long a record on `rounds` gets with a task's jobs: what a window says in one round is one record of Kafka."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np

from mpc_ops.joint.jobs import Job, LeastSquares, LinearSolve
from mpc_ops.joint.replicated import PARTIES
from mpc_ops.rings import Z64
from mpc_ops.rounds import Array
from mpc_ops.sessions import run
from protocol.errors import ConfigError
from streams.joint.plan import Plan
from streams.joint.run import window_program

_AROUND: Final = 1_024
"""Bytes of a record that are no message: more than its header, seals and signature."""


def longest_record(plans: Sequence[Plan]) -> int:
    """Bytes of the longest record of a window in which all groups are there, up to `_AROUND` more.

    Found by a run of all jobs in one process: sizes do not depend on values. Takes as long as a window at one party,
    three times.
    """
    jobs: list[tuple[Job | None, partial[Array]]] = []
    for plan in plans:
        groups = range(len(plan.groups))
        job = plan.job(groups)
        jobs.append((job, partial(_share, _regular(job, plan.cells[:, :, 0].size))))
    sizes: Counter[tuple[int, int]] = Counter()

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        del receiver
        sizes[number, sender] += len(message)

    run(window_program(jobs), parties=PARTIES, observe=observe)
    return max(sizes.values(), default=0) + _AROUND


def check_records(plans: Sequence[Plan], most: int) -> None:
    """Raises ConfigError where a window's jobs make a record of more than `most` bytes."""
    longest = longest_record(plans)
    if longest > most:
        raise ConfigError(
            f"the joint jobs of a window make records of {longest / 1e6:.1f} MB, and {most / 1e6:.1f} MB are possible",
            remedy="Fewer label values, jobs by fewer labels (by), or jobs in several tasks. An order compares all"
            " pairs: with twice as many values it is four times as long.",
        )


def _regular(job: Job, columns: int) -> Array:
    """Values with which a job runs to its end: a system needs a solution."""
    values = np.zeros(columns, dtype=np.uint64)
    if isinstance(job, LinearSolve):
        values[: job.system.size**2] = Z64.element(np.eye(job.system.size, dtype=np.int64)).reshape(-1)
    elif isinstance(job, LeastSquares):
        values[: job.rows * job.size] = Z64.element(np.eye(job.rows, job.size, dtype=np.int64)).reshape(-1)
    return values


def _share(values: Array, party: int) -> Array:
    """A share that hides nothing: the values are component 0."""
    share = np.zeros((2, len(values)), dtype=np.uint64)
    share[-party % PARTIES :][:1] = values
    return share
