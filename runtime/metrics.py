"""What every role shows to Prometheus, under the same names (operators.md 6.1).

`sotto_sealing_key_created_timestamp_seconds` is not among them: a key file holds no time, and the file's own says when
it was copied.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry, Gauge

from protocol.codec import VERSION
from protocol.roster import Roster
from protocol.task import Task
from runtime.clock import synchronised


class CommonMetrics:
    """Made once per registry. `up` is set by whoever talks to a server."""

    def __init__(self, registry: CollectorRegistry, *, role: str, task: Task, roster: Roster | None) -> None:
        """`roster` is None for a sink, which has none."""
        build = Gauge("sotto_build_info", "This program", ["version", "protocol", "role"], registry=registry)
        build.labels(_version(), str(VERSION), role).set(1)
        info = Gauge("sotto_task_info", "The task", ["task", "revision", "task_id"], registry=registry)
        info.labels(task.name, str(task.revision), task.id).set(1)
        end = Gauge("sotto_task_end_timestamp_seconds", "End of the task's last window", registry=registry)
        end.set(task.valid_until / 1_000)
        if roster is not None:
            Gauge("sotto_roster_version", "The roster in force", registry=registry).set(roster.version)
        clock = Gauge("sotto_clock_synchronised", "0 where the kernel says that nobody sets it", registry=registry)
        clock.set_function(lambda: synchronised() is not False)
        self.up = Gauge("sotto_dependency_up", "1 while it answers", ["dependency"], registry=registry)


def _version() -> str:
    try:
        return version("sotto-streams")
    except PackageNotFoundError:  # run from a copy of the repository
        return "unknown"
