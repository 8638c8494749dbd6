"""A schedule in words: each step, and what it put into the logs."""

from __future__ import annotations

from typing import Any

from protocol.control import AggregateShare, Close, GiveUp, Manifest, Outcome
from tests.simulation.oracle import Violation
from tests.simulation.run import Run
from tests.simulation.setting import setting_of
from tests.simulation.world import PRODUCTION, Parts, World


def explain(done: Run, parts: Parts = PRODUCTION) -> str:
    """Run the steps of `done` again; return one line for each, and one for each record that came into control."""
    world = World(setting_of(done.kind), parts)
    seen = [0] * len(world.control)
    lines = [f"schedule of kind {done.kind}, {len(done.trace)} steps"]

    def look() -> None:
        for partition, log in enumerate(world.control):
            for record, _ in log.records[seen[partition] :]:
                lines.append(f"        control {partition}: {_words(world, record)}")
            seen[partition] = len(log.records)

    try:
        for number, action in enumerate(done.trace):
            lines.append(f"{number:>4}  {action[0]} {' '.join(map(str, action[1:]))}".rstrip())
            world.act(action)
            look()
        lines.append("      then everything runs on, fairly")
        world.finish()
        look()
        world.oracle.check()
    except Violation as violation:
        look()
        lines.append(f"==> {violation}")
    except Exception as error:  # noqa: BLE001  shown in place of a violation
        look()
        lines.append(f"==> {type(error).__name__}: {error}")
    for window, published in sorted(world.oracle.aggregates.items()):
        aggregate = published.aggregate
        (cell,) = aggregate.cells
        told = cell.reason if cell.outcome == "suppressed" else f"{cell.count} readings, total {cell.sum_steps}"
        names = ", ".join(one.gateway for one in aggregate.contributors)
        lines.append(f"window {world.setting.number(window)}: {told} from {names or 'nobody'} by {aggregate.parties}")
    return "\n".join(lines)


def _words(world: World, record: Any) -> str:
    number = "" if record is None else f"window {world.setting.number(record.window)}"
    match record:
        case Manifest():
            names = ", ".join(f"{one.gateway} ({one.contribution.hex()[:4]})" for one in record.entries)
            faults = "".join(f"; {one.gateway} at fault: {one.reason}" for one in record.faults)
            floor = world.setting.number(record.floor)
            return f"{number}: manifest of party {record.party}: {names or 'nobody'}{faults}; floor {floor}"
        case Close():
            return f"{number}: party {record.party} closes phase {record.phase}"
        case GiveUp():
            return f"{number}: party {record.party} gives up"
        case AggregateShare():
            return f"{number}: share of party {record.party} over {record.digest.hex()[:4]}"
        case Outcome():
            return f"{number}: outcome; floor {world.setting.number(record.floor)}"
    return "a record of nobody"
