"""From a gateway's rows to the aggregate, through all real folds, in memory: exact, whatever is sent."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ingest.shard import Outgoing, SegmentState, Sharder
from mpc_ops.sharing import expand
from protocol.batch import Epoch, decode_record
from protocol.body import CellTable, SealNotes
from protocol.control import Close
from protocol.control import encode as encode_control
from protocol.topics import partition_of_window
from runtime.fold import Output
from tests.chance import shows
from tests.ingest.test_shard import body_of, rows_of
from tests.trial import HOUR, START, Trial, counted, make_trial
from tests.vectors.bad import batches_bad, controls_bad
from tests.vectors.playing import Encapsulations
from tests.whole.town import Town

SCHEMES = [("replicated", 3), ("additive", 2), ("additive", 3), ("additive", 5)]
AFTER = START + 3 * HOUR


class Gateway:
    """An organisation's gateway that shares what it is told, and remembers it for the plain sum."""

    def __init__(self, trial: Trial, name: str, town: Town, *, epoch: int = 1, kind: type[Sharder] = Sharder) -> None:
        self.epoch = Epoch(counter=epoch, nonce=bytes([epoch]) * 16)
        self.town = town
        self.trial = trial
        self.readings: dict[int, list[tuple[int, int]]] = {}
        self.cores: dict[int, bytes] = {}
        self._sharder = kind(
            task=trial.task,
            roster=trial.roster,
            key=trial.keys[name],
            cards=trial.cards,
            entropy=counted(f"{name}/{epoch}"),
            epoch=self.epoch,
        )

    def batch(self, window: int, readings: list[tuple[int, int]]) -> list[Outgoing]:
        """Share (cell, unit) pairs."""
        rows = rows_of([unit for _, unit in readings], self.trial, [cell for cell, _ in readings])
        cores = self.cores.setdefault(window, b"")
        records, core = self._sharder.batch(window=window, rows=rows, sequence=len(cores) // 32)
        self.cores[window] = cores + core
        self.readings.setdefault(window, []).extend(readings)
        return records

    def state(self, window: int) -> SegmentState:
        cores = self.cores.get(window, b"")
        return SegmentState(epoch=self.epoch, batches=len(cores) // 32, cores=cores)

    def seal(
        self, window: int, *, before: tuple[SegmentState, ...] = (), late: int = 0, at: int | None = None
    ) -> list[Outgoing]:
        """Close a window; `at`: what the gateway says of the time."""
        segments = (*before, self.state(window))
        at = window + HOUR if at is None else at
        return self._sharder.seal(
            window=window, segments=segments, sealed_at=at, notes=SealNotes(late=late), cold=False
        )


def plain(trial: Trial, gateways: list[Gateway], window: int) -> dict[int, tuple[int, int]]:
    """Return cell -> (count, sum in steps), computed in the clear."""
    totals: dict[int, tuple[int, int]] = {}
    for gateway in gateways:
        for cell, unit in gateway.readings.get(window, []):
            count, total = totals.get(cell, (0, 0))
            measure = trial.task.measures[trial.task.measure_names[trial.roster.cells(trial.task)[cell].measure]]
            totals[cell] = (count + 1, total + unit + measure.minimum_steps)
    return totals


def shown(trial: Trial, town: Town, window: int) -> dict[int, tuple[int | None, int | None]]:
    """Return cell -> (count, sum) of the points of a window."""
    cells = town.aggregates()[window].cells
    assert len(cells) == len(trial.roster.cells(trial.task))
    return {i: (cell.count, cell.sum_steps) for i, cell in enumerate(cells) if cell.outcome == "point"}


def some_readings(rng: random.Random, cells: int) -> list[tuple[int, int]]:
    return [(cell, rng.randrange(1000)) for cell in range(cells) for _ in range(rng.randrange(1, 4))]


@pytest.mark.parametrize(("scheme", "parties"), SCHEMES)
def test_every_window_is_exact(scheme: str, parties: int) -> None:
    """Several batches, windows and gateways, records repeated and mixed: every point is the plain sum."""
    trial = make_trial(scheme, parties)
    town = Town(trial, now=AFTER)
    rng = random.Random(f"{scheme}/{parties}")
    cells = len(trial.roster.cells(trial.task))
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    sent = []
    for window in (START, START + HOUR):
        for gateway in gateways:
            for _ in range(3):
                sent.append(gateway.batch(window, some_readings(rng, cells)))
            sent.append(gateway.seal(window))
    sent += rng.sample(sent, len(sent) // 2)
    rng.shuffle(sent)
    for records in sent:
        town.send(records)
    town.settle()
    for window in (START, START + HOUR):
        assert shown(trial, town, window) == plain(trial, gateways, window)
        aggregate = town.aggregates()[window]
        assert aggregate.verified == (scheme == "replicated")
        assert aggregate.organisations == 4
        assert aggregate.absent == ()


def test_a_cell_of_two_organisations_is_hidden_with_its_reason() -> None:
    """The policy is for each cell by itself, on the organisations that have a reading in it."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    for number, name in enumerate(trial.roster.gateways):
        gateway = Gateway(trial, name, town)
        town.send(gateway.batch(START, [(0, 5)] if number < 2 else [(1, 7)]) + gateway.batch(START, [(2, 1)]))
        town.send(gateway.seal(START))
    town.settle()
    cells = town.aggregates()[START].cells
    assert [cell.reason for cell in cells[:4]] == [
        "too_few_organisations",
        "too_few_organisations",
        "none",
        "no_readings",
    ]
    assert cells[0].count is None
    assert cells[0].sum_steps is None


class UnequalCopies(Sharder):
    """A gateway that gives the last party other values of the explicit component."""

    def _bodies(self, core: Any, shared: Any, fresh: Any) -> list[Outgoing]:
        honest = super()._bodies(core, shared, fresh)
        shared.columns[-1][:] += 1
        return [*honest[:-1], super()._bodies(core, shared, fresh)[-1]]


def test_a_gateway_with_unequal_copies_is_named_and_enters_no_sum() -> None:
    """Two parties would otherwise add up different numbers: the window would be garbage, or a party blamed."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=AFTER)
    names = list(trial.roster.gateways)
    liar = Gateway(trial, names[0], town, kind=UnequalCopies)
    honest = [Gateway(trial, name, town) for name in names[1:]]
    for gateway in (liar, *honest):
        town.send(gateway.batch(START, [(0, 100), (1, 10)]))
        town.send(gateway.seal(START))
    town.settle()
    assert shown(trial, town, START) == plain(trial, honest, START)
    aggregate = town.aggregates()[START]
    assert aggregate.absent == (names[0],)
    assert [one.gateway for one in aggregate.contributors] == names[1:]
    finder = trial.task.party_names[2]
    assert town.count(finder, "sotto_party_dropped_contributions_total", gateway=names[0], reason="unequal_copies")


def test_bad_records_change_nothing() -> None:
    """Every bad vector, on shares and on control, in the middle of a window: counted, skipped, never in a sum."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=AFTER)
    names = [name for name in trial.roster.gateways if name not in ("north-1", "west-1")]
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    bad = [case for case in batches_bad(Encapsulations())["cases"] if case["outcome"] == "refused"]
    control = controls_bad(Encapsulations())["cases"]
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 3), (1, 4)]))
        for case in bad:
            value = bytes.fromhex(case["record"])
            town.append(Output(town.topics.shares("party-1"), case["partition"] % 3, b"x", value))
        for case in control:
            for number in range(3):
                town.append(Output(town.topics.control, number, b"x", bytes.fromhex(case["record"])))
        for number in range(3):
            for topic in (town.topics.contributions("party-1"), town.topics.control):
                town.append(Output(topic, number, None, b"garbage"))
        town.send(gateway.seal(START))
    town.settle()
    assert shown(trial, town, START) == plain(trial, gateways, START)
    assert len(names) == 2
    for reason in sorted({case["reason"] for case in bad}):
        counted_here = town.count("party-1", "sotto_party_rejected_records_total", topic="shares", reason=reason)
        sent = sum(case["reason"] == reason for case in bad)
        assert counted_here == sent * len(gateways), reason
    for reason in sorted({case["reason"] for case in control}):
        assert town.count("party-1", "sotto_party_rejected_records_total", topic="control", reason=reason)
        assert town.count("collector", "sotto_collector_rejected_records_total", topic="control", reason=reason)
    assert town.count("party-1", "sotto_party_rejected_records_total", topic="contributions", reason="not_ours")


def test_a_restart_inside_a_window_counts_both_starts() -> None:
    """The seal of the second start names the segments of both."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    names = list(trial.roster.gateways)
    others = [Gateway(trial, name, town) for name in names[1:]]
    first, second = Gateway(trial, names[0], town, epoch=1), Gateway(trial, names[0], town, epoch=2)
    town.send(first.batch(START, [(0, 1)]))
    town.send(second.batch(START, [(0, 2)]))
    town.send(second.seal(START, before=(first.state(START),)))
    for gateway in others:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.settle()
    assert shown(trial, town, START)[0] == (5, 33)
    assert plain(trial, [first, second, *others], START)[0] == (5, 33)


def test_a_cloned_gateway_does_not_count() -> None:
    """Two epochs that seal the same window by themselves: neither counts, and it is said."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    names = list(trial.roster.gateways)
    others = [Gateway(trial, name, town) for name in names[1:]]
    for epoch in (1, 2):
        clone = Gateway(trial, names[0], town, epoch=epoch)
        town.send(clone.batch(START, [(0, 1)]) + clone.seal(START))
    for gateway in others:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.settle()
    assert shown(trial, town, START)[0] == (3, 30)
    assert town.aggregates()[START].absent == (names[0],)
    assert town.count("party-1", "sotto_party_duplicate_identity_total", gateway=names[0])
    assert town.count("party-1", "sotto_party_dropped_contributions_total", gateway=names[0], reason="two_seals") == 1


@pytest.mark.parametrize("at", [2**53, 2**62, 2**63 - 1, -1, -(2**63)])
def test_a_seal_of_an_impossible_time_is_refused(at: int) -> None:
    """One gateway's clock, or lie, ends no collector: aggregates are JSON, which cannot carry such a number."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    first, *others = [Gateway(trial, name, town) for name in trial.roster.gateways]
    town.send(first.batch(START, [(0, 1)]) + first.seal(START, at=at))
    for gateway in others:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.wait(trial.task.window.deadline + HOUR)
    assert shown(trial, town, START)[0] == (3, 30)
    assert town.aggregates()[START].absent == ("east-1",)
    assert town.count("party-1", "sotto_party_rejected_records_total", topic="shares", reason="time_out_of_range")


@pytest.mark.parametrize("at", [-1, -(2**63), 2**53, 2**63 - 1])
def test_kafkas_time_of_a_record_may_be_anything(at: int) -> None:
    """Whoever writes a record says its time, and some versions of Kafka take any: the aggregate is written."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    town.said = at
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.settle()
    assert shown(trial, town, START)[0] == (4, 40)


def test_a_clone_is_noticed_also_after_its_window_has_ended() -> None:
    """The first seal counts if the window has ended over it; the second one is an alarm all the same."""
    trial = make_trial()
    town = Town(trial, now=AFTER)
    names = list(trial.roster.gateways)
    gateways = [Gateway(trial, name, town) for name in names]
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.settle()
    assert town.aggregates()[START].gateways == 4
    clone = Gateway(trial, names[0], town, epoch=2)
    town.send(clone.batch(START, [(0, 1)]) + clone.seal(START))
    town.settle()
    assert shown(trial, town, START)[0] == (4, 40)
    for party in trial.task.party_names:
        assert town.count(party, "sotto_party_duplicate_identity_total", gateway=names[0]) == 1
        assert town.count(party, "sotto_party_duplicate_identity_total", gateway=names[1]) == 0


def test_a_silent_gateway_is_left_out_at_the_deadline_and_named() -> None:
    """The others do not wait for ever, and what is released says who is absent."""
    trial = make_trial()
    town = Town(trial, now=START + HOUR + 600_000)
    names = list(trial.roster.gateways)
    gateways = [Gateway(trial, name, town) for name in names[1:]]
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.settle()
    assert START not in town.aggregates()
    town.wait(trial.task.window.deadline + 120_000)
    assert shown(trial, town, START)[0] == (3, 30)
    assert town.aggregates()[START].absent == (names[0],)


@pytest.mark.parametrize("away", ["party-1", "party-2", "party-3"])
def test_replicated_goes_on_with_two_of_three(away: str) -> None:
    """A party that is away costs the deadline and the verification, no result; when it is back nothing changes."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=START + HOUR + 600_000, away=[away])
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 10), (3, 999)]) + gateway.seal(START))
    town.settle()
    assert START not in town.aggregates()
    town.wait(3 * trial.task.window.deadline)
    assert shown(trial, town, START) == plain(trial, gateways, START)
    assert not town.aggregates()[START].verified
    town.start(away)
    town.wait(600_000)
    for gateway in gateways:
        town.send(gateway.batch(START + HOUR, [(0, 1), (3, 2)]) + gateway.seal(START + HOUR))
    town.settle()
    assert shown(trial, town, START + HOUR) == plain(trial, gateways, START + HOUR)
    assert town.aggregates()[START + HOUR].verified


