"""`sotto status`: what pages of real folds say in words, and what is said where nothing answers."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from runtime.serving import Health, serve
from sotto.cli import main
from sotto.demo.ports import free_port
from sotto.init import Trial, write_trial
from sotto.report import in_words, report
from sotto.terminal import manner
from tests.trial import HOUR, START, make_trial

MINUTE = 60_000
TASK = make_trial().task
NOW = START + 20 * HOUR
OK = {"healthy": True, "unready": {}}
PARTIES = [
    {"name": "party-1", "state": "ok", "silent_ms": 0},
    {"name": "party-2", "state": "ok", "silent_ms": 20 * MINUTE},
    {"name": "party-3", "state": "silent", "silent_ms": 130 * MINUTE},
]
PARTY = {
    "role": "party",
    "name": "party-1",
    "live": True,
    "gateways": 4,
    "enough_parties": 2,
    "windows": [],
    "recent": [],
    "parties": PARTIES,
    "parked": [],
    "kafka": "connected",
    "partitions": {"leaf": [0, 1, 2, 5], "root": [0, 1, 2, 5]},
    "of_partitions": 6,
    "lag": {"control": 0},
    **OK,
}


def window(start: int = START + 17 * HOUR, **changes: Any) -> dict[str, Any]:
    """Make an open window that waits for one gateway."""
    return {
        "window": start,
        "waits_for": "gateways",
        "gateways": [{"name": "east-1", "state": "silent", "silent_ms": 12 * MINUTE}],
        "faults": [],
        "parties": ["party-1", "party-2", "party-3"],
        "complete": 3,
        "goes_on_without_in_ms": 149_000,
        "gives_up_in_ms": 3 * 24 * HOUR,
        **changes,
    }


def ended(start: int = START + 16 * HOUR, **changes: Any) -> dict[str, Any]:
    """Make a window that has ended."""
    return {
        "window": start,
        "ended_at": start + HOUR,
        "outcome": "done",
        "reason": "none",
        "parties": ["party-1", "party-2"],
        "at_fault": [],
        "verified": None,
        "points": 11,
        "suppressed": 1,
        "suppressed_cells": [{"labels": {"area": "centre"}, "measure": "no2", "reason": "too_few_organisations"}],
        **changes,
    }


def said(**changes: Any) -> list[str]:
    """What is printed of a party's page."""
    return report({**PARTY, **changes}, task=TASK, now=NOW)


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0 s"),
        (7, "7 ms"),
        (149_000, "2 min 29 s"),
        (7_800_000, "2 h 10 min"),
        (86_400_000, "1 d"),
        (720_000, "12 min"),
    ],
)
def test_durations_are_words(ms: int, words: str) -> None:
    """The two largest units, and none that is zero."""
    assert in_words(ms) == words


def test_a_party_says_whom_each_window_waits_for_and_until_when() -> None:
    """As operators.md shows it: the gateway, its silence, when it goes on, how many are complete; then what ended."""
    lines = said(windows=[window()], recent=[ended()])
    assert lines == [
        "2016-12-01 17:00  waits for east-1 (silent 12 min), is released without it in 2 min 29 s"
        "      3 of 4 gateways are complete",
        "2016-12-01 16:00  done: 11 points, 1 suppressed (centre/no2: too few organisations), without party-3",
        "parties: party-1 ok, party-2 ok, party-3 silent 2 h 10 min (two suffice)",
        "this process: partitions 0-2, 5 of 6, Kafka connected, nothing unread",
    ]


def test_windows_that_wait_for_the_same_are_one_line() -> None:
    """After a late start there are many of them, and the one of now must not be behind them."""
    late = [
        window(NOW - (50 - n) * HOUR, gateways=[{"name": "east-1", "state": "silent", "silent_ms": None}])
        for n in range(45)
    ]
    other = window(NOW - 2 * HOUR, waits_for="manifests", parties=["party-3"])
    lines = said(windows=[*late, other, window(NOW)])
    first, last = "2016-11-29 18:00", "2016-12-01 14:00"
    assert lines[0].startswith("2016-12-01 20:00  collects readings until 2016-12-01 21:00")
    assert lines[1].startswith("2016-12-01 18:00  waits for party-3 to say what it holds")
    assert lines[2].startswith(f"45 windows from {first} to {last}: waits for east-1 (not heard yet), is released")
    assert lines[3].startswith("parties: ")


