"""`sotto gateway FILE`: the one place of a gateway that meets the real clock, real randomness, signals and servers."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog
from prometheus_client import CollectorRegistry

from ingest.commit import Kept
from ingest.config import GatewayFile
from ingest.decode import Decoders, SourceDecoder
from ingest.disk import SpoolError
from ingest.dryrun import DryRun
from ingest.gateway import Gateway
from ingest.inbox import Inbox
from ingest.metrics import GatewayMetrics
from ingest.mqtt import Mqtt, Subscription
from ingest.pattern import TopicPattern
from ingest.producer import connector
from ingest.publisher import Producer, Publisher
from ingest.room import Bounds
from ingest.service import Clock, Limits, Service, patiently
from ingest.shard import Sharder
from ingest.spool import Spool
from ingest.windows import WindowBook, WindowRules
from protocol.batch import Epoch
from protocol.errors import ConfigError
from protocol.identity import format_identity
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from protocol.units import iso
from protocol.windows import start_of
from runtime import clock
from runtime.files import load
from runtime.keyfiles import read_cards, read_key
from runtime.logs import configure
from runtime.serving import notify_systemd, serve
from runtime.topic_check import TopicCheck, TopicsError, topics_of

_log = structlog.get_logger("sotto.gateway")


def run(
    path: Path,
    *,
    dry_run: bool = False,
    run_for_ms: int | None = None,
    listen: str | None = None,
    log_level: Literal["debug", "info", "warning", "error"] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Run the gateway of a configuration file until SIGTERM, SIGINT, `stop`, or for `run_for_ms`.

    `listen` and `log_level` stand in for what the file says. Raises ConfigError, NotReadyError, and SpoolError where
    the spool cannot be mended by waiting; brokers that are away are waited for.
    """
    config = load(path, GatewayFile)
    task, roster = load(config.task, Task), load(config.roster, Roster)
    roster.verify(task)
    configure(log_level or config.log.level, config.log.format)
    decoders = decoders_of(config, task, roster, where=path.name)
    stop = stop or threading.Event()
    _end_on_signals(stop)
    until = None if run_for_ms is None else clock.monotonic() + run_for_ms
    if dry_run:
        DryRun(config=config, task=task, roster=roster, decoders=decoders, clock=clock.wall, entropy=os.urandom).run(
            stop, until=until, monotonic=clock.monotonic
        )
        return
    key = read_key(config.key)
    check_membership(config, roster, key, where=path.name)
    cards = read_cards(config.roster, roster, task)
    spool = patiently(
        lambda: Spool(config.state, task=task.hash, gateway=config.name, secret=key.storage), stop, _waiting
    )
    try:
        kept, now, nonce = patiently(spool.kept, stop, _waiting), clock.wall(), os.urandom(16)
        epoch = patiently(lambda: spool.begin_epoch(now, nonce), stop, _waiting)
        sharder = Sharder(task=task, roster=roster, key=key, cards=cards, entropy=os.urandom, epoch=epoch)
        book = book_of(config, task, roster, kept, now)
        patiently(lambda: spool.begin_book(book.next, book.contributes_from), stop, _waiting)
        gateway = Gateway(
            decoders=decoders,
            cells=roster.cells(task),
            book=book,
            batch=config.batch,
            max_payload=config.mqtt.max_payload,
            max_rows=task.limits.max_rows,
            sharder=sharder,
            epoch=epoch,
            kept=kept,
            secret=key.storage,
            entropy=os.urandom,
        )
        _serve(
            config,
            task,
            roster,
            gateway,
            spool,
            path=path,
            listen=listen,
            epoch=epoch,
            cold=kept.cold,
            stop=stop,
            until=until,
        )
    finally:
        spool.close()


def _serve(
    config: GatewayFile,
    task: Task,
    roster: Roster,
    gateway: Gateway,
    spool: Spool,
    *,
    path: Path,
    listen: str | None,
    epoch: Epoch,
    cold: bool,
    stop: threading.Event,
    until: int | None,
) -> None:
    inbox = Inbox()
    mqtt = patiently(lambda: mqtt_of(config, spool, inbox), stop, _waiting)
    topics = Topics.of(task, config.kafka.topic_prefix)
    check = TopicCheck(
        kafka=config.kafka,
        task=task,
        topics=topics,
        own=topics_of("gateway", config.name, topics),
        roster=roster,
        file=path,
    )
    connect, wrong = checked(connector(config.kafka, config.client_id), check, stop)
    publisher = Publisher(outbox=spool, topics=topics, connect=connect)
    registry = CollectorRegistry()
    metrics = GatewayMetrics(registry, task, roster)
    service = Service(
        gateway=gateway,
        epoch=epoch.counter,
        spool=spool,
        mqtt=mqtt,
        inbox=inbox,
        publisher=publisher,
        task=task,
        limits=Limits(
            spool=Bounds(
                max_size=config.spool.max_size,
                max_age=config.spool.max_age,
                when_full=config.spool.when_full,
                kafka=", ".join(config.kafka.bootstrap_servers),
                file=path.name,
            ),
            require_sync=config.clock.require_sync and config.clock.seals_by == "wall",
        ),
        clock=Clock(wall=clock.wall, monotonic=clock.monotonic, synchronised=clock.synchronised),
        metrics=metrics,
    )
    server = serve(config.http.listen if listen is None else listen, registry, service.health)
    try:
        publisher.start()
        mqtt.start()
        introduction: dict[str, object] = {
            "gateway": config.name,
            "organisation": config.organisation,
            "task": task.name,
            "roster": roster.version,
            "sources": len(config.source),
            "spool": f"{spool.size}B",
            "seals_by": config.clock.seals_by,
        }
        if config.clock.seals_by == "wall":
            window = start_of(clock.wall(), task.window.size, task.window.utc_offset)
            introduction["window"] = iso(window, task.window.utc_offset)
        if cold:
            introduction["cold"] = True
        _log.info("started", **introduction)
        notify_systemd("READY=1")
        service.run(stop, until)
    finally:
        stop.set()
        notify_systemd("STOPPING=1")
        inbox.close()
        publisher.stop()
        if server is not None:
            server.close()
    if wrong:
        raise wrong[0]


