"""Deliveries that come again, where readings have no time of their own."""

from __future__ import annotations

from ingest.receipts import KEPT, Receipts


def made(kept: dict[int, bytes] | None = None) -> Receipts:
    return Receipts(secret=b"s" * 32, kept=kept or {}, now=0)


def again(receipts: Receipts, *, connection: int, now: int, dup: bool = True) -> bool:
    receipts.heard(connection, now)
    return receipts.repeated("now/one", b"21.5", mid=1, dup=dup)


def test_what_is_sent_again_is_recognised_by_id_and_content() -> None:
    """The same message under its id with DUP, also after a restart; not without DUP, and not another content."""
    receipts = made()
    assert not again(receipts, connection=1, now=0, dup=False)
    stored, _ = receipts.take(10)
    assert again(receipts, connection=2, now=20)
    assert again(made(dict(stored)), connection=1, now=20)
    assert not again(receipts, connection=2, now=30, dup=False)
    assert not receipts.repeated("now/one", b"22", mid=1, dup=True)


def test_a_receipt_lives_from_the_acknowledgement_on() -> None:
    """A process that stood still, or whose clock jumped, between message and commit still recognises it afterwards."""
    receipts = made()
    assert not again(receipts, connection=1, now=0, dup=False)
    stored, forgotten = receipts.take(3 * KEPT)
    assert [mid for mid, _ in stored] == [1]
    assert forgotten == ()
    assert again(receipts, connection=2, now=3 * KEPT + 10)


def test_so_does_that_of_a_repetition() -> None:
    """Its acknowledgement goes out with the next commit, and can get lost as the first one did."""
    receipts = made()
    assert not again(receipts, connection=1, now=0, dup=False)
    receipts.take(10)
    assert again(receipts, connection=2, now=20)
    assert receipts.take(3 * KEPT) == ((), ())
    assert again(receipts, connection=3, now=3 * KEPT + 10)


def test_nothing_is_forgotten_while_a_new_connection_sends_again() -> None:
    """What comes first on it may be of a source that needs no receipts, and is committed before the rest comes."""
    receipts = made()
    assert not again(receipts, connection=1, now=0, dup=False)
    receipts.take(10)
    receipts.heard(2, 3 * KEPT)
    assert receipts.take(3 * KEPT + 10) == ((), ())
    assert again(receipts, connection=2, now=3 * KEPT + 20)


def pass_time(receipts: Receipts, *, since: int, by: int) -> list[int]:
    """Let messages of another source come every second; return the ids that were forgotten."""
    found: list[int] = []
    for now in range(since, since + by + 1, 1_000):
        receipts.heard(1, now)
        found += receipts.take(now)[1]
    return found


def test_a_receipt_is_forgotten_when_its_acknowledgement_must_have_arrived() -> None:
    """A constant reading under an id that is used again is no repetition."""
    receipts = made()
    again(receipts, connection=1, now=0, dup=False)
    receipts.take(0)
    assert pass_time(receipts, since=0, by=KEPT - 1_000) == []
    assert pass_time(receipts, since=KEPT, by=1_000) == [1]
    assert not again(receipts, connection=1, now=KEPT + 2_000)


def test_time_in_which_the_process_stood_still_does_not_count() -> None:
    """The acknowledgement was lost and the connection has ended, and nobody here has noticed either yet."""
    receipts = made()
    again(receipts, connection=1, now=0, dup=False)
    receipts.take(10)
    receipts.heard(1, 20)
    assert receipts.take(3 * KEPT) == ((), ())
    assert again(receipts, connection=2, now=3 * KEPT + 10)
