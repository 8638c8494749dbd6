"""What /status says of windows that have ended and of parties: names, reasons, numbers of values, no small counts."""

from __future__ import annotations

import json

from streams.recent import MOST, Ended, Recent, attendance, latest
from tests.trial import HOUR, START

NAMES = ("party-1", "party-2", "party-3")


def ended(
    number: int, *, parties: tuple[str, ...] = NAMES, reason: str = "none", at_fault: tuple[str, ...] = ()
) -> Ended:
    """A window that ended an hour after its start."""
    window = START + number * HOUR
    return Ended(window=window, at=window + HOUR, reason=reason, parties=parties, at_fault=at_fault)


def states(recent: Recent, *, waited: tuple[str, ...] = (), own: str | None = None) -> list[str]:
    """How the parties stand."""
    return [one["state"] for one in attendance(NAMES, [recent], waited=waited, now=START + 5 * HOUR, own=own)]


def test_a_year_of_windows_leaves_the_latest_few() -> None:
    """The list is bounded, also over several folds, and in order; an end that is told twice stands once."""
    recents = [Recent(), Recent()]
    for number in range(1_000):
        for _ in range(2):
            recents[number % 2].end(ended(number))
    assert [len(recent.ended) for recent in recents] == [MOST, MOST]
    assert [one.window for one in latest(recents)] == [START + number * HOUR for number in range(1_000 - MOST, 1_000)]


def test_who_was_missing_and_has_not_been_heard_of_since_is_silent() -> None:
    """And is not any more once it speaks."""
    recent = Recent()
    for name in NAMES[:2]:
        recent.hear(name, START + HOUR)
    recent.end(ended(0, parties=NAMES[:2]))
    assert states(recent) == ["ok", "ok", "silent"]
    recent.hear(NAMES[2], START + 2 * HOUR)
    assert states(recent) == ["ok", "ok", "ok"]
    assert states(recent, waited=NAMES, own=NAMES[0]) == ["ok", "waited_for", "waited_for"]


def test_a_window_that_was_given_up_names_who_did_not_answer() -> None:
    """Whom the suppression names is silent; whom another suppression names need not be."""
    recent = Recent()
    for name in NAMES:
        recent.hear(name, START)
    recent.end(ended(0, parties=(), reason="party_missing", at_fault=NAMES[1:2]))
    assert states(recent) == ["ok", "silent", "ok"]
    recent.end(ended(1, parties=(), reason="window_over", at_fault=NAMES[:1]))
    assert states(recent) == ["ok", "silent", "ok"]


def test_who_was_never_heard_of_is_not_well() -> None:
    """Before its first record nothing is known of a party; a window that ended with it is as good as a record."""
    recent = Recent()
    assert states(recent, waited=NAMES[2:], own=NAMES[0]) == ["ok", "not_heard", "waited_for"]
    recent.hear(NAMES[1], START)
    assert states(recent, own=NAMES[0]) == ["ok", "ok", "not_heard"]
    recent.end(ended(0))
    assert states(recent) == ["ok", "ok", "ok"]


def test_the_documents_are_json_and_say_since_when() -> None:
    """Milliseconds since the last record in the log; null for who has never spoken here."""
    recent = Recent()
    recent.hear(NAMES[0], START + 4 * HOUR)
    recent.hear(NAMES[0], START + 3 * HOUR)
    stand = attendance(NAMES, [recent], waited=(), now=START + 5 * HOUR)
    assert [one["silent_ms"] for one in stand] == [HOUR, None, None]
    assert json.loads(json.dumps([ended(0).document(), *stand]))