def checked(
    connect: Callable[[], Producer], check: Callable[[], None], stop: threading.Event
) -> tuple[Callable[[], Producer], list[TopicsError]]:
    """Return `connect` with a look at the topics before it, and where what is wrong with them goes.

    Nothing is sent before the look; Kafka being away is the publisher's to wait for. Wrong topics end the gateway:
    what it has taken until then is in the spool.
    """
    wrong: list[TopicsError] = []

    def look_and_connect() -> Producer:
        try:
            check()
        except TopicsError as error:
            wrong.append(error)
            stop.set()
            raise
        return connect()

    return look_and_connect, wrong


def decoders_of(config: GatewayFile, task: Task, roster: Roster, *, where: str) -> Decoders:
    """Compile all sources. Raises ConfigError."""
    return Decoders([SourceDecoder(source, task, roster, where=where) for source in config.source])


def book_of(config: GatewayFile, task: Task, roster: Roster, kept: Kept, now: int) -> WindowBook:
    """Go on with the windows that the spool kept, or begin: by a clock that may be wrong not yet, `Service` does."""
    rules = WindowRules(
        size=task.window.size,
        utc_offset=task.window.utc_offset,
        lateness=task.window.lateness,
        first=max(task.valid_from, roster.effective_from),
        last=task.valid_until,
        seals_by=config.clock.seals_by,
        max_ahead=config.clock.max_ahead,
        idle_after=config.clock.idle_after,
    )
    if kept.cold and config.clock.require_sync and config.clock.seals_by == "wall":
        return WindowBook(rules=rules, heard=now)
    if kept.cold:
        return WindowBook.fresh(rules, now)
    return WindowBook.restored(
        rules, now, following=kept.following, contributes_from=kept.contributes_from, windows=set(kept.windows)
    )


def check_membership(config: GatewayFile, roster: Roster, key: KeyFile, *, where: str) -> None:
    """Check that this key is the one by which the roster knows this gateway. Raises ConfigError."""
    if key.role != "gateway" or key.name != config.name:
        raise ConfigError(
            f'this is the key of {key.role} "{key.name}", the file is for gateway "{config.name}"',
            where=config.key.where or where,
            remedy=f"Make one where it is used: sotto keys new gateway {config.name}",
        )
    entry = roster.gateways.get(config.name)
    if entry is None or entry.organisation != config.organisation:
        belongs = "is not in it" if entry is None else f"belongs to {entry.organisation} there"
        raise ConfigError(
            f"roster {roster.version} has no gateway {config.name} of {config.organisation}: {config.name} {belongs}",
            where=where,
            remedy=f"In it are: {', '.join(roster.gateways)}. Whoever keeps the roster adds it from its card.",
        )
    if entry.identity != key.public_identity:
        raise ConfigError(
            f"gateway {config.name} is in roster {roster.version} with another key: "
            f"{format_identity(entry.identity)}, here {format_identity(key.public_identity)}",
            where=where,
            remedy="Was this device replaced? Your organisation has to sign its new card, and the roster to name it.\n"
            "Or take the key that the roster names back from its backup.",
        )


def mqtt_of(config: GatewayFile, spool: Spool, inbox: Inbox) -> Mqtt:
    """Prepare the connection to MQTT; filters that are no longer configured are unsubscribed.

    A session goes on delivering what was once subscribed to: a ward that was taken out of the file would go on sharing.
    """
    wanted = [
        Subscription(TopicPattern(source.topic).filter, retained=source.retained == "accept")
        for source in config.source
    ]
    filters = {one.filter for one in wanted}
    before = spool.subscriptions()
    spool.subscribe(filters)
    return Mqtt(
        section=config.mqtt, client_id=config.client_id, subscriptions=wanted, remove=before - filters, inbox=inbox
    )


def _waiting(_: SpoolError) -> None:
    """Before the pages are there: the log says what is waited for."""


def _end_on_signals(stop: threading.Event) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
