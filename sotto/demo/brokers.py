"""The embedded brokers, MQTT and Kafka, as one child process: `python -m sotto.demo.brokers`.

When both listen it prints one JSON line, `{"mqtt": URL, "kafka": "HOST:PORT"}`. Then each line on its stdin is a
request, `{"topics": [...], "partitions": 3}`, answered by `{"created": n}`. It ends when its stdin closes, so it cannot
outlive the demo that started it, however that one ends. Loopback only, no passwords, nothing on disk: for trials.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys

from amqtt.broker import Broker

from sotto.demo.mock_kafka import MockKafka
from sotto.demo.ports import free_port


async def serve(*, group_delay_ms: int) -> None:
    """Run both brokers until stdin ends."""
    port = free_port()
    mqtt = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    await mqtt.start()
    kafka = MockKafka(group_delay_ms=group_delay_ms)
    _say({"mqtt": f"mqtt://127.0.0.1:{port}", "kafka": kafka.address})
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        for topic in request["topics"]:
            kafka.create_topic(topic, request["partitions"])
        _say({"created": len(request["topics"])})
    await mqtt.shutdown()


def _say(message: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m sotto.demo.brokers", description=__doc__)
    parser.add_argument("--group-delay-ms", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(group_delay_ms=arguments.group_delay_ms))


if __name__ == "__main__":
    main()
