"""The scene `joint`: all kinds of jobs, many windows, and one party after the other killed and started again."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import cycle
from typing import Final

from protocol.units import iso
from tests.faults import evidence, joint_evidence
from tests.faults.joint_check import Said, numbers, said
from tests.faults.joint_load import Sensors
from tests.faults.joint_plain import Number, expected, readings, totals
from tests.faults.joint_trial import LATENESS, WINDOW, write_joint
from tests.faults.load import wall
from tests.faults.scene import Asked, Scene
from tests.faults.trial import Wanted
from tests.faults.world import World

KILLS_EVERY: Final = 15.0
"""Seconds."""
SENT_AGAIN: Final = "parties that were killed have sent something again"
"""The claim that says less where there were few kills."""
_PATIENCE: Final = 300.0
"""Seconds without a new window after which nothing will come."""
_MONTH: Final = 30 * 86_400_000
_LOAD_STEP: Final = Fraction(1, 10)
_AHEAD: Final = 8
"""So many windows are open at most."""
_TURN: Final = 0.25
_LOOK: Final = 3.0


class Killer:
    """Kills one party after the other, each `KILLS_EVERY` seconds after the one before, and starts it again at once.

    A party finds in the log what it has said, and has no reason to say it again. So every second time it is started as
    `tests.faults.hasty`, which does not look before it speaks.
    """

    def __init__(self, world: World, *, most: float) -> None:
        self.kills: list[tuple[str, int]] = []
        """Who was killed, and when (milliseconds since 1970)."""
        self.by_itself: list[str] = []
        self._world = world
        self._most = most
        self._due = time.monotonic() + KILLS_EVERY
        parties = sorted(world.parties())
        self._next = cycle([(name, module) for module in ("tests.faults.hasty", "sotto.cli") for name in parties])

    def turn(self) -> None:
        """Do what is due now."""
        for role in self._world.roles.values():
            if not role.running:
                self.by_itself.append(f"{role.name} ended by itself\n{role.last_lines()}")
                role.start()
        if time.monotonic() >= self._due and len(self.kills) < self._most:
            name, module = next(self._next)
            role = self._world.roles[name]
            role.kill()
            self.kills.append((name, wall()))
            role.module = module
            role.start()
            self._due += KILLS_EVERY


def joint(asked: Asked, *, deadline: int = 300_000, most_kills: float = math.inf) -> Scene:
    """Every kind of job, for `asked.windows` windows in `asked.minutes`. `deadline` is milliseconds."""
    scene = Scene(name="joint")
    wanted = Wanted(window=WINDOW, lateness=LATENESS, deadline=deadline, seals_by="event")
    windows = asked.windows
    with World(asked.directory, wanted, windows=windows, lead=-_MONTH, proxied=False, write=write_joint) as world:
        killer = Killer(world, most=most_kills)
        sensors = Sensors(
            seed=asked.seed,
            first=world.files.first,
            size=WINDOW,
            windows=windows,
            every=asked.minutes * 60 / windows,
            ahead=_AHEAD,
            address=world.sensors_mqtt,
        )
        with sensors:
            done = _wait(asked, world, killer, sensors)
        scene.troubles += killer.by_itself + [text for text in (sensors.failure,) if text is not None]
        _keep(world, killer)
        _claims(asked, scene, world, killer)
        scene.figures["windows published, readings"] = f"{sensors.published}, {sensors.readings:,}"
        scene.figures["from the first reading to the last number"] = f"{done:.0f} s"
    return scene


def _wait(asked: Asked, world: World, killer: Killer, sensors: Sensors) -> float:
    """Kill until every window has its numbers, or nothing has moved for longer than anybody may wait. In seconds."""
    begun = moved = looked = time.monotonic()
    state, finished = -1, 0
    while finished < asked.windows or not sensors.done:
        killer.turn()
        now = time.monotonic()
        if now - looked > _LOOK:
            looked, finished = now, joint_evidence.finished(world)
            sensors.finished = finished
            asked.told.often(f"{sensors.published} windows published, {finished} finished, {len(killer.kills)} kills")
            if finished + sensors.published > state:
                moved, state = now, finished + sensors.published
            elif now - moved > _PATIENCE:
                asked.told.once(f"nothing has moved for {_PATIENCE:.0f} s")
                break
        time.sleep(_TURN)
    ended = time.monotonic()
    world.heal()
    time.sleep(_LOOK)  # a second outcome would come now
    return ended - begun


def _claims(asked: Asked, scene: Scene, world: World, killer: Killer) -> None:
    due: dict[Number, Fraction] = {}
    load: dict[tuple[int, str, str], tuple[int, int]] = {}
    for number, window in enumerate(range(world.files.first, world.files.last, WINDOW)):
        several = readings(asked.seed, number, window)
        due |= expected(several, window)
        load |= {
            (window, *cell): (count, int(total / _LOAD_STEP))
            for cell, (count, total) in totals(several).items()
            if cell.measure == "load"
        }
    rows, outcomes = joint_evidence.rows(world), joint_evidence.outcomes(world)
    wrong = numbers(due, rows, outcomes)
    scene.troubles += wrong[:20]
    of_jobs = Counter(row.number.name for row in rows)
    scene.claim(
        f"{asked.windows} windows in a row: every number of every job is exact, verified, and there once",
        f"{len(rows):,} numbers of {len(due):,} ({', '.join(f'{n} {name}' for name, n in sorted(of_jobs.items()))}),"
        f" {len(wrong)} wrong or missing",
        holds=not wrong and len(rows) == len(due),
    )
    ends = Counter(f"{one.outcome} {one.reason}" for one in outcomes)
    scene.claim(
        "nothing is suppressed",
        ", ".join(f"{number:,} {text}" for text, number in sorted(ends.items())),
        holds=set(ends) == {"point none"},
    )
    shown = joint_evidence.sums(world)
    scene.claim(
        "sums are released and exact beside them, those without statistics are not",
        f"{sum(load.get(place) == known for place, known in shown.items()):,} exact of {len(load):,}",
        holds=shown == load,
    )
    _rounds(scene, said(joint_evidence.rounds(world)), killer, world.files.task.party_names)
    waits = [(one.revealed_at - one.last_seal) / 1000 for one in evidence.aggregates(world)]
    if waits:
        scene.figures["from a window's last seal to its release"] = (
            f"{statistics.median(waits):.1f} s, at most {max(waits):.1f} s"
        )


def _rounds(scene: Scene, heard: Said, killer: Killer, names: Sequence[str]) -> None:
    cut = {
        window for window, (begun, ended) in heard.spans.items() if any(begun < at < ended for _, at in killer.kills)
    }
    scene.figures["parties killed and started again"] = ", ".join(
        f"{name} {times}" for name, times in sorted(Counter(name for name, _ in killer.kills).items())
    )
    scene.figures["windows in whose rounds somebody was killed"] = str(len(cut))
    if heard.rounds:
        rounds, sizes = list(heard.rounds.values()), list(heard.bytes.values())
        scene.figures["rounds of a window"] = f"{min(rounds)} to {max(rounds)}"
        scene.figures["bytes of a window, all three parties"] = f"{statistics.median(sizes):,.0f}"
    scene.claim(
        "what a party has sent again in a round is byte for byte what it sent before",
        f"{heard.records:,} records, {heard.again.total():,} of them sent again, {len(heard.other)} in other bytes; "
        f"keys sealed again: {heard.keys_again}",
        holds=not heard.other,
    )
    if killer.kills:
        by = ", ".join(f"{name} {heard.again[number]:,}" for number, name in enumerate(names))
        scene.claim(SENT_AGAIN, by, holds=heard.again.total() > 0)


def _keep(world: World, killer: Killer) -> None:
    """Leave behind what a person needs who asks why."""
    status = {name: role.status() for name, role in world.roles.items()}
    (world.directory / "status.json").write_text(json.dumps(status, indent=2))
    (world.directory / "kills.txt").write_text("".join(f"{iso(at)}  {name}\n" for name, at in killer.kills))
