"""An HTTP server that answers as a test says and records what it was sent: for what a real InfluxDB does seldom."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = tuple[int, str]
"""Status and message."""


@dataclass
class Stub:
    """`answer` is asked with the lines of each write; `lines` holds those of writes that it took."""

    url: str = ""
    answer: Callable[[Sequence[str]], Answer] = lambda _lines: (204, "")
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)


@contextmanager
def running() -> Iterator[Stub]:
    """Serve on a free port of loopback."""
    stub = Stub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
            stub.requests.append((self.path, dict(self.headers.items())))
            status, message = stub.answer(lines)
            if status == 204:
                stub.lines += lines
            self._say(status, message)

        def do_GET(self) -> None:
            self._say(404, "not here")

        def _say(self, status: int, message: str) -> None:
            body = b"" if status == 204 else ('{"code":"invalid","message":"' + message + '"}').encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
