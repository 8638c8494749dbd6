"""What lies around after a real run: topics, logs at DEBUG, files. None of it shows a reading to anybody else."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaConsumer, TopicPartition

from mpc_ops.schemes import scheme
from mpc_ops.sharing import expand
from protocol.batch import BatchCore, decode_record
from protocol.body import Body, CellTable, open_body, segment_info
from protocol.contribution import BatchSums, ContributionBox
from protocol.control import AggregateShare, decode
from protocol.errors import WireError
from protocol.hpke import SUITES
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.share import share_info
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from tests.chance import shows
from tests.e2e.running import assert_all_exact, plain_cells, run_demo, sotto
from tests.servers.run import Kafka, Mosquitto


@dataclass(frozen=True)
class Ran:
    """A run that is over: its files, and every record of every topic."""

    directory: Path
    task: Task
    roster: Roster
    topics: Topics
    records: dict[str, list[bytes]]

    def key(self, name: str) -> KeyFile:
        return KeyFile.from_text((self.directory / "keys" / f"{name}.key").read_text(), where=name)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, mosquitto: Mosquitto, kafka: Kafka) -> Ran:
    """Run a trial with all logs at DEBUG on the real Kafka, and read every topic to its end."""
    place = tmp_path_factory.mktemp("privacy")
    given = ["--mqtt", mosquitto.url, "--kafka", kafka.bootstrap]
    assert sotto("init", "air", *given, cwd=place).returncode == 0
    for path in (place / "air").rglob("*.toml"):
        text = path.read_text()
        if "# [log]" in text:
            text = re.sub(r"# \[log\]\n# level .*", '[log]\nlevel = "debug"', text)
            assert 'level = "debug"' in text
            path.write_text(text)
    assert_all_exact(run_demo(place, "air", *given, "--seconds", "8"))
    directory = place / "air" / "run"
    task, roster = load(directory / "task.toml", Task), load(directory / "roster.toml", Roster)
    prefix = tomllib.loads((directory / "collector.toml").read_text())["kafka"]["topic_prefix"]
    topics = Topics.of(task, prefix)
    records = {topic: list(_read(kafka.bootstrap, topic)) for topic in topics.all()}
    return Ran(directory, task, roster, topics, records)


def _read(bootstrap: str, topic: str) -> Iterator[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        places = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(places)
        consumer.seek_to_beginning(*places)
        ends = consumer.end_offsets(places)
        while any(consumer.position(place) < ends[place] for place in places):
            for found in consumer.poll(timeout_ms=500).values():
                yield from (record.value for record in found)
    finally:
        consumer.close()


def _bodies(ran: Ran, party: str) -> Iterator[Body]:
    """Open every batch on a party's topic with its key."""
    key = ran.key(party)
    number = ran.task.party_names.index(party)
    kind = scheme(ran.task.scheme.name, len(ran.task.party))
    suite = SUITES[ran.task.scheme.sealing]
    for value in ran.records[ran.topics.shares(party)]:
        record = decode_record(value)
        if not isinstance(record.core, BatchCore):
            continue
        place = record.core.place
        info = segment_info(
            place,
            suite=suite.code,
            identity=ran.roster.gateways[place.gateway].identity,
            party=number,
            key_id=key.card().key_id,
        )
        secret = suite.open(record.encapsulation, key.private_key(), info)
        data = open_body(
            record.ciphertext, segment_key=secret, core=record.core, salt=record.salt, header=record.header
        )
        yield Body.decode(data, labels=1, held=kind.held_by(number), components=kind.components)


def _words(ran: Ran, party: str) -> list[int]:
    """Return every number that a party can see: its components of single readings, and its sums of them."""
    words: list[int] = []
    for body in _bodies(ran, party):
        for component in body.components.values():
            column = component.values if component.seed is None else expand(component.seed, body.table.total)
            assert column is not None
            words += column.tolist()
    key = ran.key(party)
    box = ContributionBox(storage=key.storage, task_hash=ran.task.hash, party=ran.task.party_names.index(party))
    for value in ran.records[ran.topics.contributions(party)]:
        _, found = box.open(value, labels=1)
        if isinstance(found, BatchSums):
            words += found.sums.ravel().tolist()
    return words


PARTIES = ("city-it", "university", "waterworks")


@pytest.mark.parametrize("party", PARTIES)
def test_a_party_finds_no_reading_with_its_own_keys(party: str, ran: Ran) -> None:
    """Every number in its topics is uniform: none is small as a reading is, none occurs twice, all bits are fair."""
    words = _words(ran, party)
    # Two of three components of each of 2,209 readings, and sums by cell of batches of one to three readings.
    assert len(words) >= 2 * 2209 * 2
    singles = words[: 2 * 2209]
    assert len(set(singles)) == len(singles)
    # No reading or sum of a batch has more than 12 bits. A uniform word is that near to 0 (temperatures are negative
    # too) once in 2^39, and there are some 10,000 of them.
    assert min(words) > 2**24
    assert max(words) < 2**64 - 2**24
    for bit in range(64):
        ones = sum(word >> bit & 1 for word in singles)
        # Seven standard deviations: one fair bit in 4 * 10^11 is farther off. Bits of readings would be off by 66.
        assert abs(ones - len(singles) / 2) < 7 * (len(singles) / 4) ** 0.5


def _payloads(ran: Ran) -> list[str]:
    lines = (ran.directory / "beijing-air.csv").read_text().splitlines()[1:]
    return sorted({line.split(",", 4)[4] for line in lines})


