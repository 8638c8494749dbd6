"""A loop whose time passes only when everybody waits, and a Kafka that is a few lists: folds under test never sleep."""

from __future__ import annotations

import asyncio
import selectors
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

from runtime.fold import Log, LogError, Output, Place, Record, Start

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._virtual = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits, and nothing will ever come")
        self._virtual.passed += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """`loop.time()` jumps to the next timer."""

    def __init__(self) -> None:
        self.passed = 0.0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.passed


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:

        async def wrapped() -> T:
            return await main()

        return runner.run(wrapped())


class VirtualClock:
    """The clock of the running loop."""

    def wall(self) -> int:
        return 1_480_521_600_000 + round(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class ListLog(Log):
    """Topics are lists. `lost` sends fail, after the record has been written or before; `away` stops everything."""

    def __init__(self) -> None:
        self.records: dict[Place, list[Record]] = defaultdict(list)
        self.committed: dict[Place, int] = {}
        self.oldest: dict[Place, int] = {}
        self.position: dict[Place, int] = {}
        self.away = False
        self.lose: list[str] = []
        self.seeks: list[tuple[Place, int]] = []
        self.sent: list[Output] = []

    def write(self, topic: str, partition: int, value: bytes, key: bytes | None = None) -> None:
        place = Place(topic, partition)
        rows = self.records[place]
        rows.append(Record(topic=topic, partition=partition, offset=len(rows), key=key, value=value, timestamp=0))

    def _there(self) -> None:
        if self.away:
            raise LogError("away")

    async def send(self, output: Output) -> None:
        await asyncio.sleep(0.001)
        self._there()
        fate = self.lose.pop(0) if self.lose else "kept"
        if fate == "before":
            raise LogError("lost")
        self.sent.append(output)
        self.write(output.topic, output.partition, output.value, output.key)
        if fate == "after":
            raise LogError("the answer is lost")

    async def starts(self, places: Sequence[Place]) -> Mapping[Place, Start]:
        await asyncio.sleep(0.001)
        self._there()
        return {
            place: Start(
                first=max(self.committed.get(place, 0), self.oldest.get(place, 0)), end=len(self.records[place])
            )
            for place in places
        }

    async def ends(self, places: Sequence[Place], topics: Sequence[str]) -> Mapping[Place, int]:
        await asyncio.sleep(0.001)
        self._there()
        watched = [place for place in self.records if place.topic in topics]
        return {place: len(self.records[place]) for place in (*places, *watched)}

    async def seek(self, place: Place, offset: int) -> None:
        await asyncio.sleep(0.001)
        self._there()
        self.seeks.append((place, offset))
        self.position[place] = offset

    async def commit(self, offsets: Mapping[Place, int]) -> None:
        await asyncio.sleep(0.001)
        self._there()
        self.committed.update(offsets)
