"""What topics must be like for "once" to hold."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.retention import DAY, FoundTopic, Problem, create_command, plan, problems
from sotto.init import write_trial

SERVER = "k:9092"
FILE = Path("air site/party.toml")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load(write_trial(tmp_path_factory.mktemp("x") / "air", entropy=random.Random(1).randbytes).task, Task)


@pytest.fixture
def found(task: Task) -> dict[str, FoundTopic]:
    return {
        each.name: FoundTopic(name=each.name, partitions=each.partitions, configs=each.configs(3))
        for each in plan(task, Topics.of(task), partitions=3)
    }


def _problems(task: Task, found: dict[str, FoundTopic]) -> list[Problem]:
    return problems(task, Topics.of(task), found, partitions=3, server=SERVER, file=FILE)


def _change(found: dict[str, FoundTopic], end: str, **configs: str) -> None:
    for name, there in found.items():
        if name.endswith(end):
            changed = {**(there.configs or {}), **{key.replace("_", "."): value for key, value in configs.items()}}
            found[name] = replace(there, configs=changed)


def test_what_is_planned_has_no_problem(task: Task, found: dict[str, FoundTopic]) -> None:
    """`sotto topics` makes what `sotto check` asks for."""
    assert _problems(task, found) == []
    assert len(found) == 9


def test_control_that_forgets_first_is_error_7(task: Task, found: dict[str, FoundTopic]) -> None:
    """Else a window could be released a second time over another set. The text is that of operators.md 2.3."""
    _change(found, ".control", retention_ms=str(DAY))
    (problem,) = _problems(task, found)
    assert problem.what == (
        "topic sotto.beijing-air.control keeps records for 1 day, 11 days are needed"
        " (shares 7d + give_up_after 3d + 1d)"
    )
    assert problem.remedy.endswith(
        "kafka-configs.sh --bootstrap-server k:9092 --alter --entity-type topics"
        " --entity-name sotto.beijing-air.control --add-config retention.ms=950400000"
    )


def test_longer_shares_need_longer_contributions_and_control(task: Task, found: dict[str, FoundTopic]) -> None:
    """The rule is about what is really there, not about fixed numbers."""
    _change(found, "shares.university", retention_ms=str(30 * DAY))
    names = [problem.what.split()[1] for problem in _problems(task, found)]
    assert names == ["sotto.beijing-air.contributions.university", "sotto.beijing-air.control"]
    _change(found, "contributions.university", retention_ms="-1")
    _change(found, ".control", retention_ms=str(34 * DAY))
    (problem,) = _problems(task, found)
    assert "for ever is needed" in problem.what
    _change(found, ".control", retention_ms="-1")
    assert _problems(task, found) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cleanup_policy", "compact"),
        ("cleanup_policy", "compact,delete"),
        ("message_timestamp_type", "CreateTime"),
        ("unclean_leader_election_enable", "true"),
        ("retention_bytes", "1000000"),
    ],
)
def test_settings_that_break_the_one_order_are_refused(
    task: Task, found: dict[str, FoundTopic], key: str, value: str
) -> None:
    """Compaction, senders' clocks, unclean leaders and bounds by size all lose or reorder records."""
    _change(found, ".control", **{key: value})
    (problem,) = _problems(task, found)
    assert problem.what.startswith("topic sotto.beijing-air.control ")
    assert "kafka-configs.sh" in problem.remedy


def test_the_roster_is_never_forgotten(task: Task, found: dict[str, FoundTopic]) -> None:
    """Whoever starts in a year needs the first version."""
    _change(found, ".roster", retention_ms=str(400 * DAY))
    (problem,) = _problems(task, found)
    assert "must never forget" in problem.what


def test_missing_topics_and_other_partitions_are_told(task: Task, found: dict[str, FoundTopic]) -> None:
    """Another number of partitions would send a window to where nobody looks."""
    del found["sotto.beijing-air.aggregates"]
    control = found["sotto.beijing-air.control"]
    found[control.name] = replace(control, partitions=4)
    first, second = _problems(task, found)
    assert "1 of 9 topics are not there" in first.what
    assert f"sotto topics '{FILE}' " in first.remedy
    assert second.what == "topic sotto.beijing-air.control has 4 partitions, the roster says 3"


def test_a_role_is_told_of_its_own_topics_only(task: Task, found: dict[str, FoundTopic]) -> None:
    """A sink that may see one topic is not told that eight are missing."""
    own = "sotto.beijing-air.aggregates"
    only_own = {own: found[own]}
    assert problems(task, Topics.of(task), only_own, partitions=3, server=SERVER, file=FILE, only=[own]) == []


def test_unreadable_settings_are_no_fault(task: Task, found: dict[str, FoundTopic]) -> None:
    """Without the right to read them, or on an embedded broker, the number of partitions is still checked."""
    unread = {name: replace(there, configs=None) for name, there in found.items()}
    assert _problems(task, unread) == []


def test_one_broker_has_one_replica_and_three_have_two_in_sync(task: Task) -> None:
    """`min.insync.replicas` never asks for more than there are, else nothing could be written."""
    (control,) = (each for each in plan(task, Topics.of(task), partitions=3) if each.name.endswith("control"))
    assert [control.configs(number)["min.insync.replicas"] for number in (1, 2, 3)] == ["1", "1", "2"]
    assert "--replication-factor 3" in create_command(control, server=SERVER, replication=3)


def test_rounds_are_there_for_joint_jobs_and_take_long_records(task: Task) -> None:
    """Only then; kept as long as control, and a topic that cuts off one round of a joint computation is told."""
    topics = replace(Topics.of(task), joint=True)
    plans = plan(task, topics, partitions=3)
    assert sorted(each.name for each in plans) == sorted(topics.all())
    assert {each.name for each in plans} - {each.name for each in plan(task, Topics.of(task), partitions=3)} == {
        topics.rounds
    }
    found = {each.name: FoundTopic(name=each.name, partitions=3, configs=each.configs(3)) for each in plans}
    found[topics.roster] = replace(found[topics.roster], partitions=1)

    def told() -> list[str]:
        return [each.what for each in problems(task, topics, found, partitions=3, server=SERVER, file=FILE)]

    assert told() == []
    assert [name for name, there in found.items() if "max.message.bytes" in (there.configs or {})] == [topics.rounds]
    _change(found, ".rounds", max_message_bytes="1048588", retention_ms=str(DAY))
    assert told() == [
        "topic sotto.beijing-air.rounds takes records of 1048588 bytes at most",
        "topic sotto.beijing-air.rounds keeps records for 1 day, 11 days are needed"
        " (shares 7d + give_up_after 3d + 1d)",
    ]
