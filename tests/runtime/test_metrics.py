"""The names that dashboards and alerts rest on: each role shows what operators.md 6.1 lists, and nothing else."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ingest.metrics import GatewayMetrics
from runtime.metrics import CommonMetrics
from sinks.metrics import SinkMetrics
from streams.metrics import CollectorMetrics, PartyMetrics, WorkMetrics
from streams.work import Snapshot
from tests.trial import Trial, make_trial

ALL = {"sotto_build_info", "sotto_task_info", "sotto_task_end_timestamp_seconds", "sotto_dependency_up"}
ROSTER = {"sotto_roster_version"}
WORK = {"records_total", "lag_records", "caught_up", "rebalances_total", "folded_again_records_total"}
LISTED = {
    "gateway": {
        "messages_total",
        "readings_total",
        "gaps_total",
        "refused_total",
        "duplicates_total",
        "qos0_messages_total",
        "unacknowledged_messages",
        "broker_dropped_total",
        "mqtt_reconnects_total",
        "last_reading_timestamp_seconds",
        "last_sealed_window_timestamp_seconds",
        "late_window_timestamp_seconds",
        "open_windows",
        "spool_bytes",
        "spool_limit_bytes",
        "spool_oldest_seconds",
        "spool_full",
        "spool_dropped_total",
        "spool_dropped_windows_total",
        "spool_commit_seconds",
        "batches_sent_total",
        "send_seconds",
    },
    "party": WORK
    | {
        "rejected_records_total",
        "rows_total",
        "open_windows",
        "oldest_open_window_timestamp_seconds",
        "gateway_last_seal_timestamp_seconds",
        "contributions_total",
        "dropped_contributions_total",
        "manifests_total",
        "closes_total",
        "aggregate_shares_total",
        "joint_jobs_total",
        "joint_dropped_records_total",
        "duplicate_identity_total",
        "contradictions_total",
    },
    "collector": {
        "cells_total",
        "windows_waiting",
        "oldest_waiting_timestamp_seconds",
        "party_missing_total",
        "share_mismatch_total",
        "joint_results_total",
        "contradictions_total",
        "organisations",
    },
    "sink": {
        "points_total",
        "rejected_points_total",
        "write_seconds",
        "retries_total",
        "lag_records",
        "last_point_timestamp_seconds",
    },
}
"""By role, without `sotto_ROLE_`. Of the list there are not: the expiry of certificates, and the time of
sealing keys (a key file holds none)."""

MORE = {
    "gateway": {"sotto_clock_offset_seconds", "sotto_clock_synchronised"},
    "party": {"sotto_clock_offset_seconds", "sotto_clock_synchronised"},
    "collector": {"sotto_clock_offset_seconds", "sotto_clock_synchronised"}
    | {f"sotto_collector_{name}" for name in WORK}
    | {
        "sotto_collector_rejected_records_total",
        "sotto_collector_seal_to_aggregate_seconds",
        "sotto_window_end_to_point_seconds",
    },
    "sink": {"sotto_clock_synchronised", "sotto_sink_rejected_records_total", "sotto_seal_to_point_seconds"},
}
"""In full: the clock, which the sink does not compare with Kafka's; latencies; what the list names for parties only."""


@pytest.fixture(scope="module")
def trial() -> Trial:
    return make_trial()


def registry_of(role: str, trial: Trial) -> CollectorRegistry:
    """Make the registry of a role as its `main` does."""
    registry = CollectorRegistry()
    match role:
        case "gateway":
            GatewayMetrics(registry, trial.task, trial.roster)
        case "sink":
            SinkMetrics(registry, trial.task)
        case _:
            CommonMetrics(registry, role=role, task=trial.task, roster=trial.roster)
            WorkMetrics(registry, role=role, work=Snapshot)
            PartyMetrics(registry) if role == "party" else CollectorMetrics(registry)
    return registry


@pytest.mark.parametrize("role", list(LISTED))
def test_a_role_shows_what_is_listed(role: str, trial: Trial) -> None:
    """A renamed metric would leave a panel empty and an alert silent."""
    page = generate_latest(registry_of(role, trial)).decode()
    shown = {name for name in re.findall(r"^# HELP (\S+)", page, re.MULTILINE) if not name.endswith("_created")}
    roster = set() if role == "sink" else ROSTER
    assert shown == ALL | roster | MORE[role] | {f"sotto_{role}_{name}" for name in LISTED[role]}


@pytest.mark.parametrize("role", list(LISTED))
def test_a_role_says_which_program_and_task_it_is(role: str, trial: Trial) -> None:
    """`role`, the protocol and the task's id, so that a version that was left behind is seen."""
    page = generate_latest(registry_of(role, trial)).decode()
    assert re.search(rf'^sotto_build_info{{protocol="1",role="{role}",version="[^"]+"}} 1.0$', page, re.MULTILINE)
    assert f'task_id="{trial.task.id}"' in page
    end = float(re.findall(r"^sotto_task_end_timestamp_seconds (\S+)$", page, re.MULTILINE)[0])
    assert end == trial.task.valid_until / 1_000
