"""`sotto task`: the agreement in plain words, for those who sign it, and its id."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Annotated

import typer

from protocol.canonical import decimal_text
from protocol.errors import ConfigError
from protocol.joint import CircuitSpec
from protocol.measure import Measure
from protocol.task import Task
from protocol.units import format_duration
from runtime.files import load
from sotto.job_words import job_in_words
from sotto.terminal import answer, error_text
from streams.joint.netlists import check_wires, load_netlist

app = typer.Typer(help="The task in plain words, and its id.", no_args_is_help=True)

_File = Annotated[Path, typer.Argument(help="task.toml", show_default=False)]
_NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_PERIODS = {"1h": "hour", "1d": "day", "1m": "minute", "1s": "second", "7d": "week"}


@app.command("show")
def show(file: _File, *, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """Say in plain words what is agreed to: what a data-protection officer signs."""
    task = load(file, Task)
    if as_json:
        answer(json.dumps({"id": task.id, "hash": task.hash.hex(), **task.document()}, indent=2, ensure_ascii=False))
    else:
        answer("\n".join([in_words(task), *circuits_in_words(task, file.parent)]))


@app.command("id")
def show_id(file: _File) -> None:
    """Print the id of a task: whoever holds the same file has the same id."""
    answer(load(file, Task).id_spoken)


def in_words(task: Task) -> str:
    """Return the task as sentences."""
    window = task.window
    size = format_duration(window.size)
    period = _PERIODS.get(size, size)
    start, end = _day(task.valid_from, window.utc_offset), _day(task.valid_until, window.utc_offset)
    labels = f" for each {' and '.join(task.labels)}" if task.labels else ""
    minimum = f"{task.policy.min_organisations} organisations have a reading in it"
    released = [name for name, measure in task.measures.items() if measure.statistics]
    what = " and ".join(sorted({statistic for name in released for statistic in task.measures[name].statistics}))
    shown = f"the {what} of {', '.join(released)}{labels}, if {minimum}" if released else "no sum comes out"
    needed = f"{task.policy.min_organisations} organisations have a reading in what it reads"
    jobs = [f"  {spec.name}: {job_in_words(spec, task)}" for spec in task.joint]
    measures = [
        f"  {name}: {decimal_text(measure.range[0])} to {decimal_text(measure.range[1])}{_unit(measure)},"
        f" in steps of {decimal_text(measure.resolution)}; outside: refused"
        f"{'' if measure.statistics else '; its sums are shown to nobody'}"
        for name, measure in task.measures.items()
    ]
    operators = ", ".join(task.party[name].operator for name in task.party_names)
    who_took_part = "who took part" if task.policy.contributors == "names" else "how many took part, not who"
    counts = ", the number of readings" if released else ""
    return "\n".join(
        [
            f"{task.name}, revision {task.revision}, task id {task.id_spoken}",
            f"Purpose: {task.purpose}",
            f"Every {period} from {start} to {end}: {shown}.",
            *([f"Computed by the parties together, from the sums of each window, if {needed}:", *jobs] if jobs else []),
            f"Added up by {operators}: {_who_could_read(task)}",
            f"Results go to {task.collector.operator}, which sees them{counts} and {who_took_part}.",
            f"A gateway closes a window {_wait(window.lateness)} after its end; after {_wait(window.deadline)} more"
            " a silent one is left out of it. A released value is never changed.",
            _who_may_be_missing(task),
            "Measured:",
            *measures,
        ]
    )


def circuits_in_words(task: Task, directory: Path) -> list[str]:
    """Say of each circuit whether its file lies beside the task's, is the agreed one, and takes what it is given."""
    lines = []
    for spec in task.joint:
        if isinstance(spec, CircuitSpec):
            try:
                netlist = load_netlist(spec, directory)
                check_wires(spec, netlist)
            except ConfigError as error:
                lines.append(error_text(error, kind=f"Circuit of {spec.name}"))
            else:
                lines.append(
                    f"Circuit of {spec.name}: {spec.file} lies beside the task and has the agreed SHA-256;"
                    f" {sum(netlist.inputs)} input wires, {sum(netlist.outputs)} output wires."
                )
    return lines


def _unit(measure: Measure) -> str:
    """Return the unit after a space; nothing for the plain number, which UCUM writes as 1."""
    return "" if measure.unit == "1" else f" {measure.unit}"


def _who_may_be_missing(task: Task) -> str:
    """Explain `max_absent`. How many that are depends on the roster, so one example is worked out (SPEC 8.2)."""
    part = Fraction(task.policy.max_absent)
    if not part:
        return "Nothing is released where an organisation with gateways is missing from a window."
    return (
        f"Up to {decimal_text(task.policy.max_absent)} of the organisations with gateways may be missing from a window,"
        f" rounded up: of four, {_NUMBERS[ceil(4 * part)]}."
    )


def _who_could_read(task: Task) -> str:
    number = len(task.party)
    if task.scheme.name == "replicated":
        return "two of them together could read everything, one cannot."
    fewer = f"{_NUMBERS.get(number - 1, str(number - 1))} cannot" if number > 2 else "one cannot"
    return f"all {_NUMBERS.get(number, str(number))} of them together could read everything, {fewer}."


def _wait(ms: int) -> str:
    return format_duration(ms)


def _day(ms: int, offset: int) -> str:
    zone = timezone(timedelta(milliseconds=offset))
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)).astimezone(zone)
    day = f"{moment.day} {moment:%b %Y}"
    return day if (moment.hour, moment.minute, moment.second) == (0, 0, 0) else f"{day} {moment:%H:%M}"
