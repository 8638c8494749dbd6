"""What a worker over a partition may rely on (runtime/fold.py): Kafka is a few lists, time passes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from runtime.fold import Effect, Flow, Fold, Map, Moment, Output, Place, Record, Start, Undeliverable
from runtime.runner import Runner
from tests.streams.virtual import ListLog, VirtualClock, run

SOURCE = Place("in", 0)


class Pairs(Fold):
    """Needs two records to make one: the first of a pair holds the offset back."""

    def __init__(self, starts: Mapping[str, Start]) -> None:
        self.seen: list[int] = []
        self.next = starts["in"].first
        self.ticks: list[Moment] = []

    def record(self, record: Record, now: int) -> Sequence[Output]:
        self.seen.append(record.offset)
        self.next = record.offset + 1
        return [Output("out", 0, None, b"%d" % record.offset)] if len(self.seen) % 2 == 0 else ()

    def tick(self, moment: Moment) -> Sequence[Output]:
        self.ticks.append(moment)
        return ()

    def committable(self) -> Mapping[str, int]:
        return {"in": self.next - len(self.seen) % 2}


class Echo(Map):
    def __init__(self) -> None:
        self.delivered: list[int] = []

    def record(self, record: Record, now: int) -> Sequence[Output]:
        return [Output("out", 0, record.key, record.value)]

    def tick(self, moment: Moment, delivered: Mapping[str, int]) -> Sequence[Output]:
        self.delivered.append(delivered["in"])
        return ()


class Stage:
    """A runner with one flow over topic `in`, and a hand that delivers records as Faust would."""

    def __init__(self, worker: type[Pairs] | type[Echo] | type[Effect], log: ListLog | None = None) -> None:
        self.log = log or ListLog()
        self.made: list[Pairs | Echo | Effect] = []
        self.failures: list[BaseException] = []

        def make(_number: int, starts: Mapping[str, Start]) -> Pairs | Echo | Effect:
            self.made.append(worker(starts) if issubclass(worker, Pairs) else worker())
            return self.made[-1]

        flow = Flow(name="test", topics=("in",), make=make, watch=("watched",))
        self.runner = Runner(flows=[flow], log=self.log, clock=VirtualClock(), failed=self.failures.append)

    def start(self) -> None:
        self.runner.assigned([SOURCE])

    async def give(self, *offsets: int) -> None:
        for offset in offsets:
            await self.runner.feed(self.log.records[SOURCE][offset])

    @property
    def folded(self) -> list[int]:
        return self.made[-1].seen


def filled(records: int) -> ListLog:
    log = ListLog()
    for number in range(records):
        log.write("in", 0, b"%d" % number)
    return log


def values(log: ListLog, topic: str = "out") -> list[bytes]:
    return [record.value for record in log.records[Place(topic, 0)]]


def test_a_fold_takes_every_record_once_and_in_order_although_faust_repeats() -> None:
    """Offsets below the expected one are left out."""

    async def main() -> None:
        stage = Stage(Pairs, filled(4))
        stage.start()
        await stage.give(0, 1, 0, 1, 2, 1, 3)
        await asyncio.sleep(1)
        assert stage.folded == [0, 1, 2, 3]
        assert values(stage.log) == [b"1", b"3"]

    run(main)


def test_a_gap_is_read_again_once_and_what_was_fetched_behind_it_is_left_out() -> None:
    """A record that Faust left out is fetched; nothing behind it is taken before it."""

    async def main() -> None:
        stage = Stage(Pairs, filled(6))
        stage.start()
        await stage.give(0, 2, 3, 4)
        await asyncio.sleep(0.5)
        assert stage.log.seeks == [(SOURCE, 1)]
        assert stage.folded == [0]
        await stage.give(1, 2, 3, 4, 5)
        await asyncio.sleep(0.5)
        assert stage.folded == [0, 1, 2, 3, 4, 5]

    run(main)


def test_a_gap_that_stays_after_several_seeks_is_kafkas_own() -> None:
    """Control records of transactions take offsets: the stream goes on, but not at the first sight."""

    async def main() -> None:
        stage = Stage(Pairs, filled(6))
        stage.start()
        await stage.give(0)
        for _ in range(3):
            await stage.give(2)
            await asyncio.sleep(1.5)
            assert stage.folded == [0]
        await stage.give(2, 3)
        await asyncio.sleep(1)
        assert stage.folded == [0, 2, 3]

    run(main)


def test_records_that_retention_took_are_passed_over() -> None:
    """The oldest record that Kafka has is what comes next."""

    async def main() -> None:
        stage = Stage(Pairs, filled(8))
        stage.start()
        await stage.give(0)
        await asyncio.sleep(0.3)
        stage.log.oldest[SOURCE] = 5
        await stage.give(5)
        await asyncio.sleep(1.5)
        await stage.give(5, 6)
        await asyncio.sleep(1.5)
        await stage.give(5, 6)
        await asyncio.sleep(1)
        assert stage.folded == [0, 5, 6]

    run(main)


def test_a_lost_tail_is_noticed_without_a_record_behind_it() -> None:
    """Faust can drop the last records of a partition: Kafka has more, nothing comes, so we seek."""

    async def main() -> None:
        stage = Stage(Pairs, filled(3))
        stage.start()
        looking = asyncio.create_task(stage.runner.look_for_ever())
        await stage.give(0, 1)
        await asyncio.sleep(12)
        assert stage.log.seeks[0] == (SOURCE, 2)
        looking.cancel()

    run(main)


def test_a_lane_whose_records_wait_behind_those_of_another_seeks_nothing() -> None:
    """One feed serves all lanes: while one is full, nothing of the others is lost, and nothing is read again."""

    class Slow(ListLog):
        async def send(self, output: Output) -> None:
            await asyncio.sleep(30)
            await super().send(output)

    async def main() -> None:
        log, other = Slow(), Place("in", 1)
        for number in range(500):
            log.write("in", 0, b"%d" % number)
        log.write("in", 1, b"0")
        stage = Stage(Pairs, log)
        stage.runner.assigned([SOURCE, other])
        looking = asyncio.create_task(stage.runner.look_for_ever())
        feeding = asyncio.create_task(stage.give(*range(500)))
        await asyncio.sleep(25)
        assert not feeding.done()
        assert log.seeks == []
        looking.cancel()
        stage.runner.revoked()

    run(main)


def test_only_what_nobody_needs_is_committed() -> None:
    """The first of a pair holds the offset back; its end is in Kafka before the offset moves."""

    async def main() -> None:
        stage = Stage(Pairs, filled(4))
        stage.start()
        await stage.give(0, 1, 2)
        await asyncio.sleep(1)
        await stage.runner.commit()
        assert stage.log.committed == {SOURCE: 2}

    run(main)


def test_while_kafka_takes_nothing_a_fold_takes_nothing() -> None:
    """Undelivered outputs hold the fold and the commit; then everything goes on in order."""

    async def main() -> None:
        stage = Stage(Pairs, filled(6))
        stage.start()
        await asyncio.sleep(0.1)
        stage.log.away = True
        await stage.give(0, 1, 2, 3)
        await asyncio.sleep(10)
        assert stage.folded == [0, 1]
        stage.log.away = False
        await asyncio.sleep(5)
        assert stage.folded == [0, 1, 2, 3]
        assert values(stage.log) == [b"1", b"3"]

    run(main)


def test_an_output_whose_answer_was_lost_is_sent_again() -> None:
    """At least once: readers meet repetitions, never holes."""

    async def main() -> None:
        stage = Stage(Pairs, filled(4))
        stage.log.lose = ["after", "before"]
        stage.start()
        await stage.give(0, 1, 2, 3)
        await asyncio.sleep(5)
        assert values(stage.log) == [b"1", b"1", b"3"]

    run(main)


def test_everything_goes_when_partitions_are_assigned_again() -> None:
    """A kept partition is folded again from its commit, by a new worker; the old one acts no more."""

    async def main() -> None:
        stage = Stage(Pairs, filled(6))
        stage.start()
        await stage.give(0, 1, 2)
        await asyncio.sleep(1)
        await stage.runner.commit()
        stage.start()
        await stage.give(3)  # fetched for the old generation: a gap for the new one
        await asyncio.sleep(1)
        assert stage.log.seeks == [(SOURCE, 2)]
        await stage.give(2, 3)
        await asyncio.sleep(1)
        assert [worker.seen for worker in stage.made] == [[0, 1, 2], [2, 3]]
        assert stage.runner.status()[0].counts.again == 1

    run(main)


def test_a_revoked_worker_delivers_and_commits_no_more() -> None:
    """Between revocation and the next assignment there is nobody at work."""

    async def main() -> None:
        stage = Stage(Pairs, filled(4))
        stage.start()
        await asyncio.sleep(0.1)
        stage.log.away = True
        await stage.give(0, 1)
        await asyncio.sleep(1)
        assert stage.runner.revoked() == {}
        stage.log.away = False
        await stage.give(2, 3)
        await asyncio.sleep(5)
        await stage.runner.commit()
        assert values(stage.log) == []
        assert stage.log.committed == {}

    run(main)


def test_a_feeder_that_waits_for_a_full_lane_is_let_go_when_partitions_change() -> None:
    """A lane that is stuck with Kafka must not stop Faust from handing over its partitions."""

    async def main() -> None:
        stage = Stage(Pairs, filled(500))
        stage.start()
        await asyncio.sleep(0.1)
        stage.log.away = True
        feeding = asyncio.create_task(stage.give(*range(500)))
        await asyncio.sleep(3)
        assert not feeding.done()
        stage.runner.revoked()
        await asyncio.sleep(0.1)
        assert feeding.done()

    run(main)


def test_a_map_commits_in_order_of_offset_although_it_sends_side_by_side() -> None:
    """The first record's output is late: nothing behind it is committed or called delivered."""

    async def main() -> None:
        stage = Stage(Echo, filled(10))
        stage.log.lose = ["before"]
        stage.start()
        await stage.give(*range(10))
        await asyncio.sleep(0.05)
        await stage.runner.commit()
        assert stage.log.committed == {}
        assert len(stage.log.sent) == 9
        await asyncio.sleep(1)
        await stage.runner.commit()
        assert stage.log.committed == {SOURCE: 10}
        assert sorted(values(stage.log)) == sorted(b"%d" % number for number in range(10))
        assert stage.made[0].delivered[-1] == 10

    run(main)


