"""The health pages of a role: /metrics, /healthz, /readyz and /status, by default on loopback only.

/healthz says whether the loop turns, /readyz whether this role may do its work (never red because somebody else is
away), /status what the role is waiting for, /metrics what Prometheus reads. None of them shows a reading or a share.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from protocol.errors import ConfigError
from runtime.sections import host_and_port

_CLIENT_TIMEOUT = 5.0


class Health:
    """What the pages say. Written by the role's loop, read by the server's threads.

    `now` and `clock` are milliseconds of one monotonic clock. `status` is called for /status, in a server thread.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        stale_after: int = 30_000,
        status: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        self._clock = clock
        self._stale_after = stale_after
        self._status = status
        self._beat: int | None = None
        self._ready: dict[str, str | None] = {}  # what must hold -> why it does not; None: it does
        self._lock = threading.Lock()

    def beat(self, now: int | None = None) -> None:
        """Say that the loop turns; systemd's watchdog hears it too."""
        self._beat = self._clock() if now is None else now
        notify_systemd("WATCHDOG=1")

    def set_ready(self, name: str, ok: bool, why: str = "") -> None:
        """Say whether one thing that the work needs is there: `set_ready("kafka", False, "login refused")`."""
        with self._lock:
            self._ready[name] = None if ok else why or "not yet"

    def expect(self, *names: str) -> None:
        """Name things that must hold before the role is ready, and of which nothing is known yet."""
        for name in names:
            self.set_ready(name, ok=False)

    @property
    def healthy(self) -> bool:
        """Whether the loop has turned lately."""
        return self._beat is not None and self._clock() - self._beat <= self._stale_after

    @property
    def unready(self) -> dict[str, str]:
        """What is not there, and why; empty means ready. A role that has said nothing is not ready."""
        with self._lock:
            missing = {name: why for name, why in self._ready.items() if why is not None}
            return missing if self._ready else {"start": "not yet"}

    def status(self) -> dict[str, object]:
        """Return the document of /status: the role's own, and the two answers."""
        return {**self._status(), "healthy": self.healthy, "unready": self.unready}


class Server:
    """A running server; `port` is the real one when the configuration says 0."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The TCP port."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve(listen: str, registry: CollectorRegistry, health: Health, *, where: str | None = None) -> Server | None:
    """Serve the pages in a thread; with `listen` = "" nothing is served and None returned. Raises ConfigError."""
    if not listen:
        return None
    host, port = host_and_port(listen)

    class Handler(_Handler):
        pages: ClassVar[Mapping[str, _Page]] = _pages(registry, health)

    try:
        return Server(_Listener(host, port, Handler))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        what = f"port {port} is in use" if "in use" in reason else f"cannot listen on {listen}: {reason}"
        raise ConfigError(
            what,
            where=where or "[http] listen",
            remedy='Does this role run already? Else choose another port, or "" to switch the pages off.',
        ) from error


def notify_systemd(state: str) -> None:
    """Tell systemd about this process ("READY=1", "WATCHDOG=1", "STOPPING=1"); nothing happens without systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    address = "\0" + address[1:] if address.startswith("@") else address
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.sendto(state.encode(), address)
    except OSError:
        return  # the work goes on without systemd; its watchdog ends a role that cannot reach it


_Page = Callable[[str], tuple[int, str, bytes]]


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), handler)


class _Handler(BaseHTTPRequestHandler):
    pages: ClassVar[Mapping[str, _Page]] = {}
    timeout = _CLIENT_TIMEOUT  # a client that stays silent holds a thread no longer than this
    server_version = "sotto"
    sys_version = ""

    def do_GET(self) -> None:
        page = self.pages.get(self.path.partition("?")[0])
        if page is None:
            code, kind, body = _plain(404, "here are: " + ", ".join(self.pages))
        else:
            try:
                code, kind, body = page(self.headers.get("Accept", ""))
            except Exception as error:  # noqa: BLE001  a page that fails must not end the server's thread
                code, kind, body = _plain(500, type(error).__name__)
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: a scrape every few seconds is no event."""


def _pages(registry: CollectorRegistry, health: Health) -> dict[str, _Page]:
    def metrics(accept: str) -> tuple[int, str, bytes]:
        encode, kind = choose_encoder(accept)
        return 200, kind, encode(registry)

    def healthz(_: str) -> tuple[int, str, bytes]:
        return _plain(200, "ok") if health.healthy else _plain(503, "the loop does not turn")

    def readyz(_: str) -> tuple[int, str, bytes]:
        missing = health.unready
        return (
            _plain(503, "\n".join(f"{name}: {why}" for name, why in missing.items())) if missing else _plain(200, "ok")
        )

    def status(_: str) -> tuple[int, str, bytes]:
        return 200, "application/json", json.dumps(health.status(), default=str).encode() + b"\n"

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz, "/status": status}


def _plain(code: int, text: str) -> tuple[int, str, bytes]:
    return code, "text/plain; charset=utf-8", text.encode() + b"\n"
