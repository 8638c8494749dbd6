"""Roots and collectors under an adversary who chooses crashes, repeated sends, zombies, silences and deadlines.

SOTTO_SCHEDULES=20 runs twenty times as many.
"""

from __future__ import annotations

import os

import pytest

from streams.collector import Collector
from streams.root import Root
from tests.streams.schedules import Sim, Violation, run, small_trial

MORE = int(os.environ.get("SOTTO_SCHEDULES", "1"))


@pytest.mark.parametrize(
    ("scheme", "windows", "down", "unverified", "schedules"),
    [
        ("replicated", 2, None, "release", 300),
        ("replicated", 3, None, "release", 100),
        ("replicated", 2, 2, "release", 200),
        ("replicated", 2, None, "wait", 100),
        ("additive", 2, None, "release", 200),
        ("additive", 2, 1, "release", 100),
    ],
)
def test_every_window_has_one_exact_outcome(
    scheme: str, windows: int, down: int | None, unverified: str, schedules: int
) -> None:
    """No schedule gives two reveals, two outcomes, a disagreement, a wrong sum, or a window without an outcome."""
    trial = small_trial(scheme, windows, unverified=unverified)
    for seed in range(schedules * MORE):
        try:
            run(Sim(trial, down=down), seed, steps=400)
        except Violation as found:
            pytest.fail(f"seed {seed}: {found}")


class OwnFloorCommits(Root):
    """Commits what is below its own floor, not the quorum's: what the model found to be wrong."""

    def committable(self) -> dict[str, int]:
        if not self.live:
            return {}
        floor = self._floor()
        return {
            name: min((at for window, at in self._needed[name].items() if window >= floor), default=place)
            for name, place in self._place.items()
        }


class EagerCollector(Collector):
    """Commits what it has read."""

    def committable(self) -> int | None:
        return self._place if self.live else None


@pytest.mark.parametrize(
    "broken", [{"root_class": OwnFloorCommits}, {"collector_class": EagerCollector}], ids=["root", "collector"]
)
def test_the_simulator_finds_known_faults(broken: dict[str, type]) -> None:
    """A root or collector that forgets too early is found within some tens of schedules."""
    trial = small_trial("replicated", 3)

    def all_well() -> None:
        for seed in range(80):
            run(Sim(trial, **broken), seed, steps=600)

    with pytest.raises(Violation):
        all_well()
