"""What /status of a gateway says. Written by the loop, read by the threads that serve pages."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ingest.commit import GivenUp, SealedWindow
from ingest.decode import Tally

_MOST: Final = 12
"""So many sealed windows, and so many open ones, are shown."""
_MOST_DROPPED: Final = 24


@dataclass(slots=True)
class _Link:
    """A server, and since when it has been there or not (monotonic, ms)."""

    connected: bool = False
    since: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the loop sees once a second. `now` is monotonic, all times are in milliseconds.

    `windows`: open windows and their readings; `next_seal`: the window that is sealed next; `oldest`: age of the oldest
    batch in the spool; `spool_says`: what to do where reading has stopped; `dropped`: readings given up since the
    start; `links`: server -> (connected, what was wrong last); `offset`: this clock minus Kafka's; `late`: readings
    that came too late, by window.
    """

    now: int
    windows: Mapping[int, int]
    next_seal: int | None
    unacknowledged: int
    spool_bytes: int
    spool_limit: int
    spool_says: str | None
    dropped: int
    oldest: int | None
    links: Mapping[str, tuple[bool, str]]
    offset: int | None
    synchronised: bool | None
    clock_right: bool
    late: Mapping[int, int]


@dataclass(slots=True)
class Page:
    """Collects what the page shows; refusals are counted since the start."""

    refused: Counter[str] = field(default_factory=Counter)
    sealed: deque[SealedWindow] = field(default_factory=lambda: deque(maxlen=_MOST))
    _dropped: dict[int, tuple[int, str]] = field(default_factory=dict)
    """window -> (readings, why): what was dropped last."""
    _links: dict[str, _Link] = field(default_factory=dict)
    _shown: dict[str, Any] = field(default_factory=dict)

    def count(self, tally: Tally) -> None:
        """Add what was refused since the last look."""
        for (_, reason), number in tally.refused.items():
            self.refused[reason] += number

    def drop(self, one: GivenUp, why: str) -> None:
        """Take a window that left the spool unsent."""
        self._dropped[one.window] = (one.readings, why)
        for window in list(self._dropped)[:-_MOST_DROPPED]:
            del self._dropped[window]

    def look(self, look: Look) -> None:
        """Take what there is to see now."""
        for name, (connected, error) in look.links.items():
            link = self._links.setdefault(name, _Link())
            if link.since is None or link.connected != connected:
                link.connected, link.since = connected, look.now
            link.error = "" if connected else error
        self._shown = {
            "windows": [
                {"window": window, "readings": readings} for window, readings in sorted(look.windows.items())[-_MOST:]
            ],
            "open_windows": len(look.windows),
            "next_seal": look.next_seal,
            "sealed": [self._sealed(one) for one in self.sealed],
            "dropped_windows": [
                {"window": window, "readings": readings, "reason": why}
                for window, (readings, why) in sorted(self._dropped.items())
            ],
            "unacknowledged": look.unacknowledged,
            "spool": {
                "bytes": look.spool_bytes,
                "limit_bytes": look.spool_limit,
                "oldest_ms": look.oldest,
                "full": look.spool_says,
                "dropped": look.dropped,
            },
            **{
                name: {
                    "connected": link.connected,
                    "since_ms": look.now - (look.now if link.since is None else link.since),
                    "error": link.error,
                }
                for name, link in self._links.items()
            },
            "late": [{"window": window, "readings": readings} for window, readings in sorted(look.late.items())],
            "refused": dict(sorted(self.refused.items())),
            "clock": {"offset_ms": look.offset, "synchronised": look.synchronised, "right": look.clock_right},
        }

    def _sealed(self, one: SealedWindow) -> dict[str, Any]:
        """A seal that was dropped told nothing: a cold one went in its place, and its notes go to a later one."""
        lost = one.window in self._dropped
        return {
            "window": one.window,
            "readings": one.readings,
            "gaps": one.gaps,
            "late": 0 if lost else one.late,
            "dropped": 0 if lost else one.dropped,
            "refused": one.refused,
            "cold": one.cold or lost,
        }

    def document(self) -> Mapping[str, object]:
        """Return what was seen last."""
        return self._shown
