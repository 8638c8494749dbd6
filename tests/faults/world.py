"""A world to break: the real servers, all roles as real processes, and a proxy on every way between them.

with World(directory, Wanted(), windows=12) as world:
    world.roles["city-it"].kill()
    world.proxies["north-1:mqtt"].half_open()
    world.kafka.restart()
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from runtime.kafka import admin, ensure_topics
from runtime.retention import plan
from runtime.sections import KafkaSection
from sotto.demo.ports import free_port
from sotto.init import RoleFile
from tests.faults.trial import Addresses, Files, Wanted, gateway_names, role_names, write_files
from tests.servers import install, run
from tests.servers.toxiproxy import Proxy, Toxiproxy

LEAD: Final = 60_000
"""Milliseconds from the files to the first window: so long the roles may take to start on two busy processors."""
SENSORS: Final = "sensors"
_direct = build_opener(ProxyHandler({}))


class Role(run.Server):
    """One role's process: `sotto KIND FILE`. `start` does not wait; `ready` says how far it is."""

    def __init__(self, directory: Path, file: RoleFile, *, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        super().__init__(directory)
        self.file = file
        self.kind = file.kind
        self.environment = dict(environment)
        self.module = "sotto.cli"
        """What its next start runs."""
        self.http = f"{run.HOST}:{free_port()}"
        self.starts = 0

    @property
    def memory(self) -> int:
        """Return what the process holds in memory, in bytes; 0 while it does not run."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except (OSError, run.ServerError):
            return 0
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:")), 0)

    @property
    def ready(self) -> bool:
        """Say whether the role says that it is ready."""
        answer = self._page("readyz")
        return answer is not None and answer[0] == 200

    def status(self) -> Mapping[str, Any]:
        """Return its /status; empty while nothing answers."""
        answer = self._page("status")
        if answer is None or answer[0] != 200:
            return {}
        document = json.loads(answer[1])
        return document if isinstance(document, dict) else {}

    def why_not_ready(self) -> str:
        """Return what /readyz says."""
        answer = self._page("readyz")
        return "no answer" if answer is None else answer[1].strip().replace("\n", ", ")

    def _page(self, name: str) -> tuple[int, str] | None:
        try:
            with _direct.open(f"http://{self.http}/{name}", timeout=2) as answer:
                return answer.status, answer.read().decode()
        except URLError as error:
            code = getattr(error, "code", None)
            return None if code is None else (code, error.read().decode())  # type: ignore[attr-defined]
        except (OSError, ValueError):
            return None

    def _command(self) -> Sequence[str]:
        self.starts += 1
        role = [self.file.kind, str(self.file.path.resolve()), "--http", self.http]
        return [sys.executable, "-m", self.module, *role]

    def _ready(self) -> bool:
        return True  # a role waits for its servers by itself, and whoever broke them must not wait for the role

    def _environment(self) -> Mapping[str, str]:
        return {"PYTHONPATH": str(install.REPOSITORY), **self.environment}


class World:
    """All of it. Use as a context; leaving it ends every process, the files stay.

    `windows` is how many windows the task has; the first one begins `lead` milliseconds after the servers are up;
    before, where it is negative: windows of the past, for gateways that seal by event time.
    `proxied`: every way goes through a proxy of its own: "north-1:mqtt", "city-it:kafka", "sink:influx",
    "sensors:mqtt". `write` writes the trial, as `write_files` does.
    """

    def __init__(
        self,
        directory: Path,
        wanted: Wanted,
        *,
        windows: int,
        lead: int = LEAD,
        proxied: bool = True,
        write: Callable[..., Files] = write_files,
    ) -> None:
        self.directory = directory
        self.wanted = wanted
        self.roles: dict[str, Role] = {}
        self.files: Files
        self.mosquitto = run.Mosquitto(directory / "mosquitto")
        self.influx = run.Influx(directory / "influxdb")
        self._names = role_names(wanted)
        self._write_files = write
        ports = {name: free_port() for name in self._names} if proxied else {}
        self.kafka = run.Kafka(directory / "kafka", advertised={_listener(name): port for name, port in ports.items()})
        self._toxiproxy = Toxiproxy(directory / "toxiproxy")
        self._windows = windows
        self._lead = lead
        self._stack = ExitStack()
        if proxied:
            for name, port in ports.items():
                self._toxiproxy.add(f"{name}:kafka", upstream=self.kafka.inner[_listener(name)], port=port)
                if name in gateway_names():
                    self._toxiproxy.add(f"{name}:mqtt", upstream=self.mosquitto.port)
            self._toxiproxy.add("sink:influx", upstream=self.influx.port)
            self._toxiproxy.add(f"{SENSORS}:mqtt", upstream=self.mosquitto.port)

    @property
    def proxies(self) -> Mapping[str, Proxy]:
        """Every way that can be broken, by its name; empty where nothing is proxied."""
        return self._toxiproxy.proxies

    @property
    def servers(self) -> tuple[run.Server, ...]:
        """The three servers, in the order in which they start."""
        return (self.mosquitto, self.kafka, self.influx)

    @property
    def sensors_mqtt(self) -> tuple[str, int]:
        """Where the sensors publish: host and port."""
        proxy = self.proxies.get(f"{SENSORS}:mqtt")
        return run.HOST, self.mosquitto.port if proxy is None else proxy.port

    def parties(self) -> dict[str, list[Role]]:
        """Return the workers of each party."""
        found: dict[str, list[Role]] = {}
        for role in self.roles.values():
            if role.kind == "party":
                found.setdefault(role.file.name, []).append(role)
        return found

    def heal(self) -> None:
        """Mend every way, and start or wake whoever is away."""
        for proxy in self.proxies.values():
            proxy.heal()
        for server in (*self.servers, *self.roles.values()):
            if server.running:
                server.resume()
            else:
                server.start()

    def __enter__(self) -> Self:
        """Start everything and wait until all roles are ready, but not for the first window."""
        try:
            with ThreadPoolExecutor() as pool:
                starts = [pool.submit(server.start) for server in (*self.servers, self._toxiproxy)]
            for server in (*self.servers, self._toxiproxy):
                self._stack.callback(server.kill)
            for start in starts:
                start.result()
            self._write()
            for role in self.roles.values():
                self._stack.callback(role.kill)
                role.start()
            self.wait_ready(self.roles.values(), until=max(self.files.first / 1000, time.time() + 2 * LEAD / 1000))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill all of them; the directory keeps their logs."""
        self._stack.close()

    def wait_ready(self, roles: Iterable[Role], *, until: float) -> None:
        """Wait until roles are ready.

        Raises:
            ServerError: One has ended, or is not ready at `until` (seconds since 1970).
        """
        waiting = list(roles)
        while waiting := [role for role in waiting if not role.ready]:
            for role in waiting:
                if not role.running:
                    raise run.ServerError(f"{role.name} has ended while it was starting\n{role.last_lines()}")
            if time.time() > until:
                said = "\n".join(f"{role.name}: {role.why_not_ready()}\n{role.last_lines()}" for role in waiting)
                raise run.ServerError(f"{len(waiting)} roles are not ready in time\n{said}")
            time.sleep(0.3)

    def _write(self) -> None:
        now, size = time.time_ns() // 1_000_000, self.wanted.window
        first = -(-(now + self._lead) // size) * size
        ways = {name: self._way(name) for name in self._names}
        self.files = self._write_files(
            self.directory / "trial", self.wanted, ways=ways, first=first, windows=self._windows
        )
        section = KafkaSection(bootstrap_servers=(self.kafka.bootstrap,), security_protocol="PLAINTEXT")
        with admin(section, client_id="faults") as client:
            ensure_topics(client, plan(self.files.task, self.files.topics, partitions=self.wanted.partitions))
        for file in self.files.roles:
            for worker in range(self.wanted.workers if file.kind == "party" else 1):
                name = file.name if worker == 0 else f"{file.name}.{worker + 1}"
                environment = {"SOTTO_INFLUX_TOKEN": self.influx.token} if file.kind == "sink" else {}
                self.roles[name] = Role(self.directory / "roles", file, name=name, environment=environment)

    def _way(self, name: str) -> Addresses:
        def address(way: str, direct: int) -> str:
            proxy = self.proxies.get(f"{name}:{way}")
            return f"{run.HOST}:{direct if proxy is None else proxy.port}"

        return Addresses(
            mqtt="mqtt://" + address("mqtt", self.mosquitto.port),
            kafka=address("kafka", self.kafka.port),
            influx="http://" + address("influx", self.influx.port),
        )


def _listener(role: str) -> str:
    """Return the name of a role's own listener: Kafka takes capital letters and digits."""
    return "".join(letter for letter in role.upper() if letter.isalnum())
