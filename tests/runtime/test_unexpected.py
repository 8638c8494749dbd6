"""No exception of a role can carry a secret into its log: kinds and places are told, texts of others are not."""

from __future__ import annotations

import asyncio
import io
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Literal, NoReturn

import pytest
import structlog
from aiokafka.errors import KafkaConnectionError

import ingest.main
import sinks.main
import streams.main
from protocol.errors import ConfigError
from runtime.fold import Flow, Fold, LogError
from runtime.lane import Clock
from runtime.logs import configure, prefer
from runtime.sections import KafkaSection
from runtime.unexpected import hook, in_brief, places
from runtime.worker import SystemClock, _Job, _Until
from sotto.cli import main
from sotto.terminal import manner

SECRET = b"\xdd\x8f11894201733650021147"
TEXTS = ("11894201733650021147", r"\xdd\x8f", "\\xdd")
ROLES = {
    "gateway": (ingest.main, "run"),
    "party": (streams.main, "run_party"),
    "collector": (streams.main, "run_collector"),
    "sink": (sinks.main, "run"),
}


def fail_on_a_share(*_: object, **__: object) -> NoReturn:
    """Raise what quotes a secret, because of what quotes it too, while handling a third that does."""
    try:
        raise KeyError(SECRET)
    except KeyError:
        try:
            number = int(SECRET)
        except ValueError as error:
            raise RuntimeError(f"this share is wrong: {SECRET!r}") from error
    raise AssertionError(number)


def caught() -> RuntimeError:
    try:
        fail_on_a_share()
    except RuntimeError as error:
        return error


def assert_told_without_texts(log: str) -> None:
    assert [text for text in TEXTS if text in log] == []
    assert "RuntimeError" in log
    assert "fail_on_a_share" in log
    assert "test_unexpected.py:" in log


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    yield io.StringIO()
    logging.getLogger().handlers[:] = [h for h in logging.getLogger().handlers if type(h).__name__ != "_Handler"]
    structlog.reset_defaults()
    prefer()


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hooks of this process, put back after the test."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    hook()


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("role", list(ROLES))
def test_a_role_that_crashes_tells_kinds_and_places(
    role: str, form: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: io.StringIO
) -> None:
    """The attack: a role stumbles over a share, and its log, at debug, is mailed to whoever looks for the fault."""
    monkeypatch.setattr(*ROLES[role], fail_on_a_share)
    monkeypatch.setattr(manner, "traces", manner.traces)
    with pytest.raises(SystemExit) as end:
        main(["--log-level", "debug", "--log-format", form, role, "role.toml"])
    assert end.value.code == 1
    said = capsys.readouterr()
    assert_told_without_texts(said.err)
    assert "caused by ValueError" in said.err
    assert said.out == ""


@pytest.mark.parametrize("role", list(ROLES))
def test_a_cause_of_our_own_error_is_told_without_its_text(
    role: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stream: io.StringIO
) -> None:
    """At debug an error of ours comes with where it came from; what lies behind it may quote anything."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise ConfigError("this file is wrong") from caught()

    monkeypatch.setattr(*ROLES[role], refuse)
    monkeypatch.setattr(manner, "traces", manner.traces)
    with pytest.raises(SystemExit) as end:
        main(["--log-level", "debug", role, "role.toml"])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert_told_without_texts(said)
    assert "error: this file is wrong" in said


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_fold_that_raises_is_told_without_its_text(form: Literal["text", "json"], stream: io.StringIO) -> None:
    """A party and the collector work in folds: what a fold raises ends the worker, and stands in the log once."""
    configure("debug", form, stream=stream)
    flow = Flow(name="root", topics=("rounds",), make=lambda _number, _starts: Fold(), outputs=())  # type: ignore[abstract]
    clock: Clock = SystemClock()
    section = KafkaSection(bootstrap_servers=("127.0.0.1:1",))
    job = _Job(
        group="g",
        kafka=section,
        flows=[flow],
        clock=clock,
        beat=lambda _: None,
        check=lambda: None,
        halted=_Until(None),
    )
    job._failed(caught())
    assert isinstance(job.failure, RuntimeError)
    assert "worker_failed" in stream.getvalue()
    assert_told_without_texts(stream.getvalue())


def test_a_thread_that_ends_is_told_without_its_text(stream: io.StringIO, hooks: None) -> None:
    """Python would print the traceback of a thread with all texts; a gateway's publisher is one."""
    configure("debug", "text", stream=stream)
    thread = threading.Thread(target=fail_on_a_share)
    thread.start()
    thread.join()
    assert_told_without_texts(stream.getvalue())


