"""What leaves the gateway: sums come out right, and nothing that one party holds says anything about a reading."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import protocol.body
import protocol.derive
from ingest.shard import Outgoing, Rows, SegmentState, Sharder
from mpc_ops.schemes import scheme
from mpc_ops.sharing import reveal
from protocol.batch import BatchCore, Epoch, SealCore, decode_record
from protocol.body import Body, SealNotes, open_body, segment_info
from protocol.contribution import BatchSums, ContributionBox, SealSeen
from protocol.hpke import SUITES
from protocol.roster import Cell
from tests.trial import HOUR, START, Trial, counted, make_trial
from tests.vectors.playing import leaf_of

SCHEMES = [("replicated", 3), ("additive", 2), ("additive", 3), ("additive", 5)]
EPOCH = Epoch(counter=1, nonce=bytes(16))


def sharder_of(trial: Trial, *, seed: str = "gateway", epoch: Epoch = EPOCH, gateway: str = "north-1") -> Sharder:
    return Sharder(
        task=trial.task,
        roster=trial.roster,
        key=trial.keys[gateway],
        cards=trial.cards,
        entropy=counted(seed),
        epoch=epoch,
    )


def rows_of(units: list[int], trial: Trial, cell_ids: list[int] | None = None) -> Rows:
    cells = trial.roster.cells(trial.task)
    return Rows(
        cells=cells,
        cell_ids=np.array(cell_ids if cell_ids is not None else [0] * len(units), dtype=np.intp),
        units=np.array(units, dtype=np.uint64),
    )


def body_of(trial: Trial, record: Outgoing) -> Body:
    """Open a record as its party can, to look at the shares themselves."""
    opened = decode_record(record.value)
    party = trial.task.party_names.index(record.party)
    kind = scheme(trial.task.scheme.name, len(trial.task.party))
    suite = SUITES[trial.task.scheme.sealing]
    place = opened.core.place
    key = trial.keys[record.party]
    info = segment_info(
        place,
        suite=suite.code,
        identity=trial.keys[place.gateway].public_identity,
        party=party,
        key_id=key.card().key_id,
    )
    secret = suite.open(opened.encapsulation, key.private_key(), info)
    data = open_body(opened.ciphertext, segment_key=secret, core=opened.core, salt=opened.salt, header=opened.header)
    return Body.decode(data, labels=1, held=kind.held_by(party), components=kind.components)


def explicit_of(trial: Trial, records: list[Outgoing]) -> NDArray[np.uint64]:
    """Return the explicit component of a batch: the only one in which a reading takes part."""
    for record in records:
        for component in body_of(trial, record).components.values():
            if component.values is not None:
                return component.values
    raise AssertionError("internal error: no explicit component")


@pytest.mark.parametrize(("name", "parties"), SCHEMES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_sums_of_all_parties_reveal_the_sums_of_the_units(name: str, parties: int, data: st.DataObject) -> None:
    """Gateway to party, the sums by cell are exact, whatever the units and however rows are mixed."""
    trial = make_trial(name, parties)
    cells = trial.roster.cells(trial.task)
    units = data.draw(st.lists(st.integers(0, 2**50), min_size=1, max_size=60))
    ids = data.draw(st.lists(st.integers(0, len(cells) - 1), min_size=len(units), max_size=len(units)))
    records, core_hash = sharder_of(trial).batch(window=START, rows=rows_of(units, trial, ids), sequence=0)
    components: dict[int, NDArray[np.uint64]] = {}
    kind = scheme(name, parties)
    for number, record in enumerate(records):
        contributed = leaf_of(trial, record.party).contribute(record.value, partition=record.partition)
        box = ContributionBox(storage=trial.keys[record.party].storage, task_hash=trial.task.hash, party=number)
        _, sums = box.open(contributed.value, labels=1)
        assert isinstance(sums, BatchSums)
        assert sums.core_hash == core_hash
        for component, column in zip(kind.held_by(number), sums.sums, strict=True):
            assert np.array_equal(components.setdefault(component, column), column)
    expected = {cell: sum(unit for unit, i in zip(units, ids, strict=True) if cells[i] == cell) for cell in sums.cells}
    revealed = reveal([components[j] for j in range(kind.components)])
    assert dict(zip(sums.cells, revealed.tolist(), strict=True)) == expected
    assert dict(zip(sums.cells, sums.rows.tolist(), strict=True)) == {
        cell: sum(cells[i] == cell for i in ids) for cell in sums.cells
    }


def _runs(trial: Trial) -> Iterator[NDArray[np.uint64]]:
    """Explicit columns over batches, windows, runs, and gateways that went on twice from one copy."""
    ones = rows_of([4] * 2_000, trial)
    twos = rows_of([5] * 2_000, trial)
    for seed in ("first run", "second run"):
        sharder = sharder_of(trial, seed=seed)
        for window, sequence in ((START, 0), (START, 1), (START + HOUR, 0)):
            yield explicit_of(trial, sharder.batch(window=window, rows=ones, sequence=sequence)[0])
    # A copy of the machine's memory: the same random bytes, the same epoch and sequence, other readings.
    yield explicit_of(trial, sharder_of(trial, seed="first run").batch(window=START, rows=twos, sequence=0)[0])


def test_differences_of_share_columns_are_uniform() -> None:
    """Reused keystream would show as the difference of readings: constant, here, for every pair of columns."""
    trial = make_trial("additive", 3)
    for one, two in itertools.combinations(_runs(trial), 2):
        for difference in (one - two, one + two):
            bits = np.unpackbits(difference.view(np.uint8)).reshape(len(one), 64).mean(axis=0)
            # 2,000 fair coins for each of 64 bits: beyond 6 standard deviations about once in 10^7 columns.
            assert np.all(np.abs(bits - 0.5) < 6 * 0.5 / np.sqrt(len(one)))
            assert len(np.unique(difference)) == len(one)


def test_seeds_blinds_and_keys_are_never_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over batches, windows, parties, restarts and a cloned memory, each derived secret hides one content only."""
    used: dict[bytes, bytes] = {}
    derived: list[bytes] = []
    body_key, derive = protocol.body.body_key, protocol.derive.derive

    def watched_key(segment_key: bytes, core: BatchCore | SealCore, salt: bytes) -> bytes:
        key = body_key(segment_key, core, salt)
        assert used.setdefault(key, core.encoded) == core.encoded, "a body key hides two contents"
        return key

    def watched_derive(secret: bytes, *, tag: str, context: bytes, salt: bytes | None = None) -> bytes:
        result = derive(secret, tag=tag, context=context, salt=salt)
        if tag in ("seed", "blind", "table blind", "salt"):
            derived.append(result)
        return result

    monkeypatch.setattr(protocol.body, "body_key", watched_key)
    monkeypatch.setattr(protocol.derive, "derive", watched_derive)
    trial = make_trial("replicated", 3)
    for seed, epoch in (("a", 1), ("a", 2), ("b", 3)):
        sharder = sharder_of(trial, seed=seed, epoch=Epoch(counter=epoch, nonce=bytes(16)))
        for window, sequence in ((START, 0), (START, 1), (START + HOUR, 0)):
            records, core_hash = sharder.batch(window=window, rows=rows_of([4, 4], trial), sequence=sequence)
            assert len({record.value for record in records}) == len(records)
        state = SegmentState(epoch=Epoch(counter=epoch, nonce=bytes(16)), batches=1, cores=core_hash)
        sharder.seal(window=START + HOUR, segments=[state], sealed_at=START, notes=SealNotes(late=1))
    # The memory of the first run again, with other readings in the same place.
    sharder_of(trial, seed="a").batch(window=START, rows=rows_of([5, 4], trial), sequence=0)
    assert len(derived) == len(set(derived)) > 60
    assert len(used) == 3 * (3 * 3 + 3) + 3


