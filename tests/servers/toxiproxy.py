"""Breaks connections on purpose: a toxiproxy of our own, and one `Proxy` for each way that may be broken.

    proxies = Toxiproxy(directory)
    mqtt = proxies.add("mqtt", upstream=mosquitto.port)          # sensors are told mqtt.port
    with proxies:
        mqtt.half_open()
        mqtt.heal()

A proxy has its port from the beginning, so that a broker which advertises the port can be started first or last.
"""

from __future__ import annotations

import http
import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sotto.demo.ports import free_port
from tests.servers import run

# Whoever has a proxy for the web in the environment must not reach this machine through it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ANSWERS_WITHIN = 60.0  # seconds: a busy machine is no failure
_BOTH_WAYS = ("upstream", "downstream")  # to the server, and from it


class Toxiproxy(run.Server):
    """One process with any number of proxies; after a restart it has the same ones, healed."""

    name = "toxiproxy"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.port = free_port()
        self.proxies: dict[str, Proxy] = {}

    def add(self, name: str, *, upstream: int, port: int = 0) -> Proxy:
        """Put a proxy on `port` (0: any free one) in front of the server on port `upstream` of this machine."""
        if name in self.proxies:
            raise run.ServerError(f"toxiproxy has a proxy {name} already")
        proxy = Proxy(toxiproxy=self, name=name, port=port or free_port(), upstream=upstream)
        self.proxies[name] = proxy
        if self.running:
            self._create(proxy)
        return proxy

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> None:
        """Send a command to its HTTP API.

        Raises:
            urllib.error.HTTPError: It refuses; an OSError, as all that can go wrong here.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{run.HOST}:{self.port}{path}", data, method=method)
        with _direct.open(request, timeout=_ANSWERS_WITHIN):
            pass

    def _command(self) -> Sequence[str]:
        return [str(run.installed().toxiproxy), "-host", run.HOST, "-port", str(self.port), "-seed", "1"]

    def _ready(self) -> bool:
        try:
            self.ask("GET", "/version")
        except OSError:
            return False
        return True

    def _once_ready(self) -> None:
        for proxy in self.proxies.values():
            self._create(proxy)

    def _create(self, proxy: Proxy) -> None:
        ends = {"listen": f"{run.HOST}:{proxy.port}", "upstream": f"{run.HOST}:{proxy.upstream}"}
        self.ask("POST", "/proxies", {"name": proxy.name, "enabled": True, **ends})


@dataclass(frozen=True, kw_only=True)
class Proxy:
    """A way to one server. A new fault takes the place of the one before; `heal` takes the last one away."""

    toxiproxy: Toxiproxy
    name: str
    port: int
    upstream: int

    @property
    def address(self) -> str:
        """Return what a client is told in place of the server's address."""
        return f"{run.HOST}:{self.port}"

    def cut(self) -> None:
        """End all connections and refuse new ones, as when the server's machine is up and the server is not."""
        self.heal()
        self._enable(on=False)

    def latency(self, ms: int, jitter: int = 0) -> None:
        """Deliver everything `ms` +- `jitter` milliseconds later, in either direction."""
        self.heal()
        self._add("latency", latency=ms, jitter=jitter)

    def half_open(self) -> None:
        """Keep connections, accept new ones, and let what is sent vanish: as a firewall that has lost its table.

        What has vanished does not come back: `heal` ends the connections that lost something.
        """
        self.heal()
        self._add("timeout", timeout=0)

    def slow_close(self, ms: int) -> None:
        """Let a connection that one end closes stay open for the other end, `ms` milliseconds long."""
        self.heal()
        self._add("slow_close", delay=ms)

    def heal(self) -> None:
        """Make it a good connection again."""
        self._enable(on=True)
        for way in _BOTH_WAYS:
            self._remove(way)

    def _enable(self, *, on: bool) -> None:
        self.toxiproxy.ask("POST", f"/proxies/{self.name}", {"enabled": on})

    def _add(self, kind: str, **attributes: int) -> None:
        for way in _BOTH_WAYS:
            toxic = {"name": way, "type": kind, "stream": way, "toxicity": 1.0, "attributes": attributes}
            self.toxiproxy.ask("POST", f"/proxies/{self.name}/toxics", toxic)

    def _remove(self, way: str) -> None:
        try:
            self.toxiproxy.ask("DELETE", f"/proxies/{self.name}/toxics/{way}")
        except urllib.error.HTTPError as error:
            if error.code != http.HTTPStatus.NOT_FOUND:  # there is none to take away
                raise
