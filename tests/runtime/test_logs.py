"""Logs: form, repeats, and that libraries cannot print payloads."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from runtime.logs import LIBRARIES, Repeats, configure


class _Clock:
    now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    logging.getLogger().handlers[:] = [h for h in logging.getLogger().handlers if type(h).__name__ != "_Handler"]
    structlog.reset_defaults()


def _lines(stream: io.StringIO) -> list[str]:
    return stream.getvalue().splitlines()


def test_json_off_a_terminal(stream: io.StringIO) -> None:
    """One object per line, with time, level, event and its keys."""
    configure("info", "auto", stream=stream)
    structlog.get_logger("sotto.gateway").info("window_sealed", readings=11)
    line = json.loads(_lines(stream)[0])
    assert line["event"] == "window_sealed"
    assert line["readings"] == 11
    assert line["level"] == "info"
    assert line["time"].endswith("Z")


def test_text_on_a_terminal(stream: io.StringIO) -> None:
    """`time event key=value`; a value cannot forge another key or line."""
    configure("info", "text", stream=stream)
    structlog.get_logger().warning("record_rejected", reason="bad\n12:00 forged a=b", topic="t")
    (line,) = _lines(stream)
    assert line[9:] == r"WARNING record_rejected reason='bad\n12:00 forged a=b' topic=t"


def test_level_holds_for_us(stream: io.StringIO) -> None:
    """`debug` shows our debug lines, `info` does not."""
    configure("info", "text", stream=stream)
    structlog.get_logger().debug("detail")
    assert not _lines(stream)
    configure("debug", "text", stream=stream)
    structlog.get_logger().debug("detail")
    assert len(_lines(stream)) == 1


@pytest.mark.parametrize("library", [*LIBRARIES, "aiokafka.conn", "kafka.producer", "some_new_library"])
def test_libraries_do_not_print_payloads_at_debug(stream: io.StringIO, library: str) -> None:
    """The attack: our level is `debug`, and a library (even one that resets its own level) prints a share."""
    configure("debug", "text", stream=stream)
    logger = logging.getLogger(library)
    before = logger.level
    try:
        logger.setLevel(logging.DEBUG)
        logger.debug("Sending record %r", b"share 11894201733650021147")
        logger.info("token %s", "secret")
        logger.warning("connection lost")
    finally:
        logger.setLevel(before)
    (line,) = _lines(stream)
    assert "connection lost" in line
    assert "11894201733650021147" not in line


def test_repeats_are_collapsed_and_counted(stream: io.StringIO) -> None:
    """The first warning is told; the next after a minute says how many there were between; other reasons are others."""
    clock = _Clock()
    configure("info", "json", stream=stream, clock=clock)
    log = structlog.get_logger()
    for number in range(38):
        clock.now = number
        log.warning("record_rejected", reason="late", offset=number)
    log.warning("record_rejected", reason="malformed", offset=1)
    assert [json.loads(line)["reason"] for line in _lines(stream)] == ["late", "malformed"]
    clock.now = 60_001
    log.info("window_sealed")
    summary = json.loads(_lines(stream)[2])
    assert (summary["event"], summary["reason"], summary["more"], summary["within_s"]) == (
        "record_rejected",
        "late",
        37,
        60,
    )
    log.warning("record_rejected", reason="late", offset=99)
    assert "more" not in json.loads(_lines(stream)[4])


def test_information_is_never_collapsed(stream: io.StringIO) -> None:
    """Two windows are two events, however alike."""
    configure("info", "json", stream=stream, clock=_Clock())
    structlog.get_logger().info("window_sealed", window="12:00")
    structlog.get_logger().info("window_sealed", window="13:00")
    assert len(_lines(stream)) == 2


def test_each_window_that_was_dropped_is_told(stream: io.StringIO) -> None:
    """The log is where it is written which windows are lost: no two of them are repeats."""
    configure("info", "json", stream=stream, clock=_Clock())
    windows = [f"{hour:02}:00" for hour in range(34)]
    for window in windows:
        structlog.get_logger().error("window_dropped", window=window, reason="the spool was full")
    assert [json.loads(line)["window"] for line in _lines(stream)] == windows


@pytest.mark.parametrize(("level", "told"), [("info", 1), ("debug", 2)])
def test_a_fault_of_kafka_is_told_once(stream: io.StringIO, level: Literal["info", "debug"], told: int) -> None:
    """The connection says what was wrong; its socket's own line is for whoever looks for a fault of the library."""
    configure(level, "text", stream=stream)
    logging.getLogger("kafka.net.transport").error("%s: Abort (%s)", "<KafkaTCPTransport>", "reset")
    logging.getLogger("kafka.net.connection").error("%s: Connection lost: %s", "<KafkaConnection>", "reset")
    assert len(_lines(stream)) == told
    assert "Connection lost: reset" in _lines(stream)[-1]


def test_repeats_of_a_library_are_collapsed_before_formatting(stream: io.StringIO) -> None:
    """A broker that is down makes a library warn again and again with other numbers."""
    clock = _Clock()
    configure("info", "text", stream=stream, clock=clock)
    for number in range(5):
        logging.getLogger("aiokafka").warning("attempt %d failed", number)
    clock.now = 60_000
    logging.getLogger("kafka").warning("another")
    assert _lines(stream)[1].endswith("attempt 4 failed (4 more in 60 s) library=aiokafka")


def test_what_is_remembered_is_bounded() -> None:
    """Whoever makes new kinds of warnings cannot fill the memory."""
    repeats = Repeats(clock=_Clock(), remember=3)
    for number in range(10):
        assert repeats.admit(logging.makeLogRecord({"levelno": 30, "name": "sotto", "msg": f"kind {number}"}))
    assert not repeats.admit(logging.makeLogRecord({"levelno": 30, "name": "sotto", "msg": "kind 9"}))
    assert repeats.admit(logging.makeLogRecord({"levelno": 30, "name": "sotto", "msg": "kind 0"}))
