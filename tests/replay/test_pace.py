"""Messages go out when they are due, and all are confirmed."""

from collections.abc import Callable

import pytest

from protocol.errors import ConfigError, NotReadyError
from sotto.readings import Message
from sotto.replay import SILENCE, Pace, Publisher, run

HOUR = 3_600_000
MESSAGES = [Message(time=hour * HOUR, topic="t", payload=b"{}") for hour in (5, 5, 6, 8)]


def test_messages_are_due_at_their_time_divided_by_the_speed() -> None:
    """At 3600 times, an hour is a second."""
    pace = Pace(MESSAGES, speed=3600, now=100.0)
    assert [pace.due(100.0 + seconds) for seconds in (0, 0.5, 1, 2.9, 3, 99)] == [2, 2, 3, 3, 4, 4]


def test_without_a_speed_everything_is_due_at_once() -> None:
    """The broker's confirmations are then the only limit."""
    assert Pace(MESSAGES, speed=None, now=0).due(0) == 4


def test_a_pause_moves_what_comes_after_it() -> None:
    """While it stands still nothing more is due, and afterwards it goes on where it stood."""
    pace = Pace(MESSAGES, speed=3600, now=0)
    pace.pause_or_resume(0.5)
    assert (pace.paused, pace.due(60)) == (True, 2)
    pace.pause_or_resume(60.5)
    assert [pace.due(60.9), pace.due(61.0)] == [2, 3]


class FakePublisher:
    """A broker that confirms one message at each look, up to a limit."""

    def __init__(self, confirms: int) -> None:
        self.sent = 0
        self._left = confirms
        self._confirmed = 0

    @property
    def confirmed(self) -> int:
        if self._left and self._confirmed < self.sent:
            self._left -= 1
            self._confirmed += 1
        return self._confirmed

    def publish(self, message: Message) -> bool:
        self.sent += 1
        return True

    def silent(self) -> NotReadyError:
        return NotReadyError("silent")


def play(publisher: FakePublisher, seen: Callable[[int], None]) -> float:
    """Run a replay on a clock that only `sleep` moves; return how long it took."""
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(MESSAGES, speed=3600, now=0)
    run(MESSAGES, publisher, pace, clock=lambda: now[0], sleep=sleep, progress=seen)  # type: ignore[arg-type]
    return now[0]


def test_a_replay_ends_when_all_is_confirmed() -> None:
    """It takes as long as the pace says, and the progress ends at the full number."""
    seen: list[int] = []
    assert play(FakePublisher(confirms=99), seen.append) == pytest.approx(3, abs=0.1)
    assert seen[-1] == len(MESSAGES)


def test_a_broker_that_stops_confirming_is_an_error_and_not_an_endless_wait() -> None:
    """After a silence the replay gives up."""
    with pytest.raises(NotReadyError):
        play(FakePublisher(confirms=1), lambda _: None)
    assert SILENCE > 0


@pytest.mark.parametrize("url", ["", "localhost", "http://localhost", "mqtt://", "mqtt://host:port"])
def test_a_wrong_url_is_a_usage_error(url: str) -> None:
    """Without trying to connect."""
    with pytest.raises(ConfigError, match="URL of an MQTT broker"):
        Publisher(url)


def test_an_unreachable_broker_is_named_without_its_password() -> None:
    """Port 1 of loopback: nobody listens there."""
    with pytest.raises(NotReadyError) as caught:
        Publisher("mqtt://user:secret@127.0.0.1:1")
    assert "mqtt://127.0.0.1:1" in str(caught.value)
    assert "secret" not in str(caught.value)
