"""Given scenes, each with claims that hold or do not: `python -m tests.faults scenario NAME`.

kafka-away     no Kafka for --minutes, under load: all readings counted, once, in order; the gateways' memory stays
               flat; the spools drain faster than five times the rate of arrival, while the load goes on
party-away     replicated, one of three parties away for --minutes of event time: no window late by more than the
               deadline, none wrong, none verified; after its return it takes part
lying-party    one of three adds 1 to its aggregate shares: with all three nothing reaches the database and the suspects
               are named; with two of them nothing is marked verified
additive-away  additive, one party away for --minutes: every window is exact after its return
workers        a party with two workers, one of them killed and replaced every 20 seconds under load: exact
joint          every kind of job over --windows, one party killed and started again every 15 seconds: each number exact,
               none missing, and what a party sends again is byte for byte what it sent before
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from mpc_ops.schemes import scheme
from tests.faults import drained, evidence, joint_scenario
from tests.faults.campaign import Campaign, Pace
from tests.faults.check import Report
from tests.faults.faults import KAFKA, Fault
from tests.faults.load import wall
from tests.faults.scene import Asked, Scene
from tests.faults.screen import telling
from tests.faults.trial import Wanted
from tests.faults.world import Role, World
from tests.servers.run import ServerError, installed

MEGABYTE: Final = 2**20
PARTY: Final = "waterworks"
"""Who is away, or dies."""
LIAR: Final = "university"
_WARM: Final = 60
"""Seconds of load before Kafka goes: interpreters and libraries have then what they hold for good."""
_GROWTH: Final = 8 * MEGABYTE
"""Bytes that a gateway may grow by: the heap of CPython and SQLite's page cache move by a few megabytes under any
load, whereas a spool of ten minutes, held in memory, would come on top with all that it has."""
_DRAINING: Final = 32 * MEGABYTE
"""Likewise while it sends as fast as it can: requests, answers, buffers of Kafka's client; the same for any backlog."""
_TOGETHER: Final = 10
"""Readings in one message where there are many, as meters and loggers send them."""
_MONTH: Final = 30 * 86_400_000
_LEAD: Final = 90_000
"""Milliseconds until the first window: scenes are played beside each other, and a liar starts twice."""


def kafka_away(asked: Asked) -> Scene:
    """No Kafka, for minutes, under load."""
    scene = Scene(name="kafka-away")
    wanted = Wanted(lateness=10_000, deadline=60_000)
    away = round(asked.minutes * 60)
    # Two minutes more of load, so that the spools drain while more comes in; Kafka itself may take one to start.
    windows = math.ceil((_WARM + away + 120) * 1000 / wanted.window)
    with World(asked.directory, wanted, windows=windows, lead=_LEAD, proxied=False) as world:
        faults = [Fault(at=_WARM * 1000, kind="restart Kafka", target=KAFKA, lasts=away * 1000)]
        held: list[tuple[int, dict[str, int]]] = []
        gateways = {name: role for name, role in world.roles.items() if role.kind == "gateway"}

        def watch() -> None:
            held.append((wall(), {name: role.memory for name, role in gateways.items()}))

        options = asked.options(wanted, together=_TOGETHER)
        campaign = Campaign(options, world, asked.told, faults=faults, watch=watch)
        report = _play(scene, campaign)
        all_sent = drained.sent(world)
        first, last = world.files.first, world.files.last
    gone = campaign.found.disturbances[0]
    scene.figures["Kafka was away"] = f"{(gone.ended - gone.begun) / 1000:.0f} s"
    _everything_counted(scene, report)
    order = drained.order(all_sent)
    scene.claim(
        "the records of every party, gateway and window came in order, without holes",
        f"{order.batches:,} batches and {order.seals:,} seals, {order.repeats:,} repeats, {len(order.faults)} faults",
        holds=not order.faults,
    )
    scene.troubles += order.faults[:10]
    for name in gateways:
        _flat(scene, name, [(at, sizes[name]) for at, sizes in held], away=(gone.begun, gone.ended))
    for one in drained.drains(
        all_sent, campaign.found.readings, first=first, size=wanted.window, away=(gone.begun, gone.ended)
    ):
        scene.claim(
            f"{one.gateway} drains more than five times as fast as readings and records arrive",
            f"arriving {one.readings_arriving:.0f} readings/s in {one.records_arriving:.1f} records/s; drained "
            f"{one.readings:,} readings in {one.records:,} records in {one.seconds:.1f} s, {one.times:.0f} times as "
            f"fast; empty {one.after:.1f} s after Kafka's return, "
            f"{(last - gone.ended) / 1000 - one.after:.0f} s before the load ended",
            holds=one.times > 5 and gone.ended + one.after * 1000 < last,
        )
    return scene