def test_a_finaliser_that_fails_is_told_without_its_text(
    stream: io.StringIO, hooks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python would print what `__del__` raises, and the object."""

    class Holder:
        def __del__(self) -> None:
            fail_on_a_share()

    configure("debug", "text", stream=stream)
    Holder()
    assert_told_without_texts(stream.getvalue())
    assert capsys.readouterr().err == ""


def _with_argument(logger: logging.Logger) -> None:
    error = caught()
    logger.error("[^Worker]: Crashed reason=%r", error, exc_info=error)


def _formatted_before(logger: logging.Logger) -> None:
    error = caught()
    logger.error(f"Crashed: {error} {error!r} {error.__cause__}", exc_info=error)


def _by_hand(logger: logging.Logger) -> None:
    try:
        fail_on_a_share()
    except RuntimeError:
        logger.exception("Crashed")


@pytest.mark.parametrize("say", [_with_argument, _formatted_before, _by_hand])
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("library", ["faust", "mode.services", "aiokafka.consumer", "sotto.party"])
def test_a_library_that_logs_an_exception_shows_no_text_of_it(
    library: str, form: Literal["text", "json"], say: Callable[[logging.Logger], None], stream: io.StringIO
) -> None:
    """Faust and Kafka's clients log what ends their tasks: as an argument, in the sentence, with its traceback."""
    configure("debug", form, stream=stream)
    say(logging.getLogger(library))
    assert_told_without_texts(stream.getvalue())
    assert "Crashed" in stream.getvalue()


def test_asyncio_shows_neither_arguments_nor_results(stream: io.StringIO) -> None:
    """Its sentences quote a callback's arguments and a task's exception."""
    configure("debug", "text", stream=stream)

    async def work() -> None:
        asyncio.get_running_loop().call_soon(fail_on_a_share, SECRET)
        await asyncio.sleep(0)
        task = asyncio.create_task(_fail())
        await asyncio.wait([task])
        del task

    asyncio.run(work())
    log = stream.getvalue()
    assert_told_without_texts(log)
    assert "Exception in callback" in log
    assert "Task exception was never retrieved" in log


async def _fail() -> NoReturn:
    fail_on_a_share()


def test_a_record_that_cannot_be_written_shows_no_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python's own last word on such a record is a traceback with the arguments in full."""
    configure("debug", "text", stream=stream)
    (handler,) = (each for each in logging.getLogger().handlers if type(each).__name__ == "_Handler")
    handler.handle(logging.LogRecord("kafka", logging.ERROR, "conn.py", 1, "%d bytes", (SECRET,), None))
    said = stream.getvalue() + capsys.readouterr().err
    assert [text for text in TEXTS if text in said] == []
    assert "a log record was not written" in said
    assert "TypeError" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "ConnectionRefusedError: Connection refused"),
        (FileNotFoundError(2, "No such file", "a.toml"), "FileNotFoundError: No such file: a.toml"),
        (OSError("quotes a value"), "OSError"),
        (KafkaConnectionError("no broker"), "KafkaConnectionError: no broker"),
        (ConfigError("wrong", where="a.toml"), "wrong"),
        (LogError("later"), "later"),
        (ValueError("quotes a value"), "ValueError"),
        (sqlite3.OperationalError("quotes a value"), "OperationalError"),
        (UnicodeDecodeError("utf-8", SECRET, 0, 1, "bad"), "UnicodeDecodeError"),
    ],
)
def test_what_cannot_hold_a_secret_is_said(error: BaseException, said: str) -> None:
    """Ours, the operating system's and Kafka's own sentences stay: without them no fault could be mended."""
    assert in_brief(error) == said


def test_causes_in_a_circle_end() -> None:
    """An exception that is its own cause, by way of another, is told once."""
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    assert places(one) == "ValueError\ncaused by KeyError"