def test_a_map_has_a_bounded_number_of_records_under_way() -> None:
    """Kafka being away does not fill the memory."""

    async def main() -> None:
        stage = Stage(Echo, filled(200))
        stage.start()
        await asyncio.sleep(0.1)
        stage.log.away = True
        feeding = asyncio.create_task(stage.give(*range(200)))
        await asyncio.sleep(1)
        assert sum(stage.runner.status()[0].counts.records.values()) == 64
        stage.log.away = False
        await asyncio.sleep(10)
        await feeding
        await stage.runner.commit()
        assert stage.log.committed == {SOURCE: 200}

    run(main)


class Slow(Effect):
    """Writes one record a second."""

    def __init__(self) -> None:
        self.written: list[int] = []

    async def write(self, record: Record, now: int) -> None:
        await asyncio.sleep(1)
        self.written.append(record.offset)


def test_an_effect_is_committed_when_it_is_done() -> None:
    """Not when it begins."""

    async def main() -> None:
        stage = Stage(Slow, filled(3))
        stage.start()
        await stage.give(0, 1, 2)
        await asyncio.sleep(2.5)
        await stage.runner.commit()
        assert stage.log.committed == {SOURCE: 2}
        stage.runner.revoked()
        await asyncio.sleep(5)
        assert stage.made[0].written == [0, 1]

    run(main)


