"""Carries out a plan of faults on a world, and writes down what happened when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

from tests.faults.check import Disturbance
from tests.faults.faults import INFLUX, KAFKA, MOSQUITTO, Fault
from tests.faults.trial import gateway_names
from tests.faults.world import SENSORS, World
from tests.servers.run import Server, ServerError

_MORE_LATENCY: Final = 600
"""Milliseconds in either direction, with half as much of jitter: more than a heartbeat, less than a session."""

_STARTS: Final = 4


class Breaker:
    """One plan under way. Each fault has a thread of its own, since they overlap."""

    def __init__(self, world: World, plan: Sequence[Fault], *, begin: float) -> None:
        """`begin` is the time of the first fault's zero, in seconds since 1970."""
        self.done: list[Disturbance] = []
        self.failures: list[str] = []
        """What went wrong in breaking or mending itself."""
        self._world = world
        self._plan = plan
        self._begin = begin
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._turns: dict[str, threading.Lock] = {fault.target: threading.Lock() for fault in plan}
        self._stop = threading.Event()
        self._faults: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._run, name="breaker", daemon=True)

    def __enter__(self) -> Breaker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for thread in self._faults:
            thread.join()

    @property
    def over(self) -> bool:
        """Say whether all faults have come and gone."""
        return not self._thread.is_alive() and not any(thread.is_alive() for thread in self._faults)

    def held(self, role: str) -> bool:
        """Say whether a fault has this role in its hands."""
        with self._lock:
            return role in self._held

    def _run(self) -> None:
        for number, fault in enumerate(self._plan):
            if self._stop.wait(max(0.0, self._begin + fault.at / 1000 - time.time())):
                return
            thread = threading.Thread(target=self._commit, args=(fault,), name=f"fault-{number}", daemon=True)
            self._faults.append(thread)
            thread.start()

    def _commit(self, fault: Fault) -> None:
        # Kafka may need half a minute to come back: its next fault waits for that.
        with self._turns[fault.target]:
            self._break_and_mend(fault)

    def _break_and_mend(self, fault: Fault) -> None:
        begun = _now()
        try:
            with self._holding(fault.target):
                begin, end = self._ways(fault)
                begin()
                self._stop.wait(fault.lasts / 1000)
                end()
        except Exception as error:  # noqa: BLE001  the campaign goes on, and fails at its end
            with self._lock:
                self.failures.append(f"{fault.kind} of {fault.target}: {type(error).__name__}: {error}")
        happened = Disturbance(
            kind=fault.kind, target=fault.target, begun=begun, ended=_now(), hits=self._hits(fault.target)
        )
        with self._lock:
            self.done.append(happened)

    @contextmanager
    def _holding(self, target: str) -> Iterator[None]:
        with self._lock:
            self._held.add(target)
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(target)

    def _ways(self, fault: Fault) -> tuple[Callable[[], None], Callable[[], None]]:
        """Return how the fault begins and how it ends."""
        world = self._world
        if fault.target in world.proxies:
            proxy = world.proxies[fault.target]
            if fault.kind == "cut":
                return proxy.cut, proxy.heal
            if fault.kind == "latency":
                return lambda: proxy.latency(_MORE_LATENCY, _MORE_LATENCY // 2), proxy.heal
            return proxy.half_open, proxy.heal
        servers = {MOSQUITTO: world.mosquitto, KAFKA: world.kafka, INFLUX: world.influx}
        server = servers[fault.target] if fault.target in servers else world.roles[fault.target]
        if fault.kind == "pause role":
            return server.pause, server.resume
        return (server.kill if fault.kind.startswith("kill") else server.stop), lambda: _start(server)

    def _hits(self, target: str) -> frozenset[str]:
        world = self._world
        if target in (MOSQUITTO, KAFKA, INFLUX):
            everybody = frozenset(role.file.name for role in world.roles.values())
            return {MOSQUITTO: frozenset(gateway_names()), KAFKA: everybody, INFLUX: frozenset({"sink"})}[target]
        name = target.partition(":")[0]
        if name == SENSORS:
            return frozenset({SENSORS})
        return frozenset({world.roles[name].file.name})


def _start(server: Server) -> None:
    """Start a server again, as a supervisor would: more than once, where a busy machine lets it not come up in time."""
    for _ in range(_STARTS - 1):
        with suppress(ServerError):
            server.start()
            return
    server.start()


def _now() -> int:
    return time.time_ns() // 1_000_000
