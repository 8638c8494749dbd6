"""Every role looks at its topics before its first record; what is wrong there ends it, Kafka being away does not."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from ingest.main import checked
from ingest.main import run as run_gateway
from protocol.errors import NotReadyError
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.retention import DAY, FoundTopic, plan
from runtime.sections import KafkaSection
from runtime.topic_check import TopicCheck, TopicsError, topics_of
from sinks.main import run as run_sink
from sotto.demo.mock_kafka import MockKafka
from sotto.init import Trial, write_trial
from streams.main import run_collector, run_party

FILE = Path("air/role.toml")
KAFKA = KafkaSection(bootstrap_servers=("127.0.0.1:9092",), security_protocol="PLAINTEXT")
ROLES = [("gateway", "north-1"), ("party", "university"), ("collector", "collector"), ("sink", "sink")]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return write_trial(tmp_path_factory.mktemp("x") / "air", entropy=random.Random(1).randbytes)


@pytest.fixture(scope="module")
def task(trial: Trial) -> Task:
    return load(trial.task, Task)


@pytest.fixture(scope="module")
def roster(trial: Trial) -> Roster:
    return load(trial.roster, Roster)


class Broker:
    """What a role is told of its topics, and how often it asked."""

    def __init__(self, task: Task, partitions: int) -> None:
        self.topics = {
            each.name: FoundTopic(name=each.name, partitions=each.partitions, configs=each.configs(3))
            for each in plan(task, Topics.of(task), partitions=partitions)
        }
        self.asked = 0
        self.away = False

    def __call__(self, _: KafkaSection, names: Sequence[str], /) -> dict[str, FoundTopic]:
        self.asked += 1
        if self.away:
            raise NotReadyError("Kafka is away")
        return {name: self.topics[name] for name in names if name in self.topics}


@pytest.fixture
def broker(task: Task, roster: Roster) -> Broker:
    return Broker(task, roster.partitions)


def check_of(role: str, name: str, task: Task, roster: Roster, broker: Broker) -> TopicCheck:
    topics = Topics.of(task)
    return TopicCheck(
        kafka=KAFKA,
        task=task,
        topics=topics,
        own=topics_of(role, name, topics),
        roster=None if role == "sink" else roster,
        file=FILE,
        read=broker,
    )


@pytest.mark.parametrize(("role", "name"), ROLES)
def test_topics_as_planned_are_looked_at_once(task: Task, roster: Roster, broker: Broker, role: str, name: str) -> None:
    """And nothing is said."""
    check = check_of(role, name, task, roster, broker)
    with capture_logs() as logs:
        check()
        check()
    assert (check.done, broker.asked, logs) == (True, 1, [])


def test_control_that_forgets_too_soon_is_error_7(task: Task, roster: Roster, broker: Broker) -> None:
    """A party sees how long shares are kept, so it can tell; the collector sees nothing to compare with."""
    control = broker.topics[Topics.of(task).control]
    broker.topics[control.name] = replace(control, configs={**(control.configs or {}), "retention.ms": str(DAY)})
    check = check_of("party", "university", task, roster, broker)
    with pytest.raises(TopicsError, match="control keeps records for 1 day, 11 days are needed") as caught:
        check()
    assert caught.value.exit_code == 3
    assert "kafka-configs.sh --bootstrap-server 127.0.0.1:9092" in str(caught.value.remedy)
    assert not check.done
    check_of("collector", "collector", task, roster, broker)()


@pytest.mark.parametrize(("role", "name"), ROLES)
def test_a_missing_topic_ends_the_role(task: Task, roster: Roster, broker: Broker, role: str, name: str) -> None:
    """Kafka is there and the topic is not: somebody has to make it."""
    del broker.topics[topics_of(role, name, Topics.of(task))[0]]
    with pytest.raises(TopicsError, match="topics are not there") as caught:
        check_of(role, name, task, roster, broker)()
    # The task's file alone does not know the prefix that this role has: topics made from it may be others.
    assert f"Make them: sotto topics {FILE} " in str(caught.value.remedy)


def test_another_number_of_partitions_ends_the_role_but_a_sink(task: Task, roster: Roster, broker: Broker) -> None:
    """A sink has no roster, and reads whatever there is."""
    for name, there in broker.topics.items():
        broker.topics[name] = replace(there, partitions=7)
    for role, name in ROLES[:3]:
        with pytest.raises(TopicsError, match="has 7 partitions"):
            check_of(role, name, task, roster, broker)()
    check_of("sink", "sink", task, roster, broker)()


def test_settings_that_cannot_be_read_are_one_warning(task: Task, roster: Roster, broker: Broker) -> None:
    """No right to, or an embedded broker: the role starts, and its log says what was not looked at."""
    for name, there in broker.topics.items():
        broker.topics[name] = replace(there, configs=None)
    check = check_of("party", "university", task, roster, broker)
    with capture_logs() as logs:
        check()
        check()
    (warning,) = logs
    assert (warning["event"], warning["log_level"], len(warning["topics"])) == ("retention_unknown", "warning", 4)


def test_kafka_away_is_asked_again(task: Task, roster: Roster, broker: Broker) -> None:
    """The check is not done before it has seen the topics."""
    check = check_of("gateway", "north-1", task, roster, broker)
    broker.away = True
    with pytest.raises(NotReadyError) as caught:
        check()
    assert not isinstance(caught.value, TopicsError)
    broker.away = False
    check()
    assert broker.asked == 2


@pytest.fixture(scope="module")
def embedded(task: Task, roster: Roster, tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """A trial on an embedded broker whose topics have one partition too many."""
    kafka = MockKafka()
    for each in plan(task, Topics.of(task), partitions=roster.partitions + 1):
        kafka.create_topic(each.name, each.partitions)
    return write_trial(
        tmp_path_factory.mktemp("y") / "air",
        entropy=random.Random(1).randbytes,
        kafka=kafka.address,
        kafka_api_version="2.3",
    )


@pytest.mark.parametrize(
    ("file", "run"),
    [
        ("gateways/north-1.toml", run_gateway),
        ("parties/university.toml", run_party),
        ("collector.toml", run_collector),
    ],
)
def test_a_role_does_not_start_on_wrong_topics(embedded: Trial, file: str, run: Callable[..., None]) -> None:
    """The whole way: files, a broker that answers, the look, the error with which the command exits with status 3."""
    with pytest.raises(TopicsError, match="has 4 partitions, the roster says 3") as caught:
        run(embedded.directory / file, **{"listen" if run is run_gateway else "http": ""})
    assert caught.value.exit_code == 3


def test_a_sink_does_not_start_without_its_topic(embedded: Trial, tmp_path: Path) -> None:
    """Asked for by name, the embedded broker would create it."""
    path = embedded.directory / "sink.toml"
    text = path.read_text().replace("[kafka]", '[kafka]\ntopic_prefix = "sotto.nobody."')
    other = path.with_name("other.toml")
    other.write_text(text.replace('"results.db"', f'"{tmp_path}/results.db"'))
    with pytest.raises(TopicsError, match="1 of 1 topics are not there"):
        run_sink(other, http="")


def test_a_gateway_goes_on_while_kafka_is_away(task: Task, roster: Roster, broker: Broker) -> None:
    """It connects after the look only; an absent Kafka is tried again, wrong topics end the gateway."""
    connected: list[int] = []
    stop = threading.Event()
    connect, wrong = checked(
        lambda: connected.append(1),  # type: ignore[arg-type,return-value]
        check_of("gateway", "north-1", task, roster, broker),
        stop,
    )
    broker.away = True
    with pytest.raises(NotReadyError):
        connect()
    assert (connected, wrong, stop.is_set()) == ([], [], False)
    broker.away = False
    broker.topics, there = {}, broker.topics
    with pytest.raises(TopicsError):
        connect()
    assert (connected, len(wrong), stop.is_set()) == ([], 1, True)
    broker.topics = there
    connect()
    assert connected == [1]
