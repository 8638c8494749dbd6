"""Two workers for each party, and partitions that move between them at any moment: manifests and sums stay exact.

SOTTO_SCHEDULES=200000 runs twenty times as many schedules, here as in tests/simulation.
"""

from __future__ import annotations

import os
import random
from functools import cache

import pytest

from ingest.shard import Outgoing
from protocol.control import Manifest
from tests.trial import HOUR, START, Trial, make_trial
from tests.whole.district import District
from tests.whole.test_way_of_a_reading import Gateway, plain, shown
from tests.whole.town import Town

MORE = max(1, int(os.environ.get("SOTTO_SCHEDULES", "10000")) // 10_000)
WINDOWS = (START, START + HOUR)
NOW = START + 3 * HOUR


@cache
def setting(scheme: str) -> tuple[Trial, list[Gateway], dict[tuple[str, str], list[Outgoing]]]:
    """A task, and what its gateways send to each party, in order."""
    trial = make_trial(scheme)
    nowhere = Town(trial, now=NOW, away=trial.task.party_names)
    rng = random.Random(scheme)
    gateways = [Gateway(trial, name, nowhere) for name in trial.roster.gateways]
    queues: dict[tuple[str, str], list[Outgoing]] = {}
    for window in WINDOWS:
        for name, gateway in zip(trial.roster.gateways, gateways, strict=True):
            for _ in range(2):
                for record in gateway.batch(window, [(cell, rng.randrange(1000)) for cell in range(6)]):
                    queues.setdefault((name, record.party), []).append(record)
            for record in gateway.seal(window):
                queues[name, record.party].append(record)
    return trial, gateways, queues


def check_manifests(district: District, gateways: set[str]) -> None:
    """Whatever worker wrote them, when, and however often: each names exactly these gateways, alike."""
    contents = {
        (record.window, record.entries) for record in district.control_records() if isinstance(record, Manifest)
    }
    assert {window for window, _ in contents} >= set(WINDOWS)
    for window, entries in contents:
        if window in WINDOWS:
            assert {entry.gateway for entry in entries} == gateways
    assert len([window for window, _ in contents if window in WINDOWS]) == len(WINDOWS)


@pytest.mark.parametrize("scheme", ["replicated", "additive"])
def test_sums_are_exact_while_partitions_move(scheme: str) -> None:
    """Moves, kills, zombies and lost answers at random points: no reading lost, none twice, nobody blamed."""
    trial, gateways, queues = setting(scheme)
    for seed in range(40 * MORE):
        district = District(trial, now=NOW, rng=random.Random(seed))
        left = [list(queue) for queue in queues.values()]
        district.play(left, steps=400, pause=1_000)
        district.calm_down(left, pauses=(1_000, 1_000))
        check_manifests(district, set(trial.roster.gateways))
        for window in WINDOWS:
            assert shown(trial, district, window) == plain(trial, gateways, window), f"seed {seed}"
            assert district.aggregates()[window].verified == (scheme == "replicated")
        assert district.contradictions() == 0, f"seed {seed}"


def test_deadlines_leave_nobody_out_whose_records_are_there() -> None:
    """One gateway is silent; deadlines pass while leafs are behind, move and die: all the others are in every manifest.

    A root must not take an old leaf's progress for the new one's, nor miss it because it was told to another worker.
    """
    trial, gateways, queues = setting("replicated")
    silent = "west-1"
    here = [gateway for name, gateway in zip(trial.roster.gateways, gateways, strict=True) if name != silent]
    for seed in range(40 * MORE):
        district = District(trial, now=NOW, rng=random.Random(seed))
        for (name, _), queue in queues.items():
            if name != silent:
                district.send(queue)
        district.play((), steps=400, pause=trial.task.window.deadline // 2)
        district.calm_down((), pauses=(1_000, *[trial.task.window.deadline] * 4))
        check_manifests(district, set(trial.roster.gateways) - {silent})
        for window in WINDOWS:
            assert shown(trial, district, window) == plain(trial, here, window), f"seed {seed}"
            assert district.aggregates()[window].absent == (silent,)
        assert district.contradictions() == 0, f"seed {seed}"
