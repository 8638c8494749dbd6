"""What is concluded from the shares topics, on records that were made up."""

from __future__ import annotations

from tests.faults.drained import Sent, drains, order
from tests.faults.load import Reading

SIZE = 10_000


def batch(number: int, *, window: int = 0, at: int = 0) -> Sent:
    return Sent(party="p", partition=0, gateway="g", epoch=(1, b""), window=window, at=at, sequence=number)


def seal(batches: int, *, window: int = 0) -> Sent:
    return Sent(
        party="p", partition=0, gateway="g", epoch=(1, b""), window=window, at=0, sequence=None, batches=batches
    )


def reading(time: int) -> Reading:
    return Reading(organisation="o", gateway="g", area="a", sensor="s", time=time, value=time)


def test_records_that_are_sent_again_are_in_order() -> None:
    """A publisher that begins again with what is not confirmed does no harm."""
    found = order([batch(0), batch(1), batch(0), batch(1), batch(2), seal(3), seal(3)])
    assert (found.batches, found.seals, found.repeats, found.faults) == (3, 1, 3, [])


def test_a_hole_a_batch_behind_the_seal_and_a_seal_too_early_are_faults() -> None:
    """Each of them would cost a party the gateway's window."""
    assert len(order([batch(0), batch(2)]).faults) == 1
    assert len(order([batch(0), seal(1), batch(1)]).faults) == 1
    assert len(order([batch(0), seal(2)]).faults) == 1


def test_a_drain_counts_the_backlog_and_not_what_comes_meanwhile() -> None:
    """Twenty seconds of load with a record a second, as long without Kafka, then two seconds for the backlog."""
    stopped, back = 2 * SIZE, 4 * SIZE + 1
    before = [batch(at // 1_000 % 10, window=at // SIZE * SIZE, at=at) for at in range(0, stopped, 1_000)]
    after = [batch(number, window=2 * SIZE, at=back + 100 * number) for number in range(21)]
    open_then = [batch(0, window=4 * SIZE, at=back + 5_000)]
    readings = [reading(time) for time in range(0, 5 * SIZE, 100)]
    (found,) = drains([*before, *after, *open_then], readings, first=0, size=SIZE, away=(stopped, back))
    assert (found.records, found.readings, found.seconds) == (len(after), 2 * SIZE // 100, 2.0)
    assert (found.records_arriving, found.readings_arriving) == (1.0, 10.0)
    assert found.times == min(len(after) / 2.0 / 1.0, 200 / 2.0 / 10.0)
