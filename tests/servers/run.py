"""Runs the real servers that `tests/servers/install.py` has installed, each in a directory and on ports of its own.

As a library it is what the fixtures in `tests/conftest.py` use; as a command (`python -m tests.servers run`) it gives a
person a mosquitto, a Kafka and an InfluxDB to try `sotto demo` on. No server outlives the process that started it,
however that process ends.
"""

from __future__ import annotations

import argparse
import atexit
import base64
import contextlib
import ctypes
import http
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from sotto.demo.ports import free_port
from tests.servers import install

HOST = "127.0.0.1"
READY_WITHIN = 90.0  # seconds; Kafka takes 3 on an idle machine, more on one that compiles meanwhile
STOP_WITHIN = 30.0

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
# PR_SET_PDEATHSIG acts when the *thread* that started the child ends, so all are started from one that stays: a test
# may restart a server from a thread of its own.
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="starts-servers")


class ServerError(Exception):
    """A server did not start, or ended by itself."""


class NotInstalledError(ServerError):
    """The servers are not on this machine."""

    def __init__(self) -> None:
        super().__init__(f"the real servers are not in {install.directory()}: run `make servers`")


def installed() -> install.Installed:
    """Return where the servers are.

    Raises:
        NotInstalledError: `make servers` has not run here.
    """
    found = install.installed()
    if found is None:
        raise NotInstalledError
    return found