@pytest.mark.parametrize("party", PARTIES)
def test_logs_at_debug_show_no_share_and_no_payload(party: str, ran: Ran) -> None:
    """Logs are read by other people than data is: neither a share in any spelling, nor bytes of a record, nor a key."""
    log = (ran.directory / "logs" / f"{party}.log").read_text()
    assert len(log.splitlines()) > 48
    key = ran.key(party)
    for word in _words(ran, party):
        assert str(word) not in log
        assert f"{word:016x}" not in log
    assert key.storage.hex() not in log
    for topic in (ran.topics.shares(party), ran.topics.contributions(party)):
        for value in ran.records[topic]:
            assert value[-80:-64].hex() not in log
            assert repr(value[-80:-64])[2:-1] not in log


def test_gateways_log_and_keep_no_reading(ran: Ran) -> None:
    """No log of any role has a station's name or a payload; a spool has sealed bytes only."""
    rows = [line.split(",") for line in (ran.directory / "beijing-air.csv").read_text().splitlines()[1:]]
    stations = {row[2] for row in rows}
    logs = {path.name: path.read_text() for path in (ran.directory / "logs").glob("*.log")}
    assert len(logs) >= 9
    for name, log in logs.items():
        assert not any(station in log for station in stations), name
        assert 'PM2.5":' not in log, name
    spools = [path for path in (ran.directory / "state").rglob("*") if path.is_file()]
    assert spools
    for path in spools:
        data = path.read_bytes().strip(b"\0")  # a spool keeps room for bad days: megabytes of zeros
        assert not any(shows(station.encode(), data) for station in stations), path.name
        assert not shows(b"PM2.5", data)
        assert not any(payload.encode() in data for payload in _payloads(ran))


def test_no_party_has_a_data_directory(ran: Ran) -> None:
    """A party's state is the log: what its process needs besides is its configuration and its key."""
    names = {path.stem for path in ran.directory.rglob("*") if path.is_file() and "state" in path.parts}
    assert not any(party in str(name) for party in PARTIES for name in names)
    assert not any((ran.directory / "state" / party).exists() for party in PARTIES)


def _rows(table: CellTable) -> Iterator[bytes]:
    """Yield each cell of a table with its number of rows, as a record has them: at least 11 bytes here."""
    for number, cell in enumerate(table.cells):
        yield CellTable(cells=(cell,), rows=table.rows[number : number + 1]).encoded[2:]


def _in_json(ran: Ran) -> list[bytes]:
    """Return what names a cell in JSON, as the released aggregates have it: at least 12 bytes each."""
    labels = [f'"{key}":"{value}"' for key, values in ran.roster.labels.items() for value in values]
    measures = [f'"measure":"{name}"' for name in ran.task.measures]
    return [text.encode() for text in (*labels, *measures)]


def test_kafkas_operator_finds_neither_shares_nor_counts_nor_labels(ran: Ran) -> None:
    """All topics before the release, without a key: no share, no sum, no table of rows, no label value, no station."""
    secrets: set[bytes] = set()
    for party in PARTIES:
        secrets.update(word.to_bytes(8, "little") for word in _words(ran, party))
        for body in _bodies(ran, party):
            secrets.add(body.table.encoded)
            secrets.update(_rows(body.table))
            for component in body.components.values():
                secrets.add(component.blind)
                if component.seed is not None:
                    secrets.add(component.seed)
    open_topics = {ran.topics.aggregates, ran.topics.roster}
    closed = [value for topic, values in ran.records.items() if topic not in open_topics for value in values]
    assert len(closed) > 2 * 3 * 4 * 48
    everything = b"\0\0".join(closed)
    windows = {everything[place : place + 8] for place in range(len(everything) - 7)}
    assert not secrets & windows
    assert not any(len(secret) > 8 and secret in everything for secret in secrets)
    released = b"".join(ran.records[ran.topics.aggregates])
    for spelled in _in_json(ran):
        assert spelled in released  # it is spelled so
        assert spelled not in everything
    for text in (*ran.roster.labels["area"], "no2", "pm25", "temperature", "Dongsi", "ug/m3"):
        assert not shows(text.encode(), everything)


def _info(ran: Ran, share: AggregateShare) -> bytes:
    return share_info(
        task_hash=ran.task.hash,
        roster_hash=ran.roster.hash,
        window=share.window,
        digest=share.digest,
        party=share.party,
        suite=SUITES[ran.task.scheme.sealing].code,
        key_id=share.key_id,
    )


def test_shares_are_opened_by_their_party_alone(ran: Ran) -> None:
    """A record sealed to one party opens for no other, nor for the collector; an aggregate share for no party."""
    suite = SUITES[ran.task.scheme.sealing]
    shares = [
        record
        for value in ran.records[ran.topics.control]
        if isinstance(record := decode(value, task=ran.task, roster=ran.roster), AggregateShare)
    ]
    assert len(shares) == 3 * 48
    for name in PARTIES:
        private = ran.key(name).private_key()
        for share in shares[:12]:
            with pytest.raises(WireError, match="cannot open"):
                suite.open(share.sealed, private, _info(ran, share))
    assert suite.open(shares[0].sealed, ran.key("collector").private_key(), _info(ran, shares[0]))
    for reader in (*PARTIES, "collector"):
        for party in PARTIES:
            if party != reader:
                record = decode_record(ran.records[ran.topics.shares(party)][0])
                assert record.key_id != ran.key(reader).card().key_id


def test_the_released_aggregates_are_the_plain_ones(ran: Ran) -> None:
    """And what is open says nothing more than results: no gateway's part, no count of a hidden cell."""
    text = b"".join(ran.records[ran.topics.aggregates]).decode()
    assert text.count('"outcome":"suppressed"') == sum(cell.organisations < 3 for cell in plain_cells().values())
    for cell in re.findall(r'\{[^{}]*"labels":\{[^{}]*\}[^{}]*"outcome":"suppressed"[^{}]*\}', text):
        assert '"count"' not in cell
        assert '"sum_steps"' not in cell
