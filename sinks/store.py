"""What a database has to offer to the sink, and the two ways in which a write can fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from protocol.errors import SottoError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sinks.rows import Rows


class AwayError(SottoError):
    """The database did not take the rows now and may take them later: try again, commit nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a write: points that are in the database, and those that it refused for good, by reason.

    `refused` maps a short word (a metric label) to the number of points; `said` is the database's own sentence about
    one of them. A refusal is final: the same point would be refused again, and every later window would wait for it.
    """

    points: int
    refused: Mapping[str, int] = field(default_factory=dict)
    said: str | None = None


class Store(Protocol):
    """A place for results. Methods block; a write that is repeated overwrites."""

    kind: str
    """ "influxdb" or "sqlite", for logs."""

    where: str
    """Where it is, for logs; without secrets."""

    identity: str
    """Which store this is, as letters and digits. Kafka remembers under it how far this store has been written, so
    another bucket or a new file begins with the first aggregate that Kafka still has."""

    def write(self, rows: Rows) -> Written:
        """Write the rows of one window; AwayError when it is worth trying again."""

    def check(self, *, valid_from: int, now: int) -> str | None:
        """Whether the store can be written: NotReadyError if not; a warning if it drops what begins at `valid_from`.

        Both times are milliseconds since the epoch.
        """

    def close(self) -> None:
        """Let go of files and connections."""
