"""Child processes: brokers that work, and none that stays."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from protocol.errors import SottoError
from sotto.demo.children import Children
from sotto.readings import Message
from sotto.replay import Pace, Publisher, run


def test_embedded_brokers_take_messages_and_records(tmp_path: Path) -> None:
    """MQTT confirms what is published; Kafka has as many partitions as asked for, and offsets for two groups."""
    with Children(tmp_path / "logs") as children:
        brokers = children.brokers(group_delay_ms=0)
        brokers.create_topics(["t"], 3)

        publisher = Publisher(brokers.mqtt)
        messages = [Message(time=number, topic="a/b", payload=b"{}") for number in range(50)]
        pace = Pace(messages, speed=None, now=0)
        run(messages, publisher, pace, clock=lambda: 0.0, sleep=lambda _: None, progress=lambda _: None)
        assert publisher.confirmed == 50
        publisher.close()

        settings = {"bootstrap_servers": brokers.kafka, "api_version": (2, 3)}
        producer = KafkaProducer(**settings, enable_idempotence=True)
        assert producer.partitions_for("t") == {0, 1, 2}
        for number in range(30):
            producer.send("t", b"v", partition=number % 3).get(60)
        producer.close()
        for group in ("one", "two"):
            consumer = KafkaConsumer(
                "t", **settings, group_id=group, auto_offset_reset="earliest", enable_auto_commit=False
            )
            count = 0
            while count < 30:
                count += sum(map(len, consumer.poll(500).values()))
            consumer.commit()
            assert [consumer.committed(TopicPartition("t", number)) for number in range(3)] == [10, 10, 10]
            consumer.close()
    assert brokers.child.process.returncode is not None


def test_a_process_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    """A role with a file that is not there says so, and the demo passes it on."""
    with Children(tmp_path / "logs") as children:
        child = children.role("sink", ("sink", str(tmp_path / "absent.toml")), {}, http="127.0.0.1:0")
        child.process.wait(120)
        with pytest.raises(SottoError, match="sink has ended") as caught:
            children.check()
    assert "absent.toml" in str(caught.value)
    assert "give the same command again" in str(caught.value)
    assert "demo" not in str(caught.value.remedy).replace(str(tmp_path), "")


PARENT = """
import sys, time
from pathlib import Path
from sotto.demo.children import Children
children = Children(Path(sys.argv[1]))
print(children.brokers(group_delay_ms=0).child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waiting for another's child needs Linux")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """kill -9 leaves no process: the kernel closes the pipe that children watch."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "logs")], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watch = os.pidfd_open(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert select.select([watch], [], [], 120)[0], "the child outlives its parent"
    os.close(watch)