def test_of_too_many_different_windows_the_oldest_and_the_newest_are_told() -> None:
    """The oldest hold up the others; the newest is the one of now; those between are counted."""
    many = [window(NOW - (30 - n) * HOUR, goes_on_without_in_ms=n * 1000 + 1000) for n in range(30)]
    lines = said(windows=many)
    assert len(lines) == 20 + 1 + 2
    assert lines[0].startswith("2016-12-01 19:00  waits for east-1")
    assert lines[1] == "and 10 windows between these"
    assert lines[2].startswith("2016-12-01 08:00  ")
    assert lines[20].startswith("2016-11-30 14:00  ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"window": NOW}, "collects readings until 2016-12-01 21:00"),
        ({"goes_on_without_in_ms": 0}, "is released without it as soon as all that is in Kafka is read"),
        (
            {"waits_for": "manifests", "parties": ["party-3"]},
            "waits for party-3 to say what it holds, goes on without it",
        ),
        (
            {"waits_for": "aggregate_shares", "parties": ["party-2"], "goes_on_without_in_ms": None},
            "waits for party-2 to release its totals, is given up in 3 d: without it there is no result",
        ),
        (
            {"waits_for": "rounds", "parties": ["party-2"], "goes_on_without_in_ms": 60_000},
            "waits for party-2 to go on with the joint computation, goes on without it in 1 min",
        ),
        ({"faults": [{"name": "west-1", "reason": "two_seals"}]}, "west-1 does not count: two_seals"),
        ({"gateways": [{"name": f"g-{n}", "state": "silent", "silent_ms": None} for n in range(9)]}, "and 4 more"),
    ],
)
def test_every_wait_has_its_words(changes: dict[str, Any], words: str) -> None:
    """Still open, deadline passed, other parties, a scheme that can end no wait, a gateway at fault, many gateways."""
    assert words in said(windows=[window(**changes)])[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"points": None, "suppressed": None, "suppressed_cells": []}, "done, without party-3"),
        ({"verified": False}, "not verified"),
        (
            {"outcome": "suppressed", "reason": "party_missing", "parties": [], "at_fault": ["party-3"]},
            "suppressed: Given up: too few parties answered in time.; at fault: party-3",
        ),
    ],
)
def test_every_end_has_its_words(changes: dict[str, Any], words: str) -> None:
    """Without the numbers, not verified, given up."""
    assert words in said(recent=[ended(**changes)])[1]


def test_a_gateway_says_how_full_its_spool_is_and_since_when_kafka_is_away() -> None:
    """Windows, spool, servers, what was not used, the clock."""
    document = {
        "role": "gateway",
        "state": "running",
        "windows": [{"window": START + 20 * HOUR, "readings": 7}],
        "sealed": [
            {"window": START, "readings": 11, "gaps": 1, "late": 2, "dropped": 0, "refused": 0, "cold": False},
        ],
        "dropped_windows": [],
        "spool": {
            "bytes": 3_200_000,
            "limit_bytes": 2_000_000_000,
            "oldest_ms": 22 * MINUTE,
            "full": "Open the way to k:9092",
            "dropped": 2,
        },
        "mqtt": {"connected": True, "since_ms": HOUR, "error": ""},
        "kafka": {"connected": False, "since_ms": 22 * MINUTE, "error": "no answer"},
        "refused": {"late": 2, "out_of_range": 1},
        "late": [{"window": START - HOUR, "readings": 2}],
        "clock": {"offset_ms": 12, "synchronised": True, "right": True},
        "healthy": True,
        "unready": {"kafka": "no answer"},
    }
    assert report(document, task=TASK, now=NOW) == [
        "2016-12-01 20:00  open: 7 readings, is sealed at 2016-12-01 21:10",
        "2016-12-01 00:00  sealed: 11 readings, 1 gap, 2 late",
        "spool: 3.2 MB of 2.0 GB, oldest 22 min, reading from MQTT has stopped: Open the way to k:9092,"
        " 2 readings dropped since the start",
        "servers: mqtt connected, kafka not reached for 22 min (no answer)",
        "not used since the start: late 2, out_of_range 1",
        "2016-11-30 23:00  2 readings came too late",
        "clock: right, 12 ms off Kafka's",
        "not ready: kafka: no answer",
    ]