def _flat(scene: Scene, name: str, held: Sequence[tuple[int, int]], *, away: tuple[int, int]) -> None:
    """Claim that a gateway's memory did not grow from when Kafka went (the median of the last looks)."""
    begun, ended = away
    start = round(statistics.median([size for at, size in held if at < begun][-5:]))
    during = [size for at, size in held if begun <= at < ended]
    after = max(size for at, size in held if at >= ended)
    places = [during[round((len(during) - 1) * part)] / MEGABYTE for part in (0.1, 0.5, 1)]
    scene.claim(
        f"{name} grows by less than {_GROWTH / MEGABYTE:.0f} MB while Kafka is away",
        f"{start / MEGABYTE:.1f} MB before, {places[0]:.1f} after a tenth of the time, {places[1]:.1f} in the middle, "
        f"{places[2]:.1f} at its end",
        holds=max(during) - start < _GROWTH,
    )
    scene.claim(
        f"and by less than {_DRAINING / MEGABYTE:.0f} MB while the spool drains",
        f"at most {after / MEGABYTE:.1f} MB",
        holds=after - start < _DRAINING,
    )


def party_away(asked: Asked) -> Scene:
    """One of three replicated parties is away for an hour of event time, twenty times as fast as the clock."""
    scene = Scene(name="party-away")
    # The deadline runs by the clock, from when a party hears of the window: three seconds before its end, so fast.
    wanted = Wanted(window=60_000, lateness=60_000, deadline=20_000, seals_by="event")
    before, away, after = 10, round(asked.minutes), 50
    speed = 20.0
    windows = before + away + after
    with World(asked.directory, wanted, windows=windows, lead=-_MONTH, proxied=False) as world:
        pace = Pace(first=world.files.first, begin=wall() + 2_000, speed=speed)
        scaled = [round(minutes * 60_000 / speed) for minutes in (before, away)]
        faults = [Fault(at=scaled[0], kind="kill role", target=PARTY, lasts=scaled[1])]
        campaign = Campaign(asked.options(wanted), world, asked.told, faults=faults, pace=pace)
        report = _play(scene, campaign)
        all_aggregates = evidence.aggregates(world)
    gone = campaign.found.disturbances[0]
    seconds = (gone.ended - gone.begun) / 1000
    scene.figures["the party was away"] = f"{seconds:.0f} s, {seconds * speed / 60:.0f} minutes of event time"
    _everything_counted(scene, report)
    waits = {one.window_start: one.revealed_at - one.last_seal for one in all_aggregates}
    during = [one for one in all_aggregates if one.last_seal > gone.begun and one.revealed_at < gone.ended]
    healthy = [waits[one.window_start] for one in all_aggregates if one.revealed_at < gone.begun]
    scene.figures["from the last seal to the release, all three there"] = _spread(healthy)
    scene.figures["the same without one"] = _spread([waits[one.window_start] for one in during])
    late = {window: wait for window, wait in waits.items() if wait > wanted.deadline + max(healthy, default=0) + 1_000}
    scene.claim(
        f"no window is late by more than the deadline of {wanted.deadline / 1000:.0f} s",
        f"{len(late)} of {len(waits)}, at most {max(waits.values()) / 1000:.1f} s",
        holds=not late,
    )
    scene.claim(
        "while it is away, windows are released by the two others and not marked verified",
        f"{len(during)} windows, {sum(one.verified for one in during)} verified",
        holds=bool(during) and not any(one.verified or PARTY in one.parties for one in during),
    )
    later = [one for one in all_aggregates if one.revealed_at > gone.ended]
    back = next((place for place, one in enumerate(later) if one.verified), len(later))
    scene.figures["windows released after its return and before it took part"] = str(back)
    scene.claim(
        "after its return every window is verified again",
        f"{sum(one.verified for one in later)} of {len(later)}, the first one "
        + (f"{(later[back].revealed_at - gone.ended) / 1000:.1f} s after it was started" if later[back:] else "never"),
        holds=len(later) - back >= 5 and all(one.verified for one in later[back:]),
    )
    return scene


