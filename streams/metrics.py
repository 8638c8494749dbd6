"""What parties and the collector count, under the names that the alerts and dashboards use (operators.md 6.1).

Labels are topics, gateways, parties and reasons: none grows with sensors or readings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streams.work import Snapshot

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600, 21_600)


class WorkMetrics(Collector):
    """Read when Prometheus asks: the runner counts, we only name."""

    def __init__(self, registry: CollectorRegistry, *, role: str, work: Callable[[], Snapshot]) -> None:
        self._role = role
        self._work = work
        registry.register(self)

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing is asked of the runner before it runs."""
        return []

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield one family after the other."""
        name, work = f"sotto_{self._role}", self._work()
        records = CounterMetricFamily(f"{name}_records", "Records taken", labels=["topic"])
        for topic, count in work.records.items():
            records.add_metric([topic], count)
        lag = GaugeMetricFamily(f"{name}_lag_records", "Records in Kafka that are not taken yet", labels=["topic"])
        for topic, behind in work.lag.items():
            lag.add_metric([topic], behind)
        yield records
        yield lag
        yield GaugeMetricFamily(f"{name}_caught_up", "1 while everything is read to its end", value=work.caught_up)
        yield CounterMetricFamily(
            f"{name}_rebalances", "Changes of who works on which partition", value=work.rebalances
        )
        yield CounterMetricFamily(
            f"{name}_folded_again_records", "Records taken again after such a change", value=work.folded_again
        )


class PartyMetrics:
    """One party's worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rejected = Counter(
            "sotto_party_rejected_records",
            "Records that are none of ours, or not right",
            ["topic", "reason"],
            registry=registry,
        )
        self.rows = Counter("sotto_party_rows", "Readings whose shares were added up", registry=registry)
        self.faults = Counter(
            "sotto_party_dropped_contributions",
            "Gateways that take no part in a window although something came from them",
            ["gateway", "reason"],
            registry=registry,
        )
        self.last_seal = Gauge(
            "sotto_party_gateway_last_seal_timestamp_seconds",
            "When this gateway sealed last, by its clock",
            ["gateway"],
            registry=registry,
        )
        self.clock_offset = Gauge(
            "sotto_clock_offset_seconds", "This clock against Kafka's, by the records read lately", registry=registry
        )
        self.open_windows = Gauge("sotto_party_open_windows", "Windows without an outcome", registry=registry)
        self.oldest_open = Gauge(
            "sotto_party_oldest_open_window_timestamp_seconds", "Start of the oldest of them", registry=registry
        )
        self.contributions = Counter(
            "sotto_party_contributions",
            "Gateways by window, when the manifest was written",
            ["state"],
            registry=registry,
        )
        self.manifests = Counter(
            "sotto_party_manifests", "Manifests that counted, by their party", ["by"], registry=registry
        )
        self.contradictions = Counter(
            "sotto_party_contradictions",
            "What parties did that an honest one does not do, or lacked alone",
            ["party", "kind"],
            registry=registry,
        )
        self.joint = Counter(
            "sotto_party_joint_jobs", "Joint computations of windows, by outcome", ["job", "outcome"], registry=registry
        )
        self.joint_dropped = Counter(
            "sotto_party_joint_dropped_records",
            "Records of joint computation for which there was no room, by their party",
            ["by"],
            registry=registry,
        )
        self.closes = Counter("sotto_party_closes", "Ends of waiting, by cause", ["cause"], registry=registry)
        self.aggregate_shares = Counter("sotto_party_aggregate_shares", "Aggregate shares written", registry=registry)
        self.duplicate_identity = Counter(
            "sotto_party_duplicate_identity",
            "Two devices sealed one window with one key",
            ["gateway"],
            registry=registry,
        )


class CollectorMetrics:
    """The collector's worker."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rejected = Counter(
            "sotto_collector_rejected_records",
            "Records that are none of ours, or not right",
            ["topic", "reason"],
            registry=registry,
        )
        self.clock_offset = Gauge(
            "sotto_clock_offset_seconds", "This clock against Kafka's, by the records read lately", registry=registry
        )
        self.cells = Counter("sotto_collector_cells", "Cells with an outcome", ["outcome", "reason"], registry=registry)
        self.joint = Counter(
            "sotto_collector_joint_results",
            "Outcomes of joint computations: one for each group that stands by itself, else one for the job",
            ["job", "outcome", "reason"],
            registry=registry,
        )
        self.waiting = Gauge("sotto_collector_windows_waiting", "Windows without an outcome", registry=registry)
        self.oldest_waiting = Gauge(
            "sotto_collector_oldest_waiting_timestamp_seconds", "Start of the oldest of them", registry=registry
        )
        self.party_missing = Counter(
            "sotto_collector_party_missing", "Windows released without this party", ["party"], registry=registry
        )
        self.share_mismatch = Counter(
            "sotto_collector_share_mismatch",
            "Windows in which this party's totals contradict the others'",
            ["party"],
            registry=registry,
        )
        self.contradictions = Counter(
            "sotto_collector_contradictions",
            "What parties did that an honest one does not do, or lacked alone",
            ["party", "kind"],
            registry=registry,
        )
        self.organisations = Gauge(
            "sotto_collector_organisations", "Organisations in the last window", registry=registry
        )
        self.seal_to_point = Histogram(
            "sotto_collector_seal_to_aggregate_seconds",
            "From a window's last seal, by the gateway's clock, to its aggregate",
            buckets=_SECONDS,
            registry=registry,
        )
        self.window_end_to_point = Histogram(
            "sotto_window_end_to_point_seconds",
            "From a window's end to its aggregate",
            buckets=_SECONDS,
            registry=registry,
        )
