"""The plan of a campaign, without servers."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.faults.faults import Fault, plan

ROLES = ("north-1", "west-1", "city-it", "university", "waterworks", "collector", "sink")
WAYS = ("north-1:mqtt", "north-1:kafka", "city-it:kafka", "sink:influx", "sensors:mqtt")
SEEDS = range(20)


def _plan(seed: int, *, minutes: float = 7, kills: int = 100) -> tuple[Fault, ...]:
    return plan(seed=seed, minutes=minutes, kills=kills, roles=ROLES, ways=WAYS)


def test_a_plan_is_a_function_of_its_seed() -> None:
    """What failed once can be tried again."""
    assert _plan(1) == _plan(1)
    assert _plan(1) != _plan(2)


@pytest.mark.parametrize("seed", SEEDS)
def test_everybody_is_killed_and_every_kind_of_fault_comes(seed: int) -> None:
    """The number of kills is the one that was asked for, spread over all roles."""
    faults = _plan(seed)
    kinds = Counter(one.kind for one in faults)
    assert kinds["kill role"] == 100
    assert len(kinds) == 11
    killed = Counter(one.target for one in faults if one.kind == "kill role")
    assert set(killed) == set(ROLES)
    assert max(killed.values()) <= 2 * min(killed.values())
    assert faults == tuple(sorted(faults))


@pytest.mark.parametrize("seed", SEEDS)
def test_no_target_has_two_faults_at_once(seed: int) -> None:
    """Who is dead cannot be killed: the table would count a fault that was none."""
    until: dict[str, int] = {}
    for one in _plan(seed):
        assert one.at >= until.get(one.target, 0)
        until[one.target] = one.at + one.lasts


@pytest.mark.parametrize("seed", SEEDS)
def test_faults_come_within_the_time_that_was_asked_for(seed: int) -> None:
    """A little later where a target was busy, never much: the sensors still publish then."""
    assert all(0 <= one.at < 7.5 * 60_000 for one in _plan(seed))


def test_a_short_campaign_has_every_kind_as_well() -> None:
    """CI runs two minutes."""
    assert len({one.kind for one in _plan(1, minutes=2, kills=20)}) == 11


def test_without_proxies_the_network_is_left_alone() -> None:
    """A world without proxies can be broken in all other ways."""
    kinds = {one.kind for one in plan(seed=1, minutes=2, kills=5, roles=ROLES, ways=())}
    assert not kinds & {"cut", "latency", "half-open"}
    assert len(kinds) == 8