class Liar(Role):
    """A party's process that lies in one component of its aggregate shares, or in all of them."""

    components: str = "one"

    def _command(self) -> Sequence[str]:
        program, module, _, *rest = super()._command()
        return [program, module, "tests.faults.liar", self.components, *rest]


def lying_party(asked: Asked) -> Scene:
    """A party adds 1: to one component, to both, and to one when the party is away that could see it."""
    scene = Scene(name="lying-party")
    wanted = Wanted(lateness=3_000, deadline=15_000)
    third = max(3, round(asked.minutes * 60_000 / wanted.window / 3)) * wanted.window
    with World(asked.directory, wanted, windows=3 * third // wanted.window, lead=_LEAD, proxied=False) as world:
        honest = world.roles[LIAR]
        honest.stop()
        liar = Liar(world.directory / "roles", honest.file, name=f"{LIAR}-lies", environment={})
        world.roles[LIAR] = liar
        with liar:
            world.wait_ready([liar], until=world.files.first / 1000)
            turn = world.files.first + third

            def watch() -> None:
                # How it lies from its next start on, which is the fault that is planned for the turn.
                liar.components = "all" if turn - 8_000 <= wall() < turn + third - 8_000 else "one"

            faults = [
                Fault(at=third, kind="restart role", target=LIAR, lasts=200),
                Fault(at=2 * third, kind="restart role", target=LIAR, lasts=200),
                Fault(at=2 * third, kind="kill role", target=_witness(world), lasts=third + wanted.deadline),
            ]
            campaign = Campaign(asked.options(wanted), world, asked.told, faults=faults, watch=watch)
            report = campaign.run()
            all_aggregates = evidence.aggregates(world)
    scene.troubles += campaign.troubles
    _readings(scene, report)
    with_three = [one for one in all_aggregates if len(one.parties) == 3]
    with_two = [one for one in all_aggregates if LIAR in one.parties and len(one.parties) == 2]
    rows = campaign.found.rows
    points = [row for row in rows if row.kind == "point"]
    disagree = {one.window_start for one in with_three}
    reasons = Counter(cell.reason for one in with_three for cell in one.cells)
    scene.claim(
        "with all three parties nothing is released",
        f"{len(with_three)} windows: cells {dict(reasons)}, "
        f"{sum(row.window in disagree for row in points)} points in the database",
        holds=set(reasons) == {"parties_disagree"} and not any(row.window in disagree for row in points),
    )
    suspects = Counter(cell.at_fault for one in with_three for cell in one.cells)
    both = [names for names in suspects if len(names) == 2]
    scene.claim(
        "the suspects are named: two, and the liar alone where it lied in both its components",
        {", ".join(names): number for names, number in suspects.items()},
        holds=bool(both) and (LIAR,) in suspects and all(LIAR in names and len(names) <= 2 for names in suspects),
    )
    sums = _plain(campaign)
    wrong = [row for row in points if row.total != sums.get((row.window, row.area))]
    scene.figures["windows released by the liar and one other"] = str(len(with_two))
    scene.figures["values in the database"] = f"{len(points)}, of which {len(wrong)} are wrong"
    scene.claim(
        "with two parties no value is ever marked verified",
        f"{len(with_two)} windows, {sum(one.verified for one in with_two)} verified",
        holds=len(with_two) >= 2 and not any(one.verified for one in with_two),
    )
    scene.claim(
        "where nobody can see the lie it comes out, and never as verified",
        f"{len(wrong)} wrong values, {sum(row.verified for row in wrong)} verified",
        holds=bool(wrong) and not any(row.verified for row in wrong),
    )
    outcomes = Counter((row.window, row.area) for row in rows if row.kind == "outcome")
    due = len(all_aggregates) * 3
    scene.claim(
        "every cell has one outcome",
        f"{len(outcomes)} of {due}",
        holds=len(outcomes) == due == 3 * 3 * third // wanted.window and set(outcomes.values()) == {1},
    )
    return scene


def _witness(world: World) -> str:
    """Return the honest party that holds the component in which the liar lies: without it nobody can see the lie."""
    names = world.files.task.party_names
    sharing = scheme("replicated", len(names))
    lied_in = sharing.held_by(names.index(LIAR))[0]
    holders = {name for number, name in enumerate(names) if lied_in in sharing.held_by(number)}
    (witness,) = holders - {LIAR}
    return witness


def _plain(campaign: Campaign) -> Mapping[tuple[int, str], int]:
    """Return the sum of every cell, from what was published."""
    found: Counter[tuple[int, str]] = Counter()
    size = campaign.setting.size
    for one in campaign.found.readings:
        found[one.time // size * size, one.area] += one.value
    return found


def additive_away(asked: Asked) -> Scene:
    """The additive scheme waits for everybody: one party is away, and every window comes when it is back."""
    scene = Scene(name="additive-away")
    wanted = Wanted(scheme="additive", lateness=10_000, deadline=30_000)
    before, away, after = 30, round(asked.minutes * 60), 30
    windows = math.ceil((before + away + after) * 1000 / wanted.window)
    with World(asked.directory, wanted, windows=windows, lead=_LEAD, proxied=False) as world:
        faults = [Fault(at=before * 1000, kind="kill role", target=PARTY, lasts=away * 1000)]
        campaign = Campaign(asked.options(wanted), world, asked.told, faults=faults)
        report = _play(scene, campaign)
        all_aggregates = evidence.aggregates(world)
    gone = campaign.found.disturbances[0]
    scene.figures["the party was away"] = f"{(gone.ended - gone.begun) / 1000:.0f} s"
    _everything_counted(scene, report)
    during = [one for one in all_aggregates if gone.begun < one.window_start + wanted.window < gone.ended]
    early = [one for one in during if one.last_seal > gone.begun and one.revealed_at < gone.ended]
    released = max(one.revealed_at for one in during)
    scene.claim(
        "every window of that time comes out after its return",
        f"{len(during)} windows, {len(early)} before it, the last one {(released - gone.ended) / 1000:.1f} s after it",
        holds=bool(during) and not early,
    )
    return scene


def workers(asked: Asked) -> Scene:
    """A party of two workers loses one of them every 20 seconds."""
    scene = Scene(name="workers")
    wanted = Wanted(lateness=10_000, deadline=30_000)
    windows = math.ceil(asked.minutes * 60_000 / wanted.window)
    with World(asked.directory, wanted, windows=windows, lead=_LEAD, proxied=False) as world:
        second = Role(world.directory / "roles", world.roles[PARTY].file, name=f"{PARTY}.2", environment={})
        world.roles[second.name] = second
        with second:
            end = windows * wanted.window
            faults = [
                Fault(at=at, kind="kill role", target=(PARTY, second.name)[number % 2], lasts=1_000)
                for number, at in enumerate(range(10_000, end, 20_000))
            ]
            campaign = Campaign(asked.options(wanted), world, asked.told, faults=faults)
            report = _play(scene, campaign)
    scene.figures["workers killed and replaced"] = str(len(campaign.found.disturbances))
    _everything_counted(scene, report)
    return scene


# -- what they share -----------------------------------------------------------------------------------------------


def _play(scene: Scene, campaign: Campaign) -> Report:
    report = campaign.run()
    scene.troubles += campaign.troubles
    scene.claim(
        "every window is exact",
        ", ".join(f"{number} {kind}" for kind, number in sorted(report.windows.items())),
        holds=report.right and all(kind.startswith("exact") for kind in report.windows),
    )
    scene.troubles += [text for text in report.violations if text not in campaign.troubles][:20]
    _readings(scene, report)
    return report


def _readings(scene: Scene, report: Report) -> None:
    scene.figures["readings published"] = f"{report.made:,}"
    scene.figures["acknowledged to their sensors"] = f"{report.acknowledged:,}"
    scene.figures["counted in results"] = f"{report.counted:,}"


def _everything_counted(scene: Scene, report: Report) -> None:
    scene.claim(
        "every reading is counted, once",
        f"{report.counted:,} of {report.made:,}; {report.left_out} left out, {report.late} late",
        holds=report.counted == report.made == report.acknowledged,
    )


def _spread(waits: Sequence[int]) -> str:
    if not waits:
        return "no windows"
    return f"{statistics.median(waits) / 1000:.1f} s, at most {max(waits) / 1000:.1f} s, {len(waits)} windows"


SCENES: Final[Mapping[str, tuple[Callable[[Asked], Scene], float, float]]] = {
    "kafka-away": (kafka_away, 10, 1_200),
    "party-away": (party_away, 60, 20),
    "lying-party": (lying_party, 3, 30),
    "additive-away": (additive_away, 10, 60),
    "workers": (workers, 5, 200),
    "joint": (joint_scenario.joint, 9, 1),
}
"""Name -> the scene, its minutes, its readings a second over all four gateways."""


def main(arguments: Sequence[str]) -> int:
    """Play one scene and return 0 if all its claims hold."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults scenario",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=SCENES)
    parser.add_argument("--minutes", type=float, help="how long: 10, 60, 3, 10, 5, 9 in the order above")
    parser.add_argument("--rate", type=float, help="readings a second, over all four gateways")
    parser.add_argument(
        "--windows", type=int, default=200, help="joint: so many windows in these minutes (default 200)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the readings are a function of it (default 1)")
    parser.add_argument("--directory", type=Path, help="where to make the directory of the scene, which is kept")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result to FILE")
    chosen = parser.parse_args(arguments)
    play, minutes, rate = SCENES[chosen.name]
    console = Console(highlight=False)
    place = Path(tempfile.mkdtemp(prefix=f"sotto-{chosen.name}-", dir=chosen.directory))
    begun = time.monotonic()
    try:
        installed()
        with telling(console) as told:
            asked = Asked(
                minutes=chosen.minutes or minutes,
                rate=chosen.rate or rate,
                windows=chosen.windows,
                seed=chosen.seed,
                directory=place,
                told=told,
            )
            scene = play(asked)
    except ServerError as error:
        console.print(f"error: {error}\n    logs: {place}", markup=False)
        return 1
    scene.seconds = time.monotonic() - begun
    _show(console, scene)
    if chosen.json:
        chosen.json.write_text(json.dumps(asdict(scene) | {"right": scene.right}, indent=2) + "\n")
    console.print(f"logs: {place}", markup=False)
    return 0 if scene.right else 1


def _show(console: Console, scene: Scene) -> None:
    table = Table(title=f"{scene.name}, {scene.seconds / 60:.1f} minutes", show_header=False, show_lines=True)
    table.add_column()
    table.add_column()
    table.add_column()
    for name, value in scene.figures.items():
        table.add_row(name, value, "")
    for claim in scene.claims:
        table.add_row(claim.says, claim.measured, "holds" if claim.holds else "DOES NOT HOLD")
    console.print(table)
    for text in scene.troubles:
        console.print(f"violation: {text}", markup=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
