"""Runs `sotto` as a user does, and computes what has to come out in plain Python, without any code of Sotto."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections import defaultdict
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

COLUMNS = {"pm25": ("PM2.5", "1"), "no2": ("NO2", "1"), "co": ("CO", "100"), "temperature": ("TEMP", "0.1")}
MINIMUM_ORGANISATIONS = 3


class Key(NamedTuple):
    """One cell: start of the window in ms, area, measure."""

    window: int
    area: str
    measure: str


class Plain(NamedTuple):
    """What the readings of a cell give in the clear."""

    organisations: int
    count: int
    total: Decimal


def plain_cells() -> dict[Key, Plain]:
    """Return every cell of the shipped sample: organisations, count, and the sum of the rounded readings."""
    data = (resources.files("sotto") / "data" / "beijing-air-2016-12-28_29.csv.gz").read_bytes()
    readings: dict[Key, list[tuple[str, Decimal]]] = defaultdict(list)
    for row in csv.DictReader(gzip.decompress(data).decode().splitlines()):
        start = datetime.fromisoformat(row["time"] + "+08:00").timestamp()
        for measure, (column, step) in COLUMNS.items():
            key = Key(int(start) * 1000, row["area"], measure)
            found = readings[key]
            if row[column] != "NA":
                steps = (Decimal(row[column]) / Decimal(step)).quantize(Decimal(1), ROUND_HALF_EVEN)
                found.append((row["organisation"], steps * Decimal(step)))
    return {
        key: Plain(len({name for name, _ in found}), len(found), sum((value for _, value in found), Decimal(0)))
        for key, found in readings.items()
    }


def sotto(
    *arguments: str, cwd: Path, token: str | None = None, seconds: float = 900
) -> subprocess.CompletedProcess[str]:
    """Run a `sotto` command."""
    environment = {**os.environ, "COLUMNS": "100"}
    if token is not None:
        environment["SOTTO_INFLUX_TOKEN"] = token
    return subprocess.run(
        [str(Path(sys.executable).with_name("sotto")), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_demo(directory: Path, *arguments: str, token: str | None = None) -> dict[str, Any]:
    """Run `sotto demo`, which must succeed, and return its summary."""
    summary = directory / "summary.json"
    done = sotto("demo", *arguments, "--json", str(summary), cwd=directory, token=token)
    logs = "\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(directory.rglob("logs/*.log")))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
    found: dict[str, Any] = json.loads(summary.read_text())
    return found


def assert_all_exact(summary: dict[str, Any]) -> None:
    """What the issue of the demo promises of the shipped slice."""
    assert summary["readings"] == 2209
    assert summary["windows"] == 48
    assert summary["cells"] == 576
    assert (summary["exact"], summary["wrong"], summary["missing"]) == (566, 0, 0)
    assert summary["suppressed"] == {"too_few_organisations": 10}
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
