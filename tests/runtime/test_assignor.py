"""How partitions are distributed, on what a broker says that has just started."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import UnknownTopicOrPartitionError

from runtime.faust_app import AllTopics, faust_app
from runtime.sections import KafkaSection


class _Cluster(ClusterMetadata):
    def __init__(self, partitions: dict[str, int]) -> None:
        super().__init__()
        self._there = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return set(range(self._there[topic])) if topic in self._there else None


@pytest.fixture
def assignor(tmp_path: Path) -> AllTopics:
    """Return the one that a role's app uses."""
    section = KafkaSection(bootstrap_servers=("127.0.0.1:9092",), security_protocol="PLAINTEXT")
    app = faust_app(group="group", kafka=section, folder=tmp_path)
    assert app.conf.PartitionAssignor is AllTopics
    return AllTopics(app)


def test_a_topic_that_the_broker_does_not_name_yet_is_not_left_out(assignor: AllTopics) -> None:
    """Else the group would have no partitions, or those of some of the topics, and would not look again for minutes."""
    members = {"one": assignor.metadata({"shares", "control"})}
    for there in ({}, {"shares": 3}):
        with pytest.raises(UnknownTopicOrPartitionError, match="control"):
            assignor.assign(_Cluster(there), members)


def test_all_partitions_are_given_when_all_topics_are_there(assignor: AllTopics) -> None:
    """As Faust's own assignor does it."""
    members = {name: assignor.metadata({"shares", "control"}) for name in ("one", "two")}
    found = assignor.assign(_Cluster({"shares": 3, "control": 3}), members)
    given = [(topic, number) for each in found.values() for topic, numbers in each.assignment for number in numbers]
    assert sorted(given) == [(topic, number) for topic in ("control", "shares") for number in range(3)]