class Wrong(Pairs):
    def record(self, record: Record, now: int) -> Sequence[Output]:
        raise ValueError("a mistake in the fold")


def test_a_worker_that_raises_ends_the_process_and_its_record_stays_uncommitted() -> None:
    """To go on would be to skip a record without a word."""

    async def main() -> None:
        stage = Stage(Wrong, filled(2))
        stage.start()
        await stage.give(0, 1)
        await asyncio.sleep(1)
        await stage.runner.commit()
        assert [type(error) for error in stage.failures] == [ValueError]
        assert stage.log.committed == {}

    run(main)


def test_a_record_that_kafka_never_takes_ends_the_process() -> None:
    """An output over the topic's size limit would otherwise be tried for ever, in silence."""

    class Refusing(ListLog):
        async def send(self, output: Output) -> None:
            raise Undeliverable("too large")

    async def main() -> None:
        log = Refusing()
        log.write("in", 0, b"0")
        stage = Stage(Echo, log)
        stage.start()
        await stage.give(0)
        await asyncio.sleep(1)
        assert [type(error) for error in stage.failures] == [Undeliverable]

    run(main)


def test_a_moment_says_what_is_behind_and_what_lies_elsewhere() -> None:
    """Lag of the own topics, ends of the watched ones, and since when Kafka has been silent."""

    async def main() -> None:
        log = filled(3)
        log.write("watched", 1, b"")
        stage = Stage(Pairs, log)
        stage.start()
        looking = asyncio.create_task(stage.runner.look_for_ever())
        await stage.give(0, 1)
        await asyncio.sleep(3)
        moment = stage.made[0].ticks[-1]
        assert moment.connected
        assert moment.lag == {"in": 1}
        assert not moment.caught_up
        assert moment.ends == {"watched": {1: 1}}
        assert moment.now - 1200 <= moment.ends_at <= moment.now
        assert not stage.runner.ready
        await stage.give(2)
        await asyncio.sleep(2)
        assert stage.made[0].ticks[-1].caught_up
        assert stage.runner.ready
        stage.log.away = True
        await asyncio.sleep(4)
        assert not stage.made[0].ticks[-1].connected
        looking.cancel()

    run(main)


