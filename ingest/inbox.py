"""Messages between the MQTT thread and the gateway's loop: bounded by number and bytes.

A full inbox makes `put` wait, so the socket is not read, so the broker keeps the messages: backpressure without losing
one.
"""

from __future__ import annotations

import threading
from collections import deque

from ingest.gateway import Message

_MOST = 10_000
_MOST_BYTES = 64 << 20


class Inbox:
    """A queue of messages."""

    def __init__(self, *, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._queue: deque[Message] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, message: Message) -> None:
        """Append a message; wait while the inbox is full. After `close` the message is dropped, unacknowledged."""
        with self._changed:
            while (
                not self._closed and self._queue and (len(self._queue) >= self._most or self._bytes >= self._most_bytes)
            ):
                self._changed.wait()
            if self._closed:
                return
            self._queue.append(message)
            self._bytes += len(message.payload)
            if len(self._queue) == 1:
                self._changed.notify_all()

    def take(self, timeout: float) -> list[Message]:
        """Return all messages that are there; wait for the first one up to `timeout` seconds."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(timeout)
            found = list(self._queue)
            self._queue.clear()
            self._bytes = 0
            self._changed.notify_all()
        return found

    def wake(self) -> None:
        """End a `take` that waits."""
        with self._changed:
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
