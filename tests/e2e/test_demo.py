"""`sotto demo` on the embedded and on the real servers: the same assertions."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from influxdb_client import InfluxDBClient

from tests.e2e.running import COLUMNS, MINIMUM_ORGANISATIONS, Key, assert_all_exact, plain_cells, run_demo
from tests.servers.run import Influx, Kafka, Mosquitto


def test_the_shipped_slice_is_what_the_documents_say() -> None:
    """566 points, 10 hidden, 2,209 readings: counted here without any code of Sotto."""
    cells = plain_cells()
    assert len(cells) == 576
    assert sum(cell.count for cell in cells.values()) == 2209
    assert sum(cell.organisations >= MINIMUM_ORGANISATIONS for cell in cells.values()) == 566


def test_embedded(tmp_path: Path) -> None:
    """With Python alone: every point in SQLite equals the plain computation, every other cell has its reason."""
    assert_all_exact(run_demo(tmp_path, "--seconds", "10"))
    with sqlite3.connect(tmp_path / "sotto-demo" / "results.db") as results:
        rows = results.execute("SELECT window_start, area, measure, outcome, reason, count, sum FROM cells").fetchall()
    plain = plain_cells()
    assert len(rows) == len(plain)
    for window, area, measure, outcome, reason, count, total in rows:
        cell = plain[Key(window, area, measure)]
        if cell.organisations >= MINIMUM_ORGANISATIONS:
            assert (outcome, reason, count) == ("point", "none", cell.count)
            assert total == float(cell.total)
        else:
            assert (outcome, reason, count) == ("suppressed", "too_few_organisations", None)


@pytest.mark.parametrize(
    "options",
    [["--workers", "2", "--partitions", "3"], ["--scheme", "additive", "--parties", "2", "--partitions", "1"]],
    ids=" ".join,
)
def test_embedded_otherwise(options: list[str], tmp_path: Path) -> None:
    """The other scheme and two workers need no servers either."""
    assert_all_exact(run_demo(tmp_path, *options, "--seconds", "8"))


def addresses(mosquitto: Mosquitto, kafka: Kafka, influx: Influx) -> list[str]:
    return ["--mqtt", mosquitto.url, "--kafka", kafka.bootstrap, "--influx", influx.url]


@pytest.mark.parametrize(
    "options",
    [
        ["--scheme", "replicated", "--partitions", "3", "--workers", "2"],
        ["--scheme", "additive", "--parties", "2", "--workers", "2"],
        ["--scheme", "additive", "--parties", "5"],
    ],
    ids=" ".join,
)
def test_real_servers(options: list[str], tmp_path: Path, mosquitto: Mosquitto, kafka: Kafka, influx: Influx) -> None:
    """Both schemes, 2, 3 and 5 parties, two workers, three partitions: mosquitto, Kafka and InfluxDB, exact."""
    given = addresses(mosquitto, kafka, influx)
    assert_all_exact(run_demo(tmp_path, *given, *options, "--seconds", "8", token=influx.token))


def test_two_at_once_on_the_same_servers(tmp_path: Path, mosquitto: Mosquitto, kafka: Kafka, influx: Influx) -> None:
    """Two trials of one name take neither each other's messages nor each other's results."""
    given = [*addresses(mosquitto, kafka, influx), "--seconds", "12"]
    options = {"one": ["--partitions", "3"], "two": ["--scheme", "additive", "--parties", "3", "--partitions", "1"]}
    for name in options:
        (tmp_path / name).mkdir()
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(run_demo, tmp_path / name, *given, *chosen, token=influx.token)
            for name, chosen in options.items()
        ]
        for run in runs:
            assert_all_exact(run.result())


def test_a_flux_query_returns_the_plain_numbers(
    tmp_path: Path, mosquitto: Mosquitto, kafka: Kafka, influx: Influx
) -> None:
    """What a dashboard asks for is what plain Python computes over the CSV: counts, sums and means, all of them."""
    given = addresses(mosquitto, kafka, influx)
    summary = run_demo(tmp_path, *given, "--seconds", "8", token=influx.token)
    query = f"""
        from(bucket: "{influx.bucket}") |> range(start: 2016-12-01T00:00:00Z, stop: 2017-03-01T00:00:00Z)
          |> filter(fn: (r) => r._measurement == "{summary["measurement"]}")
          |> pivot(rowKey: ["_time", "area", "measure"], columnKey: ["_field"], valueColumn: "_value")
    """
    found = {}
    with InfluxDBClient(influx.url, token=influx.token, org=influx.org) as client:
        for table in client.query_api().query(query):
            for row in table.records:
                window = int(row.get_time().timestamp()) * 1000
                values = row.values
                found[Key(window, values["area"], values["measure"])] = (
                    values["count"],
                    values["sum"],
                    values["mean"],
                    values["sum_steps"],
                    values["verified"],
                    values["window"],
                )
    expected = {
        key: (
            cell.count,
            float(cell.total),
            float(cell.total / cell.count),
            int(cell.total / Decimal(COLUMNS[key.measure][1])),
            1,
            "1h",
        )
        for key, cell in plain_cells().items()
        if cell.organisations >= MINIMUM_ORGANISATIONS
    }
    assert found == expected
    assert len({key.window for key in found}) == timedelta(days=2) // timedelta(hours=1)
