"""What has ended lately, and who was last heard of: for people who ask, never for a decision.

Reasons are shown, and how many values were let out; never the counts that made the policy say no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

MOST: Final = 12
"""So many windows are remembered."""
MOST_NAMED: Final = 20
"""So many suppressed values of a window are named; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A window that has ended. `at`: Kafka's time of the record that ended it (ms).

    `parties`: whose shares were used; `at_fault`: who kept it from a result, where it can be told. `points` and
    `suppressed` are None where this process did not see the values: a party that had no part in them, or that was
    started after.
    """

    window: int
    at: int
    reason: str
    parties: tuple[str, ...] = ()
    at_fault: tuple[str, ...] = ()
    verified: bool | None = None
    points: int | None = None
    suppressed: int | None = None
    named: tuple[Mapping[str, object], ...] = ()

    def document(self) -> dict[str, Any]:
        """What /status says of it."""
        return {
            "window": self.window,
            "ended_at": self.at,
            "outcome": "done" if self.reason == "none" else "suppressed",
            "reason": self.reason,
            "parties": list(self.parties),
            "at_fault": list(self.at_fault),
            "verified": self.verified,
            "points": self.points,
            "suppressed": self.suppressed,
            "suppressed_cells": list(self.named),
        }


@dataclass(slots=True)
class Recent:
    """The latest ends of one fold, and Kafka's time of the latest record of each party."""

    ended: dict[int, Ended] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)

    def hear(self, party: str, at: int) -> None:
        """A record of a party stands in the log."""
        self.heard[party] = max(at, self.heard.get(party, at))

    def end(self, ended: Ended) -> None:
        """Remember the end of a window, and forget the oldest one."""
        self.ended.setdefault(ended.window, ended)
        if len(self.ended) > MOST:
            del self.ended[min(self.ended)]


def latest(recents: Iterable[Recent]) -> list[Ended]:
    """Return the latest windows of several folds, in order."""
    ended = (one for recent in recents for one in recent.ended.values())
    return sorted(ended, key=lambda one: one.window)[-MOST:]


def attendance(
    names: Sequence[str], recents: Sequence[Recent], *, waited: Iterable[str], now: int, own: str | None = None
) -> list[dict[str, Any]]:
    """Return how each party stands: `ok`, `waited_for`, `silent`, or `not_heard`.

    Silent is who was missing when the latest window ended and has not been heard of since. Not heard: nothing of it
    has come to this process yet. `waited`: whom open windows wait for. `own`: the party that asks, which knows of
    itself.
    """
    lasts = {name: max((one.heard[name] for one in recents if name in one.heard), default=None) for name in names}
    results = [one for one in latest(recents) if one.parties or one.reason == "party_missing"]
    last = max(results, key=lambda one: one.at, default=None)
    waits = set(waited)
    stands = []
    for name in names:
        heard = lasts[name]
        if name == own:
            state = "ok"
        elif last is not None and _lacks(last, name) and (heard is None or heard < last.at):
            state = "silent"
        else:
            known = heard is not None or any(name in one.parties for one in results)
            state = "waited_for" if name in waits else "ok" if known else "not_heard"
        stands.append({"name": name, "state": state, "silent_ms": None if heard is None else max(0, now - heard)})
    return stands


def _lacks(ended: Ended, name: str) -> bool:
    """Tell whether a window ended without a party."""
    return name not in ended.parties if ended.parties else name in ended.at_fault