def test_equal_readings_give_unequal_records() -> None:
    """Neither equal values nor equal batches can be seen from outside."""
    trial = make_trial()
    sharder = sharder_of(trial)
    once = sharder.batch(window=START, rows=rows_of([7, 7, 7], trial), sequence=0)[0]
    again = sharder.batch(window=START, rows=rows_of([7, 7, 7], trial), sequence=1)[0]
    for one, two in zip(once, again, strict=True):
        assert decode_record(one.value).ciphertext != decode_record(two.value).ciphertext
    assert len(set(explicit_of(trial, once).tolist())) == 3


def test_the_core_is_the_same_on_every_topic() -> None:
    """Parties compare cores, so they must be equal byte for byte; partitions too."""
    for name, parties in SCHEMES:
        trial = make_trial(name, parties)
        records, _ = sharder_of(trial).batch(window=START, rows=rows_of([1, 2], trial), sequence=0)
        assert len({decode_record(record.value).core.encoded for record in records}) == 1
        assert len({record.partition for record in records}) == 1
        assert [record.party for record in records] == list(trial.task.party_names)


def test_unequal_copies_of_a_component_are_found() -> None:
    """A gateway that gives two parties different values of one component is at fault, not a party."""
    trial = make_trial("replicated", 3)

    class Liar(Sharder):
        def _bodies(self, core, shared, fresh):  # type: ignore[no-untyped-def]
            honest = super()._bodies(core, shared, fresh)
            shared.columns[-1][0] += np.uint64(1)
            return [*honest[:2], super()._bodies(core, shared, fresh)[2]]

    liar = Liar(
        task=trial.task,
        roster=trial.roster,
        key=trial.keys["north-1"],
        cards=trial.cards,
        entropy=counted("liar"),
        epoch=EPOCH,
    )
    records, _ = liar.batch(window=START, rows=rows_of([4, 33], trial), sequence=0)
    faults = [
        leaf_of(trial, record.party).contribute(record.value, partition=record.partition).fault for record in records
    ]
    assert faults == [None, None, "unequal_copies"]


