"""What the demo says at its end: a few lines for people, and the same as JSON. Pure."""

from __future__ import annotations

from protocol.reasons import reason_of
from sotto.demo.compare import percentile
from sotto.demo.plain import MEASURE_COLUMNS
from sotto.demo.run import Outcome

_MOST_NAMED = 20


def passed(outcome: Outcome) -> bool:
    """Whether every cell that was due is there and right, and the demo ran to its end."""
    return outcome.tally.all_right and not outcome.stopped


def document(outcome: Outcome) -> dict[str, object]:
    """Return the JSON summary: `cells` = `exact` + `wrong` + `missing` + the numbers in `suppressed`."""
    tally = outcome.tally
    return {
        "readings": outcome.plain.readings,
        "gaps": outcome.plain.gaps,
        "windows": len(outcome.plain.windows),
        "cells": tally.due,
        "exact": tally.exact,
        "wrong": tally.wrong,
        "missing": tally.missing,
        "suppressed": dict(tally.suppressed),
        "unexpected": tally.unexpected,
        "wrong_cells": [
            {"window_start": due.window, "labels": dict(due.labels), "measure": due.measure}
            for due in tally.wrong_cells[:_MOST_NAMED]
        ],
        "latency_ms": {"p50": percentile(tally.latency_ms, 0.5), "p95": percentile(tally.latency_ms, 0.95)},
        "seconds": round(outcome.seconds, 1),
        "directory": str(outcome.directory),
        "results": outcome.results,
        "measurement": outcome.measurement,
        "passed": passed(outcome),
    }


def lines(outcome: Outcome) -> list[str]:
    """Return the last lines for people."""
    tally = outcome.tally
    why = ", ".join(reason_of(reason).short for reason in tally.suppressed)
    median = percentile(tally.latency_ms, 0.5)
    said = [
        f"results  {tally.exact} exact   {tally.wrong} wrong   {tally.missing} missing   "
        f"{tally.hidden} hidden{f' ({why})' if why else ''}",
        f"readings {outcome.plain.readings} in {len(outcome.plain.windows)} windows   {outcome.seconds:.0f} s"
        + ("" if median is None else f"   last seal to result {median} ms (median)"),
    ]
    logs = outcome.directory / "logs"
    if outcome.stopped:
        said.append("Stopped before the end: what is missing had no time to come.")
    elif passed(outcome):
        said.append("Every value equals the plain computation.")
    for due in tally.wrong_cells[:3]:
        place = ", ".join(value for _, value in due.labels)
        said.append(f"wrong: {MEASURE_COLUMNS[due.measure]} {place}, window {due.window}")
    if tally.missing and not outcome.stopped:
        said.append(f"Nothing new came for a while. What did a role wait for? {logs}/*.log")
    said.append(f"Files and logs: {outcome.directory}   Results: {outcome.results}")
    if passed(outcome):
        said.append("Next: docs/first-deployment.md, or files to change: sotto init DIR; sotto demo DIR")
    return said