def test_a_window_that_was_given_up_is_not_shown_as_sealed() -> None:
    """Its readings are lost; what its seal would have told is told by a later one, and shown there only."""
    sealed = {"readings": 12, "gaps": 0, "late": 0, "dropped": 0, "refused": 0, "cold": False}
    given_up = [{"window": START + hour * HOUR, "readings": 12, "reason": "the spool was full"} for hour in range(9)]
    lines = report(
        {
            "role": "gateway",
            "state": "running",
            "windows": [{"window": START + 8 * HOUR, "readings": 0}],
            "sealed": [
                {"window": START + 7 * HOUR, **sealed, "cold": True},
                {"window": START + 9 * HOUR, **sealed, "dropped": 108},
            ],
            "dropped_windows": given_up,
            "spool": {"bytes": 0, "limit_bytes": 2_000_000, "oldest_ms": None, "full": None, "dropped": 108},
            "mqtt": {"connected": True, "since_ms": HOUR, "error": ""},
            "refused": {},
            "late": [],
            "clock": {"offset_ms": 12, "synchronised": True, "right": True},
            **OK,
        },
        task=TASK,
        now=NOW,
    )
    assert lines[:9] == [
        "2016-12-01 09:00  sealed: 12 readings, 0 gaps, tells of 108 readings dropped from earlier windows",
        *(f"2016-12-01 0{hour}:00  given up: 12 readings (the spool was full)" for hour in (8, 7, 6, 5, 4, 3)),
        "and windows before these: see window_dropped in the log",
        "spool: 0 B of 2.0 MB, 108 readings dropped since the start",
    ]


def test_a_party_that_was_never_heard_of_is_not_called_well() -> None:
    """Nothing is known of it yet."""
    parties = [{"name": "party-1", "state": "ok", "silent_ms": 0}]
    parties.append({"name": "party-2", "state": "not_heard", "silent_ms": None})
    assert "parties: party-1 ok, party-2 not heard yet" in said(parties=parties)


def test_a_sink_says_what_it_wrote_last_and_how_far_it_is_behind() -> None:
    """Reasons of what was suppressed, and what the database refused."""
    document = {
        "role": "sink",
        "name": "sink",
        "sink": "sqlite",
        "where": "results.db",
        "up": True,
        "recent": [
            {
                "window": START,
                "written_at": NOW,
                "points": 5,
                "suppressed": {"too_few_organisations": 1},
                "refused_points": 2,
            }
        ],
        "behind": 3,
        "partitions": [0, 1, 2],
        **OK,
    }
    assert report(document, task=TASK, now=NOW) == [
        "2016-12-01 00:00  written: 5 points, 1 suppressed (too few organisations), sqlite refused 2 rows: see the log",
        "sqlite results.db takes results; not written yet: 3 windows",
        "this process: partitions 0-2 of topic aggregates",
    ]


# -- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "air", entropy=random.Random(1).randbytes)


@pytest.fixture(autouse=True)
def _manners() -> Iterator[None]:
    yield
    manner.quiet = manner.traces = False


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    code = caught.value.code
    return code if isinstance(code, int) else 0


@contextmanager
def page(document: dict[str, Any], *, ready: bool = True) -> Iterator[str]:
    """Serve a role's pages, as a role does."""
    health = Health(clock=lambda: 0, status=lambda: document)
    health.beat()
    health.set_ready("kafka", ready, "not reached")
    server = serve("127.0.0.1:0", CollectorRegistry(), health)
    assert server is not None
    yield f"127.0.0.1:{server.port}"
    server.close()


