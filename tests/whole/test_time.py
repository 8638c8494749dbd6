"""Clocks, and gateways that lose or double themselves, through all real code from the message to the aggregate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ingest.batcher import Ack
from ingest.config import BatchSection, ClockSection
from ingest.decode import Decoders, SourceDecoder
from ingest.gateway import Gateway as Deciding
from ingest.gateway import Message
from ingest.main import book_of
from ingest.shard import Sharder
from ingest.spool import Spool
from tests.ingest.made import MINUTE, at, config_of
from tests.trial import HOUR, START, Trial, counted, make_trial
from tests.whole.test_way_of_a_reading import Gateway, shown
from tests.whole.town import Town

LATENESS = 10 * MINUTE
NO2_IN_RING = 4
"""The number of the cell in the roster (outer and ring come after centre; no2 before temperature)."""


class Device:
    """A gateway with a disk, as `ingest.main` puts it together; what it commits is sent at once."""

    def __init__(self, folder: Path, town: Town, name: str, *, start: int = 0) -> None:
        trial, now = town.trial, town.now
        self.town, self.name, self.sent = town, name, 0
        key = trial.keys[name]
        config = config_of(clock=ClockSection.model_validate({"seals_by": "wall", "require_sync": False}))
        self.spool = Spool(folder, task=trial.task.hash, gateway=name, secret=key.storage)
        kept, entropy = self.spool.kept(), counted(f"{name}/{folder.name}/{start}")
        self.epoch = self.spool.begin_epoch(now, entropy(16))
        book = book_of(config, trial.task, trial.roster, kept, now)
        self.spool.begin_book(book.next, book.contributes_from)
        self.gateway = Deciding(
            decoders=Decoders([SourceDecoder(source, trial.task, trial.roster) for source in config.source]),
            cells=trial.roster.cells(trial.task),
            book=book,
            batch=BatchSection(),
            max_payload=1 << 20,
            max_rows=trial.task.limits.max_rows,
            sharder=Sharder(
                task=trial.task,
                roster=trial.roster,
                key=key,
                cards=trial.cards,
                entropy=entropy,
                epoch=self.epoch,
            ),
            epoch=self.epoch,
            kept=kept,
            secret=key.storage,
            entropy=entropy,
        )

    def read(self, time: int, value: int) -> list[Ack]:
        """Take one reading in, store it, and let its batch arrive."""
        payload = json.dumps({"time": at(time), "NO2": value, "TEMP": None}).encode()
        self.sent += 1
        self.gateway.on_message(
            Message(topic="air/ring/Gucheng", payload=payload, mid=self.sent, connection=1), self.town.now
        )
        return self.tick(flush=True)

    def tick(self, *, flush: bool = False) -> list[Ack]:
        commit = self.gateway.tick(self.town.now, flush=flush)
        if commit is None:
            return []
        self.spool.commit(commit, epoch=self.epoch.counter, now=self.town.now)
        self.town.send(commit.outgoing)
        return list(commit.acks)

    def stop(self) -> None:
        self.spool.close()


class Place:
    """A town with a device of north, whose clock and disk the tests play with, and three others that are well."""

    def __init__(self, *, scheme: str = "replicated", parties: int = 3) -> None:
        self.trial: Trial = make_trial(scheme, parties)
        self.town = Town(self.trial, now=START)
        self.others = [Gateway(self.trial, f"{name}-1", self.town) for name in ("west", "south", "east")]
        cells = self.trial.roster.cells(self.trial.task)
        assert cells[NO2_IN_RING].labels == ("ring",)

    def others_seal(self, window: int) -> None:
        for gateway in self.others:
            self.town.send(gateway.batch(window, [(NO2_IN_RING, 100)]) + gateway.seal(window))

    def wait_until(self, time: int, *devices: Device) -> None:
        """Let time pass, minute by minute; the others seal each window after its lateness."""
        while self.town.now < time:
            self.town.wait(MINUTE)
            window = self.town.now - HOUR - LATENESS
            if (window - START) % HOUR == 0 and window >= START:
                self.others_seal(window)
            for device in devices:
                device.tick()
            self.town.settle()

    def total(self, window: int) -> tuple[int | None, int | None]:
        return shown(self.trial, self.town, window)[NO2_IN_RING]

    def alarms(self, reason: str) -> list[float]:
        parties = self.trial.task.party_names
        name = "sotto_party_dropped_contributions_total"
        return [self.town.count(party, name, gateway="north-1", reason=reason) for party in parties]


def sealed_at(hour: int) -> int:
    """When every window up to that hour has been sealed, and been given up by who waits for a gateway."""
    return START + (hour + 1) * HOUR + LATENESS + 20 * MINUTE


def test_a_lost_disk_costs_the_window_that_was_open(tmp_path: Path) -> None:
    """The new device is cold: it seals that window as such, so nobody waits, and counts from the next one on."""
    place = Place()
    before = Device(tmp_path / "disk", place.town, "north-1")
    before.read(START + 1, 1)
    place.wait_until(START + HOUR + 30 * MINUTE, before)
    before.read(START + HOUR + 29 * MINUTE, 2)
    before.stop()
    place.wait_until(START + HOUR + 40 * MINUTE)
    after = Device(tmp_path / "new disk", place.town, "north-1")
    after.read(place.town.now, 4)
    place.wait_until(START + 2 * HOUR + 5 * MINUTE, after)
    after.read(place.town.now, 8)
    place.wait_until(START + 2 * HOUR + LATENESS + 2 * MINUTE, after)
    assert place.total(START + HOUR) == (3, 300), "without waiting for the deadline"
    place.wait_until(sealed_at(2), after)
    assert place.total(START) == (4, 301)
    assert place.total(START + 2 * HOUR) == (4, 308)
    assert place.town.aggregates()[START + HOUR].absent == ("north-1",)
    assert place.alarms("two_seals") == [0, 0, 0]


def test_a_copy_of_the_disk_that_is_put_back_counts_no_reading_twice(tmp_path: Path) -> None:
    """What the copy does not know to be sealed is sealed again: no contribution to it counts, and that is said."""
    place = Place()
    device = Device(tmp_path / "disk", place.town, "north-1")
    device.read(START + 1, 1)
    device.stop()
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    device = Device(tmp_path / "disk", place.town, "north-1", start=1)
    device.read(START + 2, 2)
    place.wait_until(START + HOUR + 5 * MINUTE, device)
    device.read(START + 3, 4)
    device.read(START + HOUR + 4 * MINUTE, 8)
    device.stop()
    restored = Device(tmp_path / "copy", place.town, "north-1", start=2)
    restored.read(START + HOUR + 5 * MINUTE, 16)
    place.wait_until(sealed_at(2), restored)
    for window in (START, START + HOUR):
        assert place.total(window) == (3, 300)
        assert place.town.aggregates()[window].absent == ("north-1",)
    assert place.alarms("two_seals") == [2, 2, 2]
    assert place.total(START + 2 * HOUR) is not None
    assert place.town.aggregates()[START + 2 * HOUR].absent == ()


def test_a_copy_that_seals_what_has_been_released_is_an_alarm(tmp_path: Path) -> None:
    """What is released stands; the party says that there were two seals, and of whom."""
    place = Place()
    device = Device(tmp_path / "disk", place.town, "north-1")
    device.read(START + 1, 1)
    device.stop()
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    device = Device(tmp_path / "disk", place.town, "north-1", start=1)
    device.read(START + 2, 2)
    place.wait_until(sealed_at(1), device)
    device.stop()
    assert place.total(START) == (5, 303)
    restored = Device(tmp_path / "copy", place.town, "north-1", start=2)
    place.wait_until(sealed_at(2), restored)
    assert place.total(START) == (5, 303)
    for party in place.trial.task.party_names:
        assert place.town.count(party, "sotto_party_duplicate_identity_total", gateway="north-1")
    assert place.town.aggregates()[START + 2 * HOUR].absent == ()


def test_two_devices_with_one_key_count_for_nothing_as_long_as_both_run(tmp_path: Path) -> None:
    """A card that was copied, started in the same millisecond: epochs differ by their nonce, and both seal."""
    place = Place()
    device = Device(tmp_path / "disk", place.town, "north-1")
    device.stop()
    shutil.copytree(tmp_path / "disk", tmp_path / "copy")
    one = Device(tmp_path / "disk", place.town, "north-1", start=1)
    two = Device(tmp_path / "copy", place.town, "north-1", start=2)
    assert one.epoch.counter == two.epoch.counter
    one.read(START + 1, 1)
    two.read(START + 2, 2)
    place.wait_until(sealed_at(0), one, two)
    assert place.total(START) == (3, 300)
    assert place.town.aggregates()[START].absent == ("north-1",)
    assert place.alarms("two_seals") == [1, 1, 1]
    two.stop()
    place.wait_until(START + 2 * HOUR, one)
    one.read(START + 2 * HOUR - 1, 4)
    place.wait_until(sealed_at(2), one)
    assert place.town.aggregates()[START + 2 * HOUR].absent == ()


def test_a_gateway_without_power_for_a_day_counts_again_when_it_is_back(tmp_path: Path) -> None:
    """Windows that the others released without it stand; its own late seals of them change nothing and are no fault."""
    place = Place()
    device = Device(tmp_path / "disk", place.town, "north-1")
    device.read(START + 1, 1)
    device.stop()
    back = START + 24 * HOUR + 30 * MINUTE
    place.wait_until(back)
    device = Device(tmp_path / "disk", place.town, "north-1", start=1)
    device.read(back - 1, 2)
    assert device.read(START + 2, 4), "placed: its window is not sealed here, though it is over"
    place.wait_until(back + HOUR, device)
    assert place.total(START) == (3, 300)
    assert place.total(START + 24 * HOUR) == (4, 302)
    assert sorted(place.town.aggregates()) == [START + hour * HOUR for hour in range(25)]
    for reason in ("two_seals", "two_cores", "not_canonical"):
        assert place.alarms(reason) == [0, 0, 0]


@pytest.mark.parametrize("parties", [("party-1",), ("party-1", "party-2"), ("party-1", "party-2", "party-3")])
def test_parties_that_are_hours_ahead_end_no_window_early(parties: tuple[str, ...]) -> None:
    """Kafka's times say better: no empty manifest for a window that has not ended for anybody."""
    place = Place()
    for party in parties:
        place.town.off[party] = 5 * HOUR
    place.wait_until(START + 30 * MINUTE)
    for party in parties:
        place.town.off[party] = 9 * HOUR  # and then it jumps
    north = Gateway(place.trial, "north-1", place.town)
    place.wait_until(START + HOUR + 5 * MINUTE)
    for hour in range(2):
        window = START + hour * HOUR
        place.wait_until(window + HOUR + LATENESS)
        place.town.send(north.batch(window, [(NO2_IN_RING, 1)]) + north.seal(window))
        place.town.settle()
        assert place.total(window) == (4, 301)
        assert place.town.aggregates()[window].verified


