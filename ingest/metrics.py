"""What Prometheus reads of a gateway. Never a reading, never a sensor; labels are bounded."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from ingest.decode import Tally
from protocol.roster import Roster
from protocol.task import Task
from runtime.metrics import CommonMetrics

_P = "sotto_gateway"


class GatewayMetrics:
    """The metrics of one gateway, in a registry of their own."""

    def __init__(self, registry: CollectorRegistry, task: Task, roster: Roster) -> None:
        r = registry
        self.messages = Counter(f"{_P}_messages", "MQTT messages", ["source"], registry=r)
        self.readings = Counter(f"{_P}_readings", "Readings that were shared", ["measure"], registry=r)
        self.gaps = Counter(f"{_P}_gaps", "Null, NaN, NA, declared codes and missing fields", ["measure"], registry=r)
        self.refused = Counter(f"{_P}_refused", "Readings or messages not used", ["source", "reason"], registry=r)
        self.duplicates = Counter(f"{_P}_duplicates", "Exact repeats", registry=r)
        self.qos0 = Counter(f"{_P}_qos0_messages", "Messages that nobody would send again", ["source"], registry=r)
        self.unacknowledged = Gauge(f"{_P}_unacknowledged_messages", "Messages that wait for a commit", registry=r)
        self.broker_dropped = Gauge(f"{_P}_broker_dropped_total", "What the MQTT broker says it threw away", registry=r)
        self.reconnects = Gauge(f"{_P}_mqtt_reconnects_total", "Connections to MQTT after the first one", registry=r)
        self.last_reading = Gauge(
            f"{_P}_last_reading_timestamp_seconds", "When the last message came", ["source"], registry=r
        )
        self.last_sealed = Gauge(
            f"{_P}_last_sealed_window_timestamp_seconds", "Start of the last sealed window", registry=r
        )
        self.late_window = Gauge(
            f"{_P}_late_window_timestamp_seconds", "Start of the window that late readings came for last", registry=r
        )
        self.open_windows = Gauge(f"{_P}_open_windows", "Windows that have readings and no seal", registry=r)
        self.spool_bytes = Gauge(f"{_P}_spool_bytes", "Sealed records that Kafka has not confirmed", registry=r)
        self.spool_limit = Gauge(f"{_P}_spool_limit_bytes", "Where reading from MQTT stops", registry=r)
        self.spool_oldest = Gauge(f"{_P}_spool_oldest_seconds", "Age of the oldest record in the spool", registry=r)
        self.spool_full = Gauge(f"{_P}_spool_full", "1 while reading from MQTT stops for want of room", registry=r)
        self.dropped = Counter(
            f"{_P}_spool_dropped", "Readings given up: the spool was full, or they were too old", registry=r
        )
        self.dropped_windows = Counter(f"{_P}_spool_dropped_windows", "Windows given up for the same", registry=r)
        self.commit_seconds = Histogram(
            f"{_P}_spool_commit_seconds",
            "Time of a commit",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5),
            registry=r,
        )
        self.batches_sent = Gauge(f"{_P}_batches_sent_total", "Records that Kafka has confirmed", ["party"], registry=r)
        self.send_seconds = Histogram(f"{_P}_send_seconds", "Time until Kafka confirmed a record", registry=r)
        self.dependency_up = CommonMetrics(r, role="gateway", task=task, roster=roster).up
        self.clock_offset = Gauge("sotto_clock_offset_seconds", "This clock against Kafka's append time", registry=r)

    def count(self, tally: Tally, now: int) -> None:
        """Add what was counted since the last call, and begin the tally anew; `now` in milliseconds."""
        for source, count in tally.messages.items():
            self.messages.labels(source).inc(count)
            self.last_reading.labels(source).set(now / 1000)
        for measure, count in tally.readings.items():
            self.readings.labels(measure).inc(count)
        for measure, count in tally.gaps.items():
            self.gaps.labels(measure).inc(count)
        for (source, reason), count in tally.refused.items():
            self.refused.labels(source, reason).inc(count)
            if reason == "dropped":
                self.dropped.inc(count)
        for source, count in tally.qos0.items():
            self.qos0.labels(source).inc(count)
        self.duplicates.inc(tally.repeats)
        for counter in (tally.messages, tally.readings, tally.gaps, tally.refused, tally.qos0, tally.late):
            counter.clear()
        tally.repeats = 0
