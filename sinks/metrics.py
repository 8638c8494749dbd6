"""What a sink counts, under the names that the alerts and dashboards use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics import CommonMetrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from protocol.task import Task

_WRITE = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SEAL_TO_POINT = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600)


class SinkMetrics:
    """Metrics of one sink process; none has a label that grows with sensors or label values."""

    def __init__(self, registry: CollectorRegistry, task: Task) -> None:
        self.points = Counter(
            "sotto_sink_points_total", "Points written: values, outcomes, contributors", registry=registry
        )
        self.rejected_points = Counter(
            "sotto_sink_rejected_points_total",
            "Points that the database refused for good",
            ["reason"],
            registry=registry,
        )
        self.rejected_records = Counter(
            "sotto_sink_rejected_records_total",
            "Records of topic aggregates that are none of ours",
            ["reason"],
            registry=registry,
        )
        self.retries = Counter("sotto_sink_retries_total", "Writes that had to be tried again", registry=registry)
        self.write_seconds = Histogram(
            "sotto_sink_write_seconds", "One write of one window", buckets=_WRITE, registry=registry
        )
        self.lag = Gauge("sotto_sink_lag_records", "Windows in Kafka that are not written yet", registry=registry)
        self.last_point = Gauge(
            "sotto_sink_last_point_timestamp_seconds", "When something was last written", registry=registry
        )
        self.up = CommonMetrics(registry, role="sink", task=task, roster=None).up
        self.seal_to_point = Histogram(
            "sotto_seal_to_point_seconds",
            "From a window's last seal, by the gateway's clock, to its points in the database",
            buckets=_SEAL_TO_POINT,
            registry=registry,
        )