def test_a_fold_learns_of_an_outage_that_it_slept_through() -> None:
    """While it waits for a delivery it has no ticks; the first one afterwards says that Kafka was away, once."""

    async def main() -> None:
        stage = Stage(Pairs, filled(2))
        stage.start()
        looking = asyncio.create_task(stage.runner.look_for_ever())
        await asyncio.sleep(3)
        ticks = stage.made[0].ticks
        stage.log.away = True
        await stage.give(0, 1)
        await asyncio.sleep(0.5)
        before = len(ticks)
        await asyncio.sleep(600)
        assert len(ticks) == before
        stage.log.away = False
        # the look comes first: Kafka answers again before the lane has got its record through
        await stage.runner._look()
        await asyncio.sleep(5)
        assert [tick.connected for tick in ticks[before:]][:3] == [False, True, True]
        looking.cancel()

    run(main)


def test_a_commit_that_fails_is_made_again() -> None:
    """Nothing counts as committed before Kafka has said so."""

    async def main() -> None:
        stage = Stage(Pairs, filled(2))
        stage.start()
        await stage.give(0, 1)
        await asyncio.sleep(1)
        stage.log.away = True
        await stage.runner.commit()
        assert stage.log.committed == {}
        stage.log.away = False
        await stage.runner.commit()
        assert stage.log.committed == {SOURCE: 2}

    run(main)


def test_topics_of_a_flow_that_are_not_assigned_alike_are_refused() -> None:
    """A worker with partition 0 of one topic and not of the other would wait for ever."""

    async def main() -> None:
        failures: list[BaseException] = []
        flow = Flow(name="two", topics=("a", "b"), make=lambda _number, starts: Pairs(starts))
        runner = Runner(flows=[flow], log=ListLog(), clock=VirtualClock(), failed=failures.append)
        runner.assigned([Place("a", 0), Place("b", 1)])
        assert "not assigned alike" in str(failures[0])

    run(main)


def test_offsets_are_asked_for_until_kafka_answers() -> None:
    """A worker is made only when it is known where it starts."""

    async def main() -> None:
        stage = Stage(Pairs, filled(2))
        stage.log.away = True
        stage.start()
        await asyncio.sleep(5)
        assert stage.made == []
        stage.log.away = False
        await stage.give(0, 1)
        await asyncio.sleep(2)
        assert stage.folded == [0, 1]

    run(main)
