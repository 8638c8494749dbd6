"""The verdict of a campaign, without servers: what is planted in the evidence of a good run is found and named."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

from tests.faults.check import Disturbance, Evidence, Released, Report, Row, Setting, Signed, check, difference
from tests.faults.load import Reading

AREAS = ("centre", "ring")
ORGANISATIONS = ("north", "west", "south", "east")
SETTING = Setting(
    first=1_000_000,
    last=1_030_000,
    size=10_000,
    lateness=40_000,
    deadline=70_000,
    areas=AREAS,
    organisation={f"{name}-1": name for name in ORGANISATIONS},
    parties=("a", "b", "c"),
)
WINDOW = 1_010_000


def _readings(seed: int = 1) -> list[Reading]:
    chance = random.Random(seed)
    return [
        Reading(
            organisation=name,
            gateway=f"{name}-1",
            area=area,
            sensor=f"{name}-{area}",
            time=window + offset,
            value=chance.randrange(2**44),
            published=1,
            acknowledged=window + offset + 5,
        )
        for window in SETTING.windows
        for name in ORGANISATIONS
        for area in AREAS
        for offset in range(0, 10_000, 1_000)
    ]


def _rows(readings: list[Reading], window: int, area: str, *, without: tuple[str, ...] = ()) -> list[Row]:
    inside = [
        one
        for one in readings
        if one.area == area and window <= one.time < window + SETTING.size and one.gateway not in without
    ]
    outcome = Row(
        kind="outcome",
        window=window,
        area=area,
        outcome="point",
        reason="none",
        count=None,
        total=None,
        verified=True,
    )
    total = sum(one.value for one in inside)
    return [outcome, replace(outcome, kind="point", outcome="", reason="", count=len(inside), total=total)]


def _released(window: int, *, without: tuple[str, ...] = (), late: dict[str, int] | None = None) -> Released:
    names = [name for name in SETTING.organisation if name not in without]
    return Released(
        window=window,
        digest=f"digest of {window}",
        verified=True,
        parties=SETTING.parties,
        late=dict.fromkeys(names, 0) | (late or {}),
        revealed_at=window + 55_000,
    )


def _good() -> Evidence:
    readings = _readings()
    return Evidence(
        readings=readings,
        rows=[row for window in SETTING.windows for area in AREAS for row in _rows(readings, window, area)],
        released=[_released(window) for window in SETTING.windows],
        signed=[
            Signed(window=window, party=party, digest=f"set of {window}")
            for window in SETTING.windows
            for party in SETTING.parties
        ],
        disturbances=[],
    )


def _with_point(good: Evidence, *, count: int, total: int) -> Evidence:
    """Change the value of one cell by so much."""
    rows = [
        replace(row, count=(row.count or 0) + count, total=(row.total or 0) + total)
        if (row.kind, row.window, row.area) == ("point", WINDOW, "ring")
        else row
        for row in good.rows
    ]
    return replace(good, rows=rows)


def _unverified(good: Evidence) -> Evidence:
    return replace(good, rows=[replace(row, verified=False) for row in good.rows])


def _in_the_cell(good: Evidence) -> list[Reading]:
    return [one for one in good.readings if one.area == "ring" and WINDOW <= one.time < WINDOW + SETTING.size]


def _only(report: Report) -> str:
    assert len(report.violations) == 1, report.violations
    return report.violations[0]


def _fault(role: str, begun: int, ended: int) -> Disturbance:
    return Disturbance(kind="kill role", target=role, begun=begun, ended=ended, hits=frozenset({role}))


def test_a_good_run_is_right() -> None:
    """Every reading is counted, every window exact."""
    report = check(SETTING, _good())
    assert report.right
    assert report.windows == Counter({"exact": 3})
    assert report.made == report.acknowledged == report.counted == len(_readings())


def test_a_lost_reading_is_named() -> None:
    """Its value is what the sum lacks."""
    good = _good()
    lost = _in_the_cell(good)[7]
    found = _only(check(SETTING, _with_point(good, count=-1, total=-lost.value)))
    assert "window 1 ring: missing" in found
    assert str(lost.value) in found


def test_a_doubled_reading_is_named() -> None:
    """One that was sent again and counted again."""
    good = _good()
    doubled = _in_the_cell(good)[3]
    found = _only(check(SETTING, _with_point(good, count=1, total=doubled.value)))
    assert "counted twice" in found
    assert str(doubled.value) in found


def test_one_lost_and_another_doubled_do_not_make_up_for_each_other() -> None:
    """The count is right, the sum is not."""
    good = _good()
    lost, doubled = _in_the_cell(good)[2], _in_the_cell(good)[30]
    found = check(SETTING, _with_point(good, count=0, total=doubled.value - lost.value)).violations
    assert sorted("missing" in text for text in found) == [False, True]
    assert all(str(one.value) in "".join(found) for one in (lost, doubled))


def test_two_lost_readings_and_a_lost_batch_are_found() -> None:
    """Pairs from anywhere, more than two where they came one after the other from one gateway."""
    readings = _in_the_cell(_good())
    total = sum(one.value for one in readings)
    west = [one for one in readings if one.gateway == "west-1"]
    for lost in ((readings[1], readings[33]), tuple(west[4:9]), tuple(west)):
        found = difference(readings, count=len(readings) - len(lost), total=total - sum(one.value for one in lost))
        assert found is not None
        assert set(map(id, found[0])) == set(map(id, lost))
        assert not found[1]


def test_a_wrong_sum_is_wrong_though_nobody_can_say_why() -> None:
    """A share too many gives a number that belongs to nobody."""
    assert "the sum is off by 1:" in _only(check(SETTING, _with_point(_good(), count=0, total=1)))


def test_a_reading_that_was_never_acknowledged_is_reported() -> None:
    """Whoever gives up waiting for it must not call the run right."""
    good = _good()
    _in_the_cell(good)[0].acknowledged = None
    lost = _in_the_cell(good)[0].value
    assert "never acknowledged" in _only(check(SETTING, _with_point(good, count=-1, total=-lost)))


def test_a_missing_outcome_is_found() -> None:
    """In the database, and on the topic."""
    good = _good()
    rows = [row for row in good.rows if (row.window, row.area) != (WINDOW, "ring")]
    assert "0 outcomes in the database" in _only(check(SETTING, replace(good, rows=rows)))
    released = [one for one in good.released if one.window != WINDOW]
    report = check(SETTING, replace(good, released=released))
    assert "nothing was released" in _only(report)
    assert report.windows["missing"] == 1


def test_two_outcomes_of_one_cell_are_found() -> None:
    """A correction would be a second release."""
    good = _good()
    second = next(row for row in good.rows if row.kind == "outcome" and row.window == WINDOW)
    rows = [*good.rows, replace(second, outcome="suppressed", reason="no_readings")]
    assert "2 outcomes" in _only(check(SETTING, replace(good, rows=rows)))


def test_two_aggregates_of_one_window_are_found_and_the_same_one_twice_is_none() -> None:
    """The collector may write again what it wrote, byte for byte."""
    good = _good()
    again = good.released[1]
    assert check(SETTING, replace(good, released=[*good.released, again])).right
    other = replace(again, digest="another one")
    assert "two different aggregates" in _only(check(SETTING, replace(good, released=[*good.released, other])))


def test_a_party_that_signs_two_sets_is_found() -> None:
    """The difference of two sets would show what is in one of them only."""
    good = _good()
    other = replace(good.signed[4], digest="another set")
    assert "signed shares over 2 different sets" in _only(check(SETTING, replace(good, signed=[*good.signed, other])))


def _without_west(good: Evidence, *disturbances: Disturbance) -> Evidence:
    rows = [row for row in good.rows if row.window != WINDOW]
    readings = list(good.readings)
    for area in AREAS:
        rows += _rows(readings, WINDOW, area, without=("west-1",))
    released = [one if one.window != WINDOW else _released(WINDOW, without=("west-1",)) for one in good.released]
    return replace(good, rows=rows, released=released, disturbances=disturbances)


def test_a_gateway_may_be_left_out_only_when_it_was_disturbed_until_the_deadline() -> None:
    """Nobody's readings are left out because a fault long ago would make a good excuse."""
    seal, deadline = WINDOW + 50_000, WINDOW + 80_000
    whole = _fault("west-1", seal - 1_000, deadline)
    report = check(SETTING, _without_west(_good(), whole))
    assert report.right
    assert report.windows["exact, without 1 of the gateways"] == 1
    assert report.left_out == 20
    for early in ((), (_fault("west-1", WINDOW, seal - 1),), (_fault("north-1", seal, deadline),)):
        assert "west-1 is left out" in _only(check(SETTING, _without_west(_good(), *early)))
    twice = (_fault("west-1", seal, seal + 12_000), _fault("west-1", seal + 14_000, deadline - 2_000))
    assert check(SETTING, _without_west(_good(), *twice)).right


