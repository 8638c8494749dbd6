"""CSV rows become MQTT messages without a change of any number."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ConfigError
from sotto.readings import read_messages

PATTERN = "air/{area}/{station}"
TEXT = "area,station,time,NO2,TEMP\nring,B,2016-12-28T01:00:00,NA,3.50\nring,A,2016-12-28T00:00:00,4,-0.1\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(TEXT)
    return path


def test_rows_come_in_the_order_of_time_with_topic_and_payload(table: Path) -> None:
    """Topic levels come from the row; the payload has the other columns, numbers as they are written, NA as text."""
    first, second = read_messages(table, pattern=PATTERN)
    assert (first.topic, first.payload) == ("air/ring/A", b'{"time":"2016-12-28T00:00:00","NO2":4,"TEMP":-0.1}')
    assert (second.topic, second.payload) == ("air/ring/B", b'{"time":"2016-12-28T01:00:00","NO2":"NA","TEMP":3.50}')
    assert second.time - first.time == 3_600_000


def test_columns_can_be_chosen(table: Path) -> None:
    """Only the named columns are sent, in that order."""
    assert read_messages(table, pattern=PATTERN, columns=["TEMP", "time"])[0].payload == (
        b'{"TEMP":-0.1,"time":"2016-12-28T00:00:00"}'
    )


def test_a_compressed_file_reads_the_same(table: Path, tmp_path: Path) -> None:
    """table.csv.gz gives the messages of table.csv."""
    packed = tmp_path / "table.csv.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert read_messages(packed, pattern=PATTERN) == read_messages(table, pattern=PATTERN)


@pytest.mark.parametrize(
    ("text", "pattern", "said"),
    [
        (TEXT, "air/{district}", 'line 1: there is no column "district"'),
        ("time,NO2\n2016-12-28T00:00:00,4\nyesterday,5\n", "air", 'line 3: column "time" is not a time'),
        ("time,NO2\n2016-12-28T00:00:00\n", "air", "line 2: this row has not as many cells"),
        ("time,NO2\n2016-12-28T00:00:00,1,2\n", "air", "line 2: this row has not as many cells"),
        ("time,a\n2016-12-28T00:00:00,x/y\n", "air/{a}", 'line 2: column "a" cannot be part of a topic'),
        ("time,NO2\n", "air", "there are no rows"),
        ("", "air", 'there is no column "time"'),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path: Path, text: str, pattern: str, said: str) -> None:
    """The message names the line and the column."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_messages(path, pattern=pattern)
    assert said in str(caught.value)


@pytest.mark.parametrize("content", [None, b"\x1f\x8b\x08\x00broken", b"not gzip"])
def test_a_file_that_cannot_be_read_is_an_error_and_not_a_trace(tmp_path: Path, content: bytes | None) -> None:
    """Absent, cut off or not gzip at all."""
    path = tmp_path / "table.csv.gz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError):
        read_messages(path, pattern="air")


@given(cell=st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x00")))
def test_every_cell_gives_valid_json_that_says_the_same(tmp_path_factory: pytest.TempPathFactory, cell: str) -> None:
    """A number keeps its characters; any other text comes back as it was; nothing breaks out of the JSON."""
    path = tmp_path_factory.mktemp("cells") / "table.csv"
    quoted = cell.replace('"', '""')
    path.write_text(f'time,x\n2016-12-28T00:00:00,"{quoted}"\n', newline="")
    (message,) = read_messages(path, pattern="t", columns=["x"])
    value = json.loads(message.payload, parse_float=str, parse_int=str)["x"]
    assert value == (cell or None)


@pytest.mark.parametrize("pattern", ["", "air/#", "+/{x}"])
def test_a_topic_that_only_a_subscriber_can_have_is_refused(tmp_path: Path, pattern: str) -> None:
    """Before anything is published."""
    path = tmp_path / "table.csv"
    path.write_text("time,x\n2016-12-28T00:00:00,1\n")
    with pytest.raises(ConfigError, match="cannot be published"):
        read_messages(path, pattern=pattern)
