"""A role as a child of the demo: `python -m sotto.demo.child gateway FILE` is `sotto gateway FILE` with two more rules.

It ends when its stdin closes. The demo holds the other end, and the kernel closes that however the demo ends, kill -9
included; so no role is left over. And where it reads from the embedded Kafka it asks more often. Everything else is the
command as users run it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

FETCH_WAIT = "SOTTO_DEMO_FETCH_WAIT_MS"
_GRACE = 5.0
"""Seconds for a clean end; then it ends without."""


def end_with_parent() -> None:
    """Watch stdin from a thread: its end is the parent's end, and asks this process to stop."""
    threading.Thread(target=_watch, args=(sys.stdin.fileno(),), daemon=True, name="parent").start()


def _watch(stdin: int) -> None:
    while os.read(stdin, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def ask_more_often(milliseconds: int) -> None:
    """Let no fetch of aiokafka wait longer than this.

    Kafka answers a waiting fetch as soon as a record arrives; librdkafka's cluster answers it when its time is up.
    Faust has no setting for that time (1.5 s), and a window takes five such hops.
    """
    from aiokafka import AIOKafkaConsumer  # noqa: PLC0415  the gateway has none

    original = AIOKafkaConsumer.__init__

    def begin(*arguments: object, **settings: object) -> None:
        original(*arguments, **{**settings, "fetch_max_wait_ms": milliseconds})

    AIOKafkaConsumer.__init__ = begin


def main() -> None:
    """Run `sotto` with this process's arguments."""
    end_with_parent()
    if wait := os.environ.get(FETCH_WAIT):
        ask_more_often(int(wait))
    from sotto.cli import main as sotto  # noqa: PLC0415  after the watch has begun: importing a role takes a second

    sotto()


if __name__ == "__main__":
    main()
