"""The pages of the very code that runs in a role, put into words: no key is missing, whatever state it is in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from protocol.control import GiveUp
from sotto.report import report
from streams.agreement import Rules, Terminal
from streams.recent import Ended, Recent, attendance, latest
from tests.ingest.test_service import Loop
from tests.streams.test_collector import Feed as Log
from tests.streams.test_root import MINUTE, NAMES, Feed
from tests.trial import HOUR, START, make_trial

TRIAL = make_trial()


def page(states: dict[str, Any], recent: Recent, *, now: int, **more: Any) -> dict[str, Any]:
    """A page as `streams.party` and `streams.collect` put it together."""
    return {
        "role": "party",
        "live": states["caught_up"],
        "gateways": len(TRIAL.roster.gateways),
        "enough_parties": Rules.of(TRIAL.task).enough,
        "windows": states["windows"],
        "recent": [one.document() for one in latest([recent])],
        "parties": attendance(TRIAL.task.party_names, [recent], waited=(), now=now),
        "kafka": "connected",
        "partitions": {"root": [0]},
        "of_partitions": 1,
        "lag": {},
        "healthy": True,
        "unready": {},
        **more,
    }


@pytest.fixture
def seen() -> list[tuple[int, Terminal]]:
    return []


@pytest.fixture
def feed(seen: list[tuple[int, Terminal]]) -> Feed:
    return Feed(TRIAL, ended=lambda window, terminal: seen.append((window, terminal)))


def told(feed: Feed, seen: list[tuple[int, Terminal]]) -> list[str]:
    """What is printed of a root."""
    recent = Recent()
    names = TRIAL.task.party_names
    for window, terminal in seen:
        at_fault = tuple(names[party] for party in terminal.at_fault)
        recent.end(Ended(window=window, at=terminal.at, reason=terminal.reason, at_fault=at_fault))
    return report(page(feed.root.status(feed.now), recent, now=feed.now), task=TRIAL.task, now=feed.now)


def test_a_root_from_its_first_contribution_to_its_end(feed: Feed, seen: list[tuple[int, Terminal]]) -> None:
    """Reads, waits for a gateway, goes on without it, waits for parties, is given up: each with its words."""
    assert "reads its log" in told(feed, seen)[0]
    feed.tick()
    for name in NAMES[:3]:
        feed.whole(name)
    feed.tick(12 * MINUTE)
    (line,) = [line for line in told(feed, seen) if "waits for" in line]
    assert "waits for west-1 (not heard yet), is released without it in 3 min" in line
    assert "3 of 4 gateways are complete" in line
    feed.tick(5 * MINUTE)
    feed.control(feed.manifest(0, *NAMES[:3]))
    (line,) = [line for line in told(feed, seen) if "waits for" in line]
    assert "waits for party-2, party-3 to say what they hold" in line
    feed.tick(4 * 24 * HOUR)
    feed.control(*(GiveUp(window=START, party=party) for party in range(3)))
    assert ("party_missing", (1, 2)) in [(terminal.reason, terminal.at_fault) for _, terminal in seen]
    assert any("at fault: party-2, party-3" in line for line in told(feed, seen))


def test_an_end_is_told_once(feed: Feed, seen: list[tuple[int, Terminal]]) -> None:
    """Records that come after the end, and the passing of the quorum floor, tell nothing again."""
    feed.tick()
    feed.control(*(feed.manifest(party) for party in range(3)))
    feed.control(*(feed.manifest(party, window=START + HOUR, floor=START + HOUR) for party in range(3)))
    feed.tick(HOUR)
    windows = [window for window, _ in seen]
    assert START in windows
    assert len(windows) == len(set(windows))


def test_the_collector_says_whom_it_waits_for() -> None:
    """It has no clock, so there is no time in its lines."""
    states = Log(TRIAL).manifests(0, 2).collector.status()
    lines = report(page(states, Recent(), now=START + HOUR, role="collector"), task=TRIAL.task, now=START + 2 * HOUR)
    assert lines[0] == "2016-12-01 00:00  waits for party-2 to say what it holds"


def test_a_gateway_before_and_after_its_first_turn(tmp_path: Path) -> None:
    """Its page has all that is told of it."""
    loop = Loop(tmp_path)
    now = loop.made.now
    task = loop.made.trial.task
    healthy = {"healthy": True, "unready": {}}
    assert report({**loop.service.status(), **healthy}, task=task, now=now) == ["starting"]
    loop.send(START, 5)
    for _ in range(5):
        loop.later()
        loop.turn()
    lines = report({**loop.service.status(), **healthy}, task=task, now=now)
    assert any("open: 1 reading" in line for line in lines), lines
    assert any(line.startswith("spool: ") for line in lines)
    assert any(line.startswith("servers: mqtt connected") for line in lines)
