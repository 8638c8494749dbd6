"""The single checks of `sotto check` that look at the world: clock, brokers, disks, keys. Each returns a detail.

Nothing is changed: no topic, no session of a broker, no file stays.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.errors import ConfigError, NotReadyError
from protocol.identity import format_identity
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.task import Task
from runtime.clock import synchronised
from sotto.extras import needs

if TYPE_CHECKING:
    from ingest.config import GatewayFile
    from sinks.config import SinkFile

_PATIENCE = 5.0
_SLOW_COMMIT_MS = 50


class SkippedError(Exception):
    """This check does not apply, or cannot be made here; the role may start all the same."""


def gateway_key(file: GatewayFile, roster: Roster, key: KeyFile, where: str) -> str:
    """Check that the roster knows the gateway by this key."""
    with needs("gateway"):
        from ingest.main import check_membership  # noqa: PLC0415  each role is installed by itself

    check_membership(file, roster, key, where=where)
    return ""


def operator_key(key: KeyFile, task: Task, roster: Roster, *, kind: str, name: str, where: str) -> str:
    """Check that the task knows a party or the collector by this key, and the roster its sealing key."""
    if kind == "party" and name not in task.party:
        raise ConfigError(
            f"{name} is no party of this task",
            where=f"{where}: name",
            remedy=f"Its parties are: {', '.join(task.party_names)}.",
        )
    wanted = (task.party[name] if kind == "party" else task.collector).identity
    if key.role != kind or key.public_identity != wanted:
        raise ConfigError(
            f"{name} is in the task with another key: {format_identity(wanted)},"
            f" here {format_identity(key.public_identity)}",
            where=f"{where}: key",
            remedy="Is it the right file? An identity of the task never changes; a lost one means a new task.",
        )
    card = key.card()
    if card.sealing_key is None or card.fingerprint != roster.sealing_keys.get(name):
        raise ConfigError(
            f"the sealing key of {name} is not the one in roster {roster.version}",
            where=f"{where}: key",
            remedy="Shares are sealed to the roster's key; this one could not open them. Use the file that has it.",
        )
    return ""


def sources(file: GatewayFile, task: Task, roster: Roster, *, where: str) -> str:
    """Check that each [[source]] gives the task's labels, and no measure that the task does not have."""
    with needs("gateway"):
        from ingest.decode import SourceDecoder  # noqa: PLC0415  each role is installed by itself

    for source in file.source:
        SourceDecoder(source, task, roster, where=where)
    return f"{len(file.source)}"


def clock(*, needed: bool) -> str:
    """Check that the system clock is set by NTP or the like."""
    state = synchronised()
    if state:
        return "synchronised"
    if state is None:
        raise SkippedError("this machine does not say whether its clock is set")
    if not needed:
        raise SkippedError("not synchronised; deadlines are by this clock, sealing is not")
    raise NotReadyError(
        "this machine's clock is not synchronised",
        remedy="Nothing is sealed until it is right. Run: timedatectl set-ntp true\n"
        "On a Raspberry Pi also, once: systemctl enable systemd-time-wait-sync",
    )


def mqtt(file: GatewayFile, *, where: str) -> str:
    """Connect and log in to the gateway's MQTT broker."""
    with needs("gateway"):
        from ingest.mqtt import Mqtt  # noqa: PLC0415  each role is installed by itself
    section = file.mqtt
    # A client id of its own: under the gateway's, the broker would end its connection and take its messages.
    client_id = f"{file.client_id}-check-{os.getpid()}"
    client = Mqtt(section=section, client_id=client_id, subscriptions=(), remove=(), inbox=_Nowhere(), persistent=False)
    place = f"{section.broker.host}:{section.broker.port}"
    client.start()
    try:
        end = time.monotonic() + _PATIENCE
        while not client.connected and time.monotonic() < end:
            time.sleep(0.02)
        if client.connected:
            return place
        reason = _way(section.broker.host, section.broker.port) or client.last_error
        raise NotReadyError(
            f"the MQTT broker at {place} cannot be used: {reason}",
            where=f"{where}: [mqtt] url",
            remedy="Is it running, is the port right, is the login allowed?",
        )
    finally:
        client.stop()


def spool(file: GatewayFile, task: Task, key: KeyFile, *, where: str) -> str:
    """Write into the folder of the spool and measure how long a commit takes there; look whether a start can go on."""
    folder = file.state
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        commit = statistics.median(_commit_ms(there) for _ in range(5))
    except OSError as error:
        raise NotReadyError(
            f"the spool cannot be written in {folder}: {(error.strerror or 'unknown error').lower()}",
            where=f"{where}: state_dir",
            remedy=f"It belongs to the user that runs the gateway: mkdir -p {folder}; chown sotto {folder}",
        ) from error
    slow = ', slow: [batch] max_age = "10s" spares the card' if commit > _SLOW_COMMIT_MS else ""
    return f"commit {commit:.0f} ms{slow}{_stored(file, task, key)}"


def _stored(file: GatewayFile, task: Task, key: KeyFile) -> str:
    """Read what a former start has left, as the next one will. Raises SpoolError, NotReadyError."""
    with needs("gateway"):
        from ingest.spool import Spool  # noqa: PLC0415  each role is installed by itself
        from ingest.spool_file import InUseError  # noqa: PLC0415
    if not (file.state / "spool.db").exists():
        return ""
    try:
        stored = Spool(file.state, task=task.hash, gateway=file.name, secret=key.storage, reading=True)
    except InUseError:
        return ", in use: the gateway runs"
    try:
        stored.kept()
    finally:
        stored.close()
    return ""


def database(file: SinkFile, task: Task) -> str:
    """Ask the sink's database whether it takes results, and whether it keeps them from the task's beginning on."""
    with needs("sink"):
        from sinks.main import open_store  # noqa: PLC0415  each role is installed by itself
    if file.sqlite is not None:
        path = file.sqlite.path
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            remedy = f"Make {path.parent} writable for the user that runs the sink."
            raise NotReadyError(f"{path} cannot be written", where="[sqlite] path", remedy=remedy)
        return str(path)
    now = time.time_ns() // 1_000_000
    store = open_store(file, task, clock=lambda: now, entropy=os.urandom)
    try:
        return store.check(valid_from=task.valid_from, now=now) or store.where
    finally:
        store.close()


def _way(host: str, port: int) -> str | None:
    """Say what is wrong with the way to a port; None where it is open."""
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except socket.gaierror:
        return "there is no such host name"
    except OSError as error:
        return "no answer" if isinstance(error, TimeoutError) else (error.strerror or "unknown error").lower()
    return None


class _Nowhere:
    """Where messages of a check go."""

    def put(self, *_: object) -> None:
        """Forget it."""


def _commit_ms(folder: Path) -> float:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"\0" * 4096)
        begun = time.perf_counter()
        file.flush()
        os.fsync(file.fileno())
        return (time.perf_counter() - begun) * 1000
