"""A party that is away, slow or restarted, and windows that nobody opens: one outcome each, exact or explained."""

from __future__ import annotations

import pytest

from tests.trial import HOUR, START, make_trial
from tests.whole.test_way_of_a_reading import Gateway, plain, shown
from tests.whole.town import Town

MINUTE = 60_000
PARTIES = ("party-1", "party-2", "party-3")


class Day:
    """A town that lives hour by hour: each gateway seals a window when its lateness has passed."""

    def __init__(self, scheme: str = "replicated", *, size: int = HOUR, **window: str) -> None:
        document = {"size": f"{size // MINUTE}m", "utc_offset": "+08:00", "lateness": "1m", "deadline": "2m", **window}
        self.trial = make_trial(scheme, window=document)
        self.size = size
        self.town = Town(self.trial, now=START)
        self.gateways = [Gateway(self.trial, name, self.town) for name in self.trial.roster.gateways]
        self.published: dict[int, int] = {}
        self.window = START

    def live(self, windows: int, *, silent: bool = False) -> list[int]:
        """Let so many windows go by; return their starts. Each ends on the clock, is sealed, and is worked on."""
        starts = []
        for _ in range(windows):
            window = self.window
            self._until(window + self.size + self.trial.task.window.lateness)
            for number, gateway in enumerate(self.gateways):
                if not silent:
                    readings = [(cell, (window // MINUTE + number) % 97) for cell in range(6)]
                    self.town.send(gateway.batch(window, readings) + gateway.seal(window))
            self.town.settle()
            self._look()
            starts.append(window)
            self.window += self.size
        return starts

    def pause(self, ms: int) -> None:
        """Let time pass without readings."""
        self._until(self.town.now + ms)

    def _until(self, end: int) -> None:
        while self.town.now < end:
            self.town.wait(min(10_000, end - self.town.now), step=10_000)
            self._look()

    def _look(self) -> None:
        if len(self.town.raw(self.town.topics.aggregates)) == len(self.published):
            return
        for window in self.town.aggregates():
            self.published.setdefault(window, self.town.now)

    def exact(self, windows: list[int]) -> bool:
        return all(shown(self.trial, self.town, w) == plain(self.trial, self.gateways, w) for w in windows)

    def late(self, window: int) -> int:
        """How long after its sealing the window was published."""
        return self.published[window] - (window + self.size + self.trial.task.window.lateness)


@pytest.mark.parametrize("away", PARTIES)
def test_an_hour_without_one_of_three(away: str) -> None:
    """No window waits longer than the deadlines (for its manifest, then none for its share), none is wrong; after its
    return, whatever it has missed, the party takes part in the next window again."""
    day = Day(size=10 * MINUTE)
    before = day.live(2)
    day.town.stop(away)
    hour = day.live(6)
    day.pause(10 * MINUTE - MINUTE)
    day.window += day.size  # of this one nobody has sent anything: it is due all the same
    assert day.exact(before + hour)
    assert all(day.town.aggregates()[window].verified for window in before)
    for window in hour:
        aggregate = day.town.aggregates()[window]
        assert (aggregate.verified, aggregate.parties) == (False, tuple(name for name in PARTIES if name != away))
        assert day.late(window) <= day.trial.task.window.deadline + 10_000
    day.town.start(away)
    after = day.live(3)
    assert day.exact(before + hour + after)
    assert all(day.town.aggregates()[window].verified for window in after)
    assert day.town.count("collector", "sotto_collector_party_missing_total", party=away) >= 6


def test_a_party_that_restarts_in_the_middle_of_every_window_is_not_missed() -> None:
    """Whatever it had in memory comes back from its log: every window is exact and verified."""
    day = Day(size=10 * MINUTE)
    windows = []
    for number in range(6):
        for gateway in day.gateways[:2]:
            day.town.send(gateway.batch(day.window, [(0, 5)]))
        day.town.settle()
        day.town.start(PARTIES[number % 3])
        windows += day.live(1)
    assert day.exact(windows)
    assert all(day.town.aggregates()[window].verified for window in windows)


@pytest.mark.parametrize("away", ["party-1", "party-3"])
def test_additive_windows_wait_for_the_party_and_come_out_exact(away: str) -> None:
    """Ten windows without one that all are needed for: nothing, until it is back, and then every one."""
    day = Day("additive", size=10 * MINUTE)
    before = day.live(1)
    day.town.stop(away)
    waiting = day.live(10)
    assert set(day.town.aggregates()) == set(before)
    day.town.start(away)
    day.town.settle()
    after = day.live(1)
    assert day.exact(before + waiting + after)


def test_with_one_of_three_windows_wait_for_a_second() -> None:
    """Two are down: nothing is lost, the windows come out when one is back, and verified when both are."""
    day = Day(size=10 * MINUTE)
    day.town.stop("party-1")
    day.town.stop("party-2")
    waiting = day.live(3)
    assert day.town.aggregates() == {}
    day.town.start("party-2")
    day.pause(5 * MINUTE)
    assert day.exact(waiting)
    day.town.start("party-1")
    after = day.live(2)
    assert day.exact(waiting + after)
    assert day.town.aggregates()[after[-1]].verified


@pytest.mark.parametrize(
    ("scheme", "away"),
    [("replicated", ("party-1", "party-3")), ("additive", ("party-2",))],
    ids=["replicated", "additive"],
)
def test_given_up_only_after_the_configured_time_and_the_missing_are_named(scheme: str, away: tuple[str, ...]) -> None:
    """Until then the log keeps everything; then each cell says who did not answer."""
    day = Day(scheme, size=10 * MINUTE, give_up_after="2h")
    for name in away:
        day.town.stop(name)
    (window,) = day.live(1)
    day.pause(2 * HOUR - 5 * MINUTE)
    assert window not in day.town.aggregates()
    day.pause(20 * MINUTE)
    if scheme == "replicated":  # two must give up, and one alone is there
        assert window not in day.town.aggregates()
        day.town.start(away[0])
        day.pause(5 * MINUTE)
        assert day.exact([window])  # with two it need not be given up any more
        return
    cells = day.town.aggregates()[window].cells
    assert {(cell.outcome, cell.reason, cell.at_fault) for cell in cells} == {("suppressed", "party_missing", away)}


def test_windows_of_a_night_without_gateways_have_an_outcome() -> None:
    """Nobody opens them: the parties' clocks do (operators.md M2), and each cell ends as `no_readings`."""
    day = Day(size=10 * MINUTE)
    first = day.live(1)
    night = day.live(20, silent=True)
    morning = day.live(1)
    day.pause(5 * MINUTE)
    assert set(day.town.aggregates()) == {*first, *night, *morning}
    for window in night:
        cells = day.town.aggregates()[window].cells
        assert len(cells) == len(day.trial.roster.cells(day.trial.task))
        assert {(cell.outcome, cell.reason) for cell in cells} == {("suppressed", "no_readings")}
        assert day.late(window) <= day.trial.task.window.deadline + 20_000
    assert day.exact(first + morning)
    contradictions = [
        sample.value
        for registry in day.town.registries.values()
        for family in registry.collect()
        if family.name.endswith("_contradictions")
        for sample in family.samples
        if sample.name.endswith("_total")
    ]
    assert contradictions == []


def test_a_gateway_of_the_roster_that_is_never_seen_is_absent_from_each_window() -> None:
    """It costs the deadline; within `max_absent` the others are released without it."""
    day = Day(size=10 * MINUTE)
    never = day.gateways.pop(0)
    windows = day.live(3)
    day.pause(5 * MINUTE)
    assert day.exact(windows)
    name = next(iter(day.trial.roster.gateways))
    assert never.readings == {}
    for window in windows:
        aggregate = day.town.aggregates()[window]
        assert (aggregate.absent, aggregate.verified) == ((name,), True)