def test_additive_waits_for_all() -> None:
    """Nothing is lost while a party is away: the log keeps it, and the window comes out exact afterwards."""
    trial = make_trial("additive", 3)
    town = Town(trial, now=START + HOUR + 600_000, away=["party-2"])
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    for gateway in gateways:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    town.wait(6 * HOUR, step=600_000)
    assert START not in town.aggregates()
    town.start("party-2")
    town.settle()
    assert shown(trial, town, START) == plain(trial, gateways, START)


def test_one_party_alone_cannot_close_a_window() -> None:
    """A close by one of three is not enough: it would choose whose manifests count."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=START + HOUR + 600_000)
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    for gateway in gateways[1:]:
        town.send(gateway.batch(START, [(0, 10)]) + gateway.seal(START))
    for phase in (1, 2):
        record = Close(window=START, party=0, phase=phase)
        value = encode_control(record, task=trial.task, roster=trial.roster, identity=trial.keys["party-1"].identity)
        number = partition_of_window(trial.task.hash, START, trial.roster.partitions)
        town.append(Output(town.topics.control, number, b"x", value))
    town.settle()
    assert START not in town.aggregates()
    town.send(gateways[0].batch(START, [(0, 10)]) + gateways[0].seal(START))
    town.settle()
    assert shown(trial, town, START)[0] == (4, 40)


def test_no_topic_shows_shares_counts_or_labels() -> None:
    """Without any key, all that Kafka holds before the release says neither a share, nor a table, nor a label value."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=AFTER)
    gateways = [Gateway(trial, name, town) for name in trial.roster.gateways]
    secrets: set[bytes] = set()
    rng = random.Random(5)
    for gateway in gateways:
        records = gateway.batch(START, some_readings(rng, len(trial.roster.cells(trial.task))))
        for record in records:
            body = body_of(trial, record)
            secrets.add(body.table.encoded)
            for one, cell in enumerate(body.table.cells):
                secrets.add(CellTable(cells=(cell,), rows=body.table.rows[one : one + 1]).encoded[2:])
            secrets.update(component.blind for component in body.components.values())
            for component in body.components.values():
                words = component.values if component.seed is None else expand(component.seed, body.table.total)
                assert words is not None
                secrets.update(word.tobytes() for word in words)
                secrets.update({component.seed} if component.seed else set())
        town.send(records + gateway.seal(START, late=77))
    town.settle()
    assert town.aggregates()
    everything = b"\0".join(value for value in town.raw() if not value.startswith(b"{"))
    assert len(secrets) > 100
    assert not any(secret in everything for secret in secrets)
    assert not any(shows(area.encode(), everything) for area in ("centre", "outer", "ring"))


def test_what_a_party_opens_holds_no_reading() -> None:
    """With its own key a party reads its components: none is a reading, and equal readings look different."""
    trial = make_trial("replicated", 3)
    town = Town(trial, now=AFTER)
    seen: list[int] = []
    for name in trial.roster.gateways:
        gateway = Gateway(trial, name, town)
        for record in gateway.batch(START, [(0, 42)] * 50):
            if record.party == "party-2":
                for component in body_of(trial, record).components.values():
                    words = component.values if component.seed is None else expand(component.seed, 50)
                    assert words is not None
                    seen += words.tolist()
                assert decode_record(record.value).party == 1
    assert len(set(seen)) == len(seen) == 400
    # A reading has at most 10 bits; a uniform word has fewer than 40 once in 2^24.
    assert min(seen) > 2**40
