"""Names of Kafka topics, and the partition of each record.

The partition is computed here and given to the producer, since the partitioners of Kafka's clients differ. `shares`,
`contributions`, `control` and `rounds` have the same number of partitions (the roster's), so that the worker that holds
partition k of one holds partition k of the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from protocol.canonical import tagged_hash
from protocol.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Topics:
    """The topics of one task. `joint`: whether it has jobs, for which the parties talk to each other."""

    prefix: str
    parties: tuple[str, ...]
    joint: bool = False

    @classmethod
    def of(cls, task: Task, prefix: str | None = None) -> Topics:
        """Return the topics of a task; the default prefix is `sotto.<task name>.`."""
        chosen = f"sotto.{task.name}." if prefix is None else prefix
        return cls(prefix=chosen, parties=task.party_names, joint=bool(task.joint))

    def shares(self, party: str) -> str:
        """Batches and seals, from the gateways to one party."""
        return f"{self.prefix}shares.{party}"

    def contributions(self, party: str) -> str:
        """Sums of one batch, from a party to itself."""
        return f"{self.prefix}contributions.{party}"

    @property
    def control(self) -> str:
        """Manifests, closes, give-ups, aggregate shares, outcomes: the one log that decides."""
        return f"{self.prefix}control"

    @property
    def rounds(self) -> str:
        """What parties say to each other in joint computation, sealed."""
        return f"{self.prefix}rounds"

    @property
    def aggregates(self) -> str:
        """Released aggregates, signed JSON."""
        return f"{self.prefix}aggregates"

    @property
    def roster(self) -> str:
        """Roster versions and sealing keys."""
        return f"{self.prefix}roster"

    def all(self) -> tuple[str, ...]:
        """Every topic of the task."""
        shares = tuple(self.shares(party) for party in self.parties)
        contributions = tuple(self.contributions(party) for party in self.parties)
        rounds = (self.rounds,) if self.joint else ()
        return (*shares, *contributions, self.control, *rounds, self.aggregates, self.roster)


def _partition(digest: bytes, partitions: int) -> int:
    return int.from_bytes(digest[:8], "little") % partitions


def partition_of_segment(task_hash: bytes, gateway: str, window: int, partitions: int) -> int:
    """Return the partition of a gateway's records of one window, the same on every party's `shares` topic.

    By gateway and window, so that neither one large gateway nor one large window sits on a single worker for ever.
    """
    name = gateway.encode()
    place = tagged_hash("segment partition", task_hash, window.to_bytes(8, "little", signed=True), name)
    return _partition(place, partitions)


def partition_of_window(task_hash: bytes, window: int, partitions: int) -> int:
    """Return the partition of all records of one window on `contributions`, `control`, `rounds` and `aggregates`."""
    place = tagged_hash("window partition", task_hash, window.to_bytes(8, "little", signed=True))
    return _partition(place, partitions)