def test_a_gateway_from_the_future_starts_no_deadline() -> None:
    """Its window is parked at every party until it is due; then it counts like any other."""
    place = Place()
    window = START + 2 * HOUR
    north = Gateway(place.trial, "north-1", place.town)
    place.town.send(north.batch(window, [(NO2_IN_RING, 1)]) + north.seal(window))
    place.wait_until(window + HOUR + LATENESS - MINUTE)
    assert sorted(place.town.aggregates()) == [START, START + HOUR]
    place.wait_until(window + HOUR + LATENESS)
    assert place.total(window) == (4, 301)
    assert place.town.aggregates()[window].verified


@pytest.mark.parametrize(("scheme", "after"), [("replicated", 0), ("additive", 6 * HOUR)])
def test_a_party_that_is_hours_behind_only_makes_its_windows_late(scheme: str, after: int) -> None:
    """With two of three the others go on; where all are needed, the window waits until its clock has come so far."""
    place = Place(scheme=scheme)
    place.town.off["party-1"] = -5 * HOUR
    north = Gateway(place.trial, "north-1", place.town)
    place.wait_until(START + HOUR + LATENESS)
    place.town.send(north.batch(START, [(NO2_IN_RING, 1)]) + north.seal(START))
    place.wait_until(START + 3 * HOUR + after)
    assert place.total(START) == (4, 301)
