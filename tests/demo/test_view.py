"""The live view fits its terminal and says what is true at that moment."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from protocol.roster import Roster
from protocol.task import Task
from sotto.demo.plain import Due, Plain
from sotto.demo.scene import Progress, Setting, scene_of, window_line
from sotto.demo.view import HEIGHT, WIDTH, frame
from sotto.init import Trial
from tests.demo.samples import right

HOUR = 3_600_000


def setting_of(sample: tuple[Trial, Task, Roster, Plain], parties: int = 3) -> Setting:
    _, task, roster, plain = sample
    names = task.party_names if parties == 3 else tuple(f"party-{number}" for number in range(1, parties + 1))
    return Setting(
        plain=plain,
        size=task.window.size,
        utc_offset=task.window.utc_offset,
        unit=task.measures["no2"].unit,
        areas=roster.labels["area"],
        parties=names,
        components=parties,
        held=2 if parties == 3 else 1,
        minimum=3,
        running="4 gateways, 3 parties, collector, sink, MQTT, Kafka   in ./sotto-demo",
        planned=30,
    )


def progress_of(setting: Setting, hours: int, *, shares: Mapping[str, int] | None = None) -> Progress:
    """The demo when the first `hours` windows have their results and every party has been seen in the last of them."""
    plain = setting.plain
    done = plain.windows[:hours]
    seen = {name: 2**64 - 1 - place for place, name in enumerate(setting.parties)} if shares is None else shares
    return Progress(
        event_time=plain.windows[min(hours, 47)],
        elapsed=11,
        paused=False,
        readings=833,
        found={due: found for due, found in right(plain).items() if due.window in done},
        samples=dict.fromkeys(done, seen),
    )


@pytest.mark.parametrize("parties", [2, 3, 5, 9])
@pytest.mark.parametrize("hours", [0, 1, 18, 48])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_a_frame_is_24_lines_of_at_most_80_columns(
    sample: tuple[Trial, Task, Roster, Plain], parties: int, hours: int, ascii_only: bool
) -> None:
    """At every moment and for any number of parties; the ASCII form has nothing else."""
    setting = setting_of(sample, parties)
    lines = frame(scene_of(setting, progress_of(setting, hours)), ascii_only=ascii_only)
    assert len(lines) == HEIGHT
    assert max(map(len, lines)) <= WIDTH
    assert not ascii_only or "\n".join(lines).isascii()


def test_the_reader_can_follow_one_reading_into_the_average(sample: tuple[Trial, Task, Roster, Plain]) -> None:
    """17 h: the reading 4, its shares, the readings of the others, the mean, and the same on the right."""
    setting = setting_of(sample)
    shares = {"city-it": 11894201733650021147, "university": 3328801946027719840, "waterworks": 3223740394031810633}
    text = "\n".join(frame(scene_of(setting, progress_of(setting, 18, shares=shares))))
    for said in (
        "north  Dingling     4",
        "Changping   33",
        "mean 10.25",
        'reading "4"',
        "11894201733650021147",
        "17 h",
    ):
        assert said in text
    assert "10.25=" in text
    assert "hidden" in text


def test_a_wrong_value_is_not_marked_as_equal(sample: tuple[Trial, Task, Roster, Plain]) -> None:
    """The mark of equality comes from the comparison, not from the value being there."""
    setting = setting_of(sample)
    progress = progress_of(setting, 4)
    due = Due(setting.plain.windows[3], (("area", "outer"),), "no2")
    found = dict(progress.found)
    found[due] = type(found[due])(
        outcome="point", reason="none", count=4, sum_steps=1, sum=1.0, mean=0.25, latency_ms=1
    )
    changed = Progress(
        event_time=progress.event_time, elapsed=1, paused=False, readings=1, found=found, samples=progress.samples
    )
    text = "\n".join(frame(scene_of(setting, changed)))
    assert "0.25!" in text
    assert "1 wrong" in text


def test_without_all_parties_shares_nothing_is_followed(sample: tuple[Trial, Task, Roster, Plain]) -> None:
    """A window that was not seen at every party shows no numbers: none are made up."""
    setting = setting_of(sample)
    scene = scene_of(setting, progress_of(setting, 4, shares={"city-it": 1}))
    assert (scene.followed, scene.shares) == (None, ())


def test_the_line_of_a_window_names_what_is_hidden_and_why(sample: tuple[Trial, Task, Roster, Plain]) -> None:
    """28 December 17 h: NO2 in the centre has readings of two organisations."""
    setting = setting_of(sample)
    line = window_line(setting, right(setting.plain), setting.plain.windows[17])
    assert line.startswith("28 Dec 2016 17:00   11 exact  0 wrong  0 missing  80 ms")
    assert "hidden: NO2 centre (2 of 3 organisations)" in line


def test_a_joint_computation_that_was_suppressed_is_no_hidden_value(
    sample: tuple[Trial, Task, Roster, Plain],
) -> None:
    """The screen is of the sample's values; outcomes of joint computations change nothing on it."""
    setting = setting_of(sample)
    progress = progress_of(setting, 18)
    some = next(iter(progress.found.values()))
    late = Due(max(due.window for due in progress.found), (("area", "west"),), "overload")
    failed = replace(some, outcome="suppressed", reason="party_missing", latency_ms=None)
    more = replace(progress, found={**progress.found, late: failed})
    with_joint = replace(setting, plain=replace(setting.plain, joint=frozenset({"overload"})))
    assert frame(scene_of(with_joint, more)) == frame(scene_of(setting, progress))