class Server(ABC):
    """One server process, its files in `directory`. `start` returns when it really answers."""

    name: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        directory.mkdir(parents=True, exist_ok=True)
        atexit.register(self.kill)

    @property
    def running(self) -> bool:
        """Say whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the number of the running process."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the server with the data that it had before, if any, and wait until it is ready."""
        if self.running:
            return
        self._launch(self._command(), self._environment())
        until = time.monotonic() + READY_WITHIN
        while not self._ready():
            if not self.running:
                raise ServerError(f"{self.name} ended while it was starting\n{self.last_lines()}")
            if time.monotonic() > until:
                self.kill()
                raise ServerError(f"{self.name} was not ready after {READY_WITHIN:.0f} s\n{self.last_lines()}")
            time.sleep(0.05)
        self._once_ready()

    def stop(self) -> None:
        """End the server in the orderly way."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process = None

    def kill(self) -> None:
        """End the server as a power failure would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> None:
        """Stop and start on the same ports, with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server: it keeps its connections and answers nobody."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill the server: nobody needs what it has."""
        self.kill()
        atexit.unregister(self.kill)

    @abstractmethod
    def _command(self) -> Sequence[str]: ...

    @abstractmethod
    def _ready(self) -> bool: ...

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _once_ready(self) -> None:  # noqa: B027  (most servers have nothing left to do after a start)
        """Do what is left to do when the server answers."""

    def _launch(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with self.log.open("ab") as log:
            self._log_from = log.tell()
            self._process = _starter.submit(
                subprocess.Popen[bytes],
                command,
                cwd=self.directory,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us; we end the servers in our own order
                preexec_fn=_die_with_parent,
            ).result()

    def _said(self) -> str:
        """Return what the server has written since it was last started."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return log.read().decode(errors="replace")

    def last_lines(self) -> str:
        """Return the end of the log, for an error."""
        lines = "\n".join(f"    | {line}" for line in self._said().splitlines()[-15:])
        return f"    its log: {self.log}\n{lines}"


class Mosquitto(Server):
    """An MQTT broker with the limits of docker/mosquitto/mosquitto.conf."""

    name = "mosquitto"

    def __init__(self, directory: Path, *, port: int = 0) -> None:
        super().__init__(directory)
        self.host = HOST
        self.port = port or free_port()
        self.url = f"mqtt://{HOST}:{self.port}"

    def _command(self) -> Sequence[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        ours = {
            "listener": f"{self.port} {HOST}",
            "persistence_location": f"{data}/",
            "user": "root",  # or it changes to a user who may not write here; ignored where we are not root
        }
        shipped = install.REPOSITORY / "docker" / "mosquitto" / "mosquitto.conf"
        kept = [line for line in shipped.read_text().splitlines() if line.split(" ")[0] not in ours]
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text("\n".join([*kept, *(f"{key} {value}" for key, value in ours.items())]) + "\n")
        return [str(installed().mosquitto), "-c", str(configuration)]

    def _ready(self) -> bool:
        return _listens(self.port)


class Kafka(Server):
    """A broker that is its own controller (KRaft). It creates no topics by itself.

    Each name in `advertised` is one more listener: it listens on the port `inner[name]`, and tells its clients that it
    is on the port `advertised[name]`, where a proxy to `inner[name]` has to be. Otherwise a client would ask for the
    brokers through the proxy, and then go to them directly.
    """

    name = "kafka"

    def __init__(self, directory: Path, *, port: int = 0, advertised: Mapping[str, int] | None = None) -> None:
        super().__init__(directory)
        self.host = HOST
        self.port = port or free_port()
        self.advertised = dict(advertised or {})
        self.inner = {name: free_port() for name in self.advertised}
        self._controller_port = free_port()
        self.bootstrap = f"{HOST}:{self.port}"

    def _command(self) -> Sequence[str]:
        data = self.directory / "data"
        configuration = self.directory / "server.properties"
        listeners = {"PLAINTEXT": self.port} | self.inner | {"CONTROLLER": self._controller_port}
        advertised = {"PLAINTEXT": self.port} | self.advertised
        settings = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@{HOST}:{self._controller_port}",
            "listeners": _addresses(listeners),
            "advertised.listeners": _addresses(advertised),
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in listeners),
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            # The default of 50 partitions makes the first member of the first group wait for seconds.
            "offsets.topic.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
        }
        configuration.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not (data / "meta.properties").exists():
            self._format(configuration)
        return [*self._java("-Xms256m", "-Xmx512m"), "kafka.Kafka", str(configuration)]

    def _java(self, *options: str) -> list[str]:
        found = installed()
        logs = f"-Dlog4j2.configurationFile={install.HERE / 'kafka' / 'log4j2.properties'}"
        return [str(found.java), *options, logs, "-cp", f"{found.kafka}/*"]

    def _format(self, configuration: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        tool = [*self._java("-XX:TieredStopAtLevel=1"), "kafka.tools.StorageTool"]
        done = subprocess.run(
            # "=": an id may begin with a hyphen
            [*tool, "format", f"--cluster-id={cluster}", "-c", str(configuration)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerError(f"Kafka cannot format its directory {self.directory}\n{done.stdout}{done.stderr}")

    def _ready(self) -> bool:
        # It listens before it is registered with its controller, and refuses work until then.
        return "Kafka Server started" in self._said() and _listens(self.port)


class Influx(Server):
    """An InfluxDB 2.7 with the organisation and bucket "sotto" and a token with all rights."""

    name = "influxdb"

    def __init__(self, directory: Path, *, port: int = 0, token: str = "") -> None:
        super().__init__(directory)
        self.host = HOST
        self.port = port or free_port()
        self.url = f"http://{HOST}:{self.port}"
        self.org = "sotto"
        self.bucket = "sotto"
        self.token = token or secrets.token_urlsafe(32)
        self._set_up = False

    def _command(self) -> Sequence[str]:
        places = {name: self.directory / name for name in ("bolt", "sqlite", "engine")}
        paths = [f"--{name}-path={place}" for name, place in places.items()]
        address = f"--http-bind-address={HOST}:{self.port}"
        return [str(installed().influxd), *paths, address, "--reporting-disabled", "--log-level=info"]

    def _environment(self) -> Mapping[str, str]:
        # Or it reads a configuration from the directory and home that we were started in.
        return {"INFLUXD_CONFIG_PATH": str(self.directory), "HOME": str(self.directory)}

    def _ready(self) -> bool:
        try:
            status, answer = self._ask("GET", "/health")
        except (OSError, http.client.HTTPException):
            return False
        return status == http.HTTPStatus.OK and b'"pass"' in answer

    def _once_ready(self) -> None:
        if self._set_up:
            return
        wanted = {"username": "sotto", "password": secrets.token_urlsafe(16), "token": self.token}
        wanted |= {"org": self.org, "bucket": self.bucket}
        status, answer = self._ask("POST", "/api/v2/setup", json.dumps(wanted))
        if status != http.HTTPStatus.CREATED:
            raise ServerError(f"InfluxDB refuses its set-up: {answer.decode()}\n{self.last_lines()}")
        self._set_up = True

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()


class Servers:
    """All three: they start together and end together."""

    def __init__(self, directory: Path, *, mqtt_port: int = 0, kafka_port: int = 0, influx_port: int = 0) -> None:
        self.mosquitto = Mosquitto(directory / "mosquitto", port=mqtt_port)
        self.kafka = Kafka(directory / "kafka", port=kafka_port)
        self.influx = Influx(directory / "influxdb", port=influx_port)

    @property
    def all(self) -> tuple[Server, ...]:
        """List them in the order in which they are started."""
        return (self.mosquitto, self.kafka, self.influx)

    def __enter__(self) -> Self:
        """Start all of them side by side: each waits mostly for itself."""
        with ThreadPoolExecutor() as pool:
            starts = [pool.submit(server.start) for server in self.all]
        try:
            for start in starts:
                start.result()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Kill all of them."""
        for server in reversed(self.all):
            server.__exit__(kind, error, at)


def _addresses(ports: Mapping[str, int]) -> str:
    return ",".join(f"{name}://{HOST}:{port}" for name, port in ports.items())


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False


def _port(text: str) -> int:
    port = int(text)
    if port and _listens(port):
        raise argparse.ArgumentTypeError(f"port {port} is in use: name another one, or 0 for any free one")
    return port


def main(arguments: Sequence[str]) -> int:
    """Start all three, say how to use them, and stay until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.servers run",
        description="Run a mosquitto, a Kafka and an InfluxDB, with empty data, until Ctrl-C.",
    )
    for name, default in (("mqtt", 1883), ("kafka", 9092), ("influx", 8086)):
        # The default as text: argparse then checks it like one that was typed in.
        parser.add_argument(
            f"--{name}-port", type=_port, default=str(default), help=f"default {default}; 0: any free one"
        )
    ports = parser.parse_args(arguments)
    end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: end.set())
    with tempfile.TemporaryDirectory(prefix="sotto-servers-") as directory:
        print(f"starting; data and logs are in {directory} and go away at the end", flush=True)
        servers = Servers(
            Path(directory), mqtt_port=ports.mqtt_port, kafka_port=ports.kafka_port, influx_port=ports.influx_port
        )
        try:
            with servers:
                addresses = (
                    f"--mqtt {servers.mosquitto.url} --kafka {servers.kafka.bootstrap} --influx {servers.influx.url}"
                )
                print("ready. In another terminal:\n")
                print(f"  SOTTO_INFLUX_TOKEN={servers.influx.token} \\\n    sotto demo {addresses}\n")
                print("Ctrl-C ends them.", flush=True)
                while not end.wait(1):
                    for server in servers.all:
                        if not server.running:
                            raise ServerError(
                                f"{server.name} has ended\n    its log was: {server.log.read_text()[-2000:]}"
                            )
        except ServerError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    return 0