def test_a_seal_names_the_segments_of_all_epochs() -> None:
    """A gateway that was restarted in a window closes it once, over what both starts have sent."""
    trial = make_trial()
    states = []
    for counter in (1, 2):
        epoch = Epoch(counter=counter, nonce=bytes([counter]) * 16)
        _, core_hash = sharder_of(trial, seed=str(counter), epoch=epoch).batch(
            window=START, rows=rows_of([1], trial), sequence=0
        )
        states.append(SegmentState(epoch=epoch, batches=1, cores=core_hash))
    last = sharder_of(trial, epoch=states[1].epoch)
    sealed = last.seal(window=START, segments=reversed(states), sealed_at=START + HOUR)  # type: ignore[arg-type]
    record = sealed[0]
    contributed = leaf_of(trial, record.party).contribute(record.value, partition=record.partition)
    box = ContributionBox(storage=trial.keys[record.party].storage, task_hash=trial.task.hash, party=0)
    _, seen = box.open(contributed.value, labels=1)
    assert isinstance(seen, SealSeen)
    assert [segment.epoch for segment in seen.segments] == [state.epoch for state in states]


def test_counts_of_lost_readings_are_told_to_the_parties_alone() -> None:
    """A count is data: it travels sealed, and a seal without notes has nothing to seal."""
    trial = make_trial()
    sharder = sharder_of(trial)
    bare = sharder.seal(window=START, segments=[], sealed_at=START)
    assert all(decode_record(record.value).ciphertext == b"" for record in bare)
    notes = SealNotes(late=12_345, dropped=2**40)
    noted = sharder.seal(window=START + HOUR, segments=[], sealed_at=START, notes=notes)
    for shown in (notes.encode(), (12_345).to_bytes(8, "little"), (12_345).to_bytes(8, "big")):
        assert all(shown not in record.value for record in noted)
    record = noted[1]
    contributed = leaf_of(trial, record.party).contribute(record.value, partition=record.partition)
    box = ContributionBox(storage=trial.keys[record.party].storage, task_hash=trial.task.hash, party=1)
    _, seen = box.open(contributed.value, labels=1)
    assert isinstance(seen, SealSeen)
    assert (seen.late, seen.dropped) == (12_345, 2**32 - 1)


def test_labels_and_counts_are_not_in_clear() -> None:
    """What Kafka's operator can read of a batch holds no label value and no table of rows."""
    trial = make_trial()
    cells = (Cell(("outer",), 0),)
    rows = Rows(cells=cells, cell_ids=np.zeros(3, dtype=np.intp), units=np.array([4, 33, 2], dtype=np.uint64))
    records, _ = sharder_of(trial).batch(window=START, rows=rows, sequence=0)
    assert all(b"outer" not in record.value for record in records)