def test_the_page_is_asked_and_told(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 0; --json prints the document as it is."""
    file = trial.directory / "parties" / "city-it.toml"
    document = {**PARTY, "name": "city-it"}
    with page(document) as listen:
        assert run("status", file, "--http", listen) == 0
        assert "no window is open" in capsys.readouterr().out
        assert run("status", file, "--http", listen, "--json") == 0
        assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(document))


def test_a_role_that_is_not_ready_is_told_and_exits_with_3(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """What it lacks is the last line."""
    with page({**PARTY, "name": "city-it"}, ready=False) as listen:
        assert run("status", trial.directory / "parties" / "city-it.toml", "--http", listen) == 3
    assert capsys.readouterr().out.splitlines()[-1] == "not ready: kafka: not reached"


def test_nothing_answers(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """The address that was asked, and what to do."""
    listen = f"127.0.0.1:{free_port()}"
    assert run("status", trial.directory / "sink.toml", "--http", listen) == 3
    error = capsys.readouterr().err
    assert f"nothing answers at {listen} (connection refused)" in error
    assert "Is the role running" in error


def test_pages_that_are_switched_off(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """listen = "" is no address, and the error says so."""
    assert run("status", trial.directory / "sink.toml", "--http", "") == 3
    assert 'listen = ""' in capsys.readouterr().err


def test_a_role_of_the_same_name_in_another_task_answers(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Every task has its collector; what another one's waits for is no answer."""
    with page({**PARTY, "role": "collector", "name": "collector", "task_id": TASK.id}) as listen:
        assert run("status", trial.directory / "collector.toml", "--http", listen) == 3
    assert f"works in another task: {TASK.id}" in capsys.readouterr().err


def test_somebody_else_answers(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Another role, or no role at all, is not taken for this one."""
    file = trial.directory / "collector.toml"
    with page(PARTY) as listen:
        assert run("status", file, "--http", listen) == 3
    assert "party party-1 answers" in capsys.readouterr().err
    with other() as listen:
        assert run("status", file, "--http", listen) == 3
    assert "not a role of Sotto (HTTP 404)" in capsys.readouterr().err


@contextmanager
def answering(*parts: bytes) -> Iterator[str]:
    """Answer every question with these parts."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                for part in parts:
                    self.wfile.write(part)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((b"[" * 200_000,), "is not a role of Sotto"),
        ((b'{"role": "party", "name": "city-it"}',), "is not a role of Sotto"),
        ((b'{"role": "party", "name": "city-it", "healthy": true, "unready": 5}',), "not as it should be"),
        ((b'{"role": "a\\u001b[2J", "name": 1, "healthy": 1, "unready": {}}',), "a?[2J 1 answers"),
        ((b" " * (1 << 20),) * 17, "its answer has no end"),
    ],
)
def test_an_answer_that_is_no_page_is_an_error_and_no_harm(
    trial: Trial, capsys: pytest.CaptureFixture[str], parts: tuple[bytes, ...], words: str
) -> None:
    """Nested, short, of another version, with the codes of a terminal, without end."""
    with answering(*parts) as listen:
        assert run("status", trial.directory / "parties" / "city-it.toml", "--http", listen) == 3
    error = capsys.readouterr().err
    assert words in error
    assert "\x1b" not in error


def test_texts_of_servers_do_not_reach_the_terminal(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """An error of a broker may hold anything."""
    document = {**PARTY, "name": "city-it", "kafka": "\x1b[2J\x9b31mgone"}
    with page(document) as listen:
        for more in ([], ["--json"]):
            assert run("status", trial.directory / "parties" / "city-it.toml", "--http", listen, *more) == 0
            shown = capsys.readouterr().out
            assert "gone" in shown
            assert not {"\x1b", "\x9b"} & set(shown)


def test_a_wrong_file_is_a_wrong_use(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """A task has no process."""
    assert run("status", trial.directory / "task.toml") == 2
    assert "is a task" in capsys.readouterr().err


@contextmanager
def other() -> Iterator[str]:
    """A web server that is none of ours."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()
