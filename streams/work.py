"""What a runner shows of its flows: for /status, /metrics, readiness, and the line `started`."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.runner import FlowStatus, Runner


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A process at a moment. Made by its loop, read by the threads that serve pages."""

    connected: bool = False
    ready: bool = False
    rebalances: int = 0
    flows: tuple[FlowStatus, ...] = ()
    records: dict[str, int] = field(default_factory=dict)
    lag: dict[str, int] = field(default_factory=dict)
    folded_again: int = 0

    @classmethod
    def of(cls, runner: Runner | None, *, prefix: str) -> Snapshot:
        """Look at a runner, or at none while there is no Kafka. `prefix` is left out of the topics' names."""
        if runner is None:
            return cls()
        flows = tuple(runner.status())
        return cls(
            connected=runner.connected,
            ready=runner.ready,
            rebalances=runner.rebalances,
            flows=flows,
            records={
                topic.removeprefix(prefix): count for flow in flows for topic, count in flow.counts.records.items()
            },
            lag={topic.removeprefix(prefix): behind for flow in flows for topic, behind in flow.lag.items()},
            folded_again=sum(flow.counts.again for flow in flows),
        )

    @property
    def caught_up(self) -> bool:
        """Whether every flow has read everything."""
        return bool(self.flows) and all(flow.caught_up for flow in self.flows)

    def document(self) -> dict[str, object]:
        """What /status says of it."""
        return {
            "kafka": "connected" if self.connected else "away",
            "caught_up": self.caught_up,
            "partitions": {flow.name: list(flow.partitions) for flow in self.flows},
            "lag": self.lag,
            "rebalances": self.rebalances,
        }