def test_a_suppression_has_to_be_confirmed() -> None:
    """By what the sensors published, not by what anybody says."""
    good = _good()
    rows = [row for row in good.rows if (row.window, row.area) != (WINDOW, "ring")]
    point = next(row for row in good.rows if row.kind == "outcome" and (row.window, row.area) == (WINDOW, "ring"))
    for reason in ("too_few_organisations", "no_readings", "too_many_absent", "party_missing", "shares_differ"):
        suppressed = replace(point, outcome="suppressed", reason=reason)
        found = _only(check(SETTING, replace(good, rows=[*rows, suppressed])))
        assert f"suppressed ({reason})" in found
    few = [one for one in good.readings if one.gateway in ("north-1", "west-1") or one not in _in_the_cell(good)]
    right = replace(
        good, readings=few, rows=[*rows, replace(point, outcome="suppressed", reason="too_few_organisations")]
    )
    report = check(SETTING, right)
    assert report.right
    assert report.left_out == 20


def test_a_silent_party_needs_a_reason() -> None:
    """With two parties of three a result is not verified: that must not happen on a quiet day."""
    good = _unverified(_good())
    two = [replace(one, parties=("a", "c"), verified=False) for one in good.released]
    assert "released without b" in check(SETTING, replace(good, released=two)).violations[0]
    disturbed = replace(good, released=two, disturbances=[_fault("b", WINDOW - 9_000, WINDOW + 30_000)])
    report = check(SETTING, disturbed)
    assert report.right
    assert report.windows["exact, unverified"] == 3


