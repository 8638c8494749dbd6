"""`sink.toml`: one place for the results, no secret in the open."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from runtime.files import loads
from sinks.config import SinkFile

HEAD = """\
format = 1
task   = "task.toml"
[kafka]
bootstrap_servers = ["kafka-1.city.example:9093"]
"""
INFLUX = """\
[influxdb]
url    = "https://influx.city.example:8086"
org    = "city"
bucket = "air"
token  = "env:INFLUX_TOKEN"
"""
SQLITE = '[sqlite]\npath = "results.db"\n'


def read(text: str) -> SinkFile:
    """Read a file that would stand in /etc/sotto."""
    return loads(text, SinkFile, path=Path("/etc/sotto/sink.toml"))


def test_influxdb_in_a_few_lines() -> None:
    """Everything else has a default; the token is a reference until it is used."""
    file = read(HEAD + INFLUX)
    assert file.influxdb is not None
    assert (file.influxdb.bucket, file.influxdb.measurement, file.sqlite) == ("air", None, None)
    assert str(file.influxdb.token) == "env:INFLUX_TOKEN"
    assert file.http.listen == "127.0.0.1:9784"


def test_sqlite_path_starts_at_the_files_folder() -> None:
    """As every path in a configuration file."""
    file = read(HEAD + SQLITE)
    assert file.sqlite is not None
    assert file.sqlite.path == Path("/etc/sotto/results.db")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "is missing"),
        (HEAD + INFLUX + SQLITE, "stands beside"),
        (HEAD + INFLUX.replace("env:INFLUX_TOKEN", "s3cret-token"), "clear text"),
        (HEAD + INFLUX.replace("https://influx", "https://me:s3cret-token@influx"), "more than an address"),
        (HEAD + INFLUX.replace("https://influx.city.example:8086", "s3cret-token"), "not the address"),
        (HEAD + INFLUX.replace("https://", "ftp://"), "not the address"),
        (HEAD + INFLUX.replace(":8086", ":808686"), "not the address"),
        (HEAD + INFLUX + 'measurement = "_internal"\n', "letters, digits"),
        (HEAD + INFLUX + 'buckett = "x"\n', "buckett"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_without_the_secret(text: str, said: str) -> None:
    """One sentence, the place, a remedy; never the value."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert said in str(caught.value)
    assert caught.value.where is not None
    assert caught.value.where.startswith("sink.toml, line")
    assert "s3cret-token" not in str(caught.value)
