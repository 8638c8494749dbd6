"""Ten thousand schedules on each run, and what the simulator itself has to be: deterministic, and able to explain.

SOTTO_SCHEDULES=100000 runs as many; `python -m tests.simulation` runs any number on all processors, and replays one.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.simulation.bugs import BUGS
from tests.simulation.campaign import campaign
from tests.simulation.explain import explain
from tests.simulation.menu import HISTORIES, menu
from tests.simulation.run import Run, draw, run, run_seed, shrink
from tests.simulation.setting import KINDS
from tests.simulation.world import PRODUCTION, Parts

SCHEDULES = int(os.environ.get("SOTTO_SCHEDULES", "10000"))
PARTS = 10


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_violates_anything(part: int) -> None:
    """Crashes between any two steps, lost answers, old workers, wrong clocks, lost disks, liars: always exact.

    In parts, which `make test` spreads over its processes.
    """
    first, end = (SCHEDULES * number // PARTS for number in (part, part + 1))
    total = campaign(first, end - first, 1, None, quiet=True)
    assert total.kinds.total() == end - first
    assert total.violations == []


@pytest.mark.parametrize("kind", ["small", "liar"])
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_hypothesis_finds_no_schedule_either(kind: str, data: st.DataObject) -> None:
    """It chooses other schedules than the dice, and makes a failing one as short as it can."""
    numbers = st.integers(0, HISTORIES - 1)
    histories = [("gateway: has a history", who, data.draw(numbers)) for who in range(KINDS[kind].gateways)]
    actions = data.draw(st.lists(st.sampled_from([action for _, action in menu(KINDS[kind])]), max_size=60))
    done = run(kind, histories + actions)
    assert done.violation is None, explain(done)


def failing(parts: Parts, kinds: tuple[str, ...], within: int) -> Run | None:
    """Return the first schedule that finds something."""
    for seed in range(within):
        done = run_seed(seed, kinds[seed % len(kinds)], parts)
        if done.violation is not None:
            return done
    return None


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_that_is_put_in_is_found(name: str) -> None:
    """If one of these is not found, the adversary is too kind, and what it says of the rest is worth less."""
    bug = BUGS[name]
    assert failing(bug.parts, bug.kinds, bug.within) is not None


def test_a_seed_replays_to_the_same_end() -> None:
    """The same steps, the same records in every log."""
    for seed in range(40):
        first, second = run_seed(seed), run_seed(seed)
        assert first.trace == second.trace
        for one, other in zip(first.world.control, second.world.control, strict=True):
            assert one.records == other.records
        assert run(first.kind, first.trace).violation == first.violation


def test_any_part_of_a_schedule_is_a_schedule() -> None:
    """So a failing one can be made shorter by leaving steps out."""
    kind, actions = draw(7)
    for start in range(0, 60, 7):
        assert run(kind, actions[start:][:: 1 + start % 3]).violation is None


def test_a_failing_schedule_is_made_short_and_explained() -> None:
    """What was lost is named: the reading, its gateway, its window."""
    bug = BUGS["sequence numbers forgotten at a restart"]
    found = failing(bug.parts, bug.kinds, bug.within)
    assert found is not None
    short = shrink(found, bug.parts)
    assert short.violation is not None
    assert len(short.trace) < min(12, len(found.trace))
    assert run(short.kind, short.trace, PRODUCTION).violation is None
    told = explain(short, bug.parts)
    assert told.splitlines()[0].startswith("schedule of kind")
    assert "==> " in told


def test_a_total_says_which_reading_is_lost_or_doubled() -> None:
    """Every reading is a power of four of its own."""
    bug = BUGS["fingerprints forgotten at a restart"]
    found = failing(bug.parts, bug.kinds, bug.within)
    assert found is not None
    assert found.violation is not None
    assert found.violation.startswith("reading ")
    assert found.violation.endswith("is counted 2 times")


def test_the_gateways_of_a_history_are_the_code_under_test() -> None:
    """A bug in a gateway is found when its histories are made: the schedules that play them need not look again."""
    bug = BUGS["fingerprints forgotten at a restart"]
    assert failing(bug.parts, ("small",), bug.within) is not None
