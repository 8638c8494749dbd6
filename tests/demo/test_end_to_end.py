"""`sotto demo` as a user runs it: real processes, real data, every value exact."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from influxdb_client import InfluxDBClient

from sotto.demo.plain import Plain
from tests.servers import run

SECONDS = "8"


def demo(folder: Path, *arguments: str, **environment: str) -> dict[str, Any]:
    """Run the demo in `folder`; return its JSON summary."""
    summary = folder / "summary.json"
    done = subprocess.run(
        [sys.executable, "-m", "sotto.cli", "demo", "air", "--seconds", SECONDS, "--json", str(summary), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    logs = "\n".join(f"{log.name}:\n{log.read_text()[-1500:]}" for log in sorted(folder.glob("air/logs/*.log")))
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}\n{logs}"
    document: dict[str, Any] = json.loads(summary.read_text())
    return document


def assert_exact(summary: dict[str, Any]) -> None:
    """What the sample promises, for any scheme, any number of parties and workers, any servers."""
    assert (summary["readings"], summary["windows"], summary["cells"]) == (2209, 48, 576)
    assert (summary["exact"], summary["wrong"], summary["missing"]) == (566, 0, 0)
    assert summary["suppressed"] == {"too_few_organisations": 10}
    assert summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--workers", "2", "--partitions", "3"),
        ("--scheme", "additive", "--parties", "2"),
        ("--scheme", "additive", "--parties", "3"),
        ("--scheme", "additive", "--parties", "5", "--partitions", "1"),
    ],
    ids=["replicated, two workers", "additive 2", "additive 3", "additive 5, one partition"],
)
def test_every_value_is_exact_on_the_embedded_brokers(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """566 points equal the plain computation to the last unit, 10 cells are hidden, none is missing."""
    assert_exact(demo(tmp_path, *arguments))


def test_every_value_is_exact_on_real_servers(
    tmp_path: Path, plain: Plain, mosquitto: run.Mosquitto, kafka: run.Kafka, influx: run.Influx
) -> None:
    """mosquitto, Kafka and InfluxDB; and a user's own Flux query over the bucket gives the sums of the file."""
    summary = demo(
        tmp_path,
        *("--mqtt", mosquitto.url, "--kafka", kafka.bootstrap, "--influx", influx.url),
        *("--influx-org", influx.org, "--influx-bucket", influx.bucket),
        SOTTO_INFLUX_TOKEN=influx.token,
    )
    assert_exact(summary)
    query = (
        f'from(bucket: "{influx.bucket}") |> range(start: 2016-12-27T00:00:00Z, stop: 2016-12-31T00:00:00Z)'
        f' |> filter(fn: (r) => r._measurement == "{summary["measurement"]}" and r._field == "sum_steps")'
    )
    with InfluxDBClient(url=influx.url, token=influx.token, org=influx.org) as client:
        records = [record for table in client.query_api().query(query) for record in table.records]
    found = {(round(r.get_time().timestamp() * 1000), r["area"], r["measure"]): r.get_value() for r in records}
    assert found == {
        (due.window, dict(due.labels)["area"], due.measure): cell.sum_steps
        for due, cell in plain.cells.items()
        if cell.released
    }