def test_verified_means_that_all_parties_were_there() -> None:
    """Neither more nor less; a scheme that cannot verify says so in every window, and is exact all the same."""
    good = _good()
    without = _unverified(replace(good, released=[replace(one, verified=False) for one in good.released]))
    assert "verified is False" in check(SETTING, without).violations[0]
    assert check(replace(SETTING, verifies=False), without).windows == Counter({"exact": 3})
    disturbed = [_fault("b", WINDOW - 9_000, WINDOW + 30_000)]
    two = replace(good, released=[replace(one, parties=("a", "c")) for one in good.released], disturbances=disturbed)
    assert "verified is True" in check(SETTING, two).violations[-1]


def test_the_database_says_what_kafka_says_of_verified() -> None:
    """A sink that marks everything as verified is wrong, though the aggregates are right."""
    good = _good()
    two = [replace(one, parties=("a", "c"), verified=False) for one in good.released]
    disturbed = [_fault("b", WINDOW - 9_000, WINDOW + 30_000)]
    found = check(SETTING, replace(good, released=two, disturbances=disturbed)).violations
    assert len(found) == len(SETTING.windows) * len(AREAS)
    assert all("verified is True in the database" in text for text in found)


def test_a_suppressed_cell_excuses_nothing_of_the_others() -> None:
    """The other cell of the window is a result of two parties, called verified."""
    good = _good()
    readings = [one for one in good.readings if one not in _in_the_cell(good)]
    rows = [row for row in good.rows if (row.window, row.area, row.kind) != (WINDOW, "ring", "point")]
    rows = [
        replace(row, outcome="suppressed", reason="no_readings") if (row.window, row.area) == (WINDOW, "ring") else row
        for row in rows
    ]
    assert check(SETTING, replace(good, readings=readings, rows=rows)).right
    released = [replace(one, parties=("a", "b")) if one.window == WINDOW else one for one in good.released]
    found = check(SETTING, replace(good, readings=readings, rows=rows, released=released)).violations
    assert ["released without c" in found[0], "verified is True" in found[1]] == [True, True]


def test_what_was_not_due_is_found() -> None:
    """A reading of no window, a window after the last one, a contributor that nobody has heard of."""
    good = _good()
    stray = replace(good.readings[0], time=SETTING.last, value=1)
    assert "not due" in _only(check(SETTING, replace(good, readings=[*good.readings, stray])))
    assert "not due" in _only(check(SETTING, replace(good, released=[*good.released, _released(SETTING.last)])))
    ghost = [*good.released[:2], _released(1_020_000, late={"ghost-1": 1})]
    assert "ghost-1" in _only(check(SETTING, replace(good, released=ghost)))


def test_late_readings_are_missing_with_the_word_of_their_gateway_only() -> None:
    """And only as many as it says."""
    good = _good()
    lost = _in_the_cell(good)[0]
    evidence = _with_point(good, count=-1, total=-lost.value)
    said = [*good.released[:2], _released(1_020_000, late={lost.gateway: 1})]
    report = check(SETTING, replace(evidence, released=said))
    assert report.right
    assert report.late == 1
    other = [*good.released[:2], _released(1_020_000, late={"east-1": 1})]
    assert not check(SETTING, replace(evidence, released=other)).right
    before = [_released(1_000_000, late={lost.gateway: 1}), *good.released[1:]]
    assert not check(SETTING, replace(evidence, released=before)).right
