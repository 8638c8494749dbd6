"""`sotto status FILE`: what is every open window waiting for? It asks the running role's /status page, nothing else.

Every process of a role has a page of its own: with several workers of a party, this is about one of them.
"""

from __future__ import annotations

import errno
import http.client
import ipaddress
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from protocol.errors import ConfigError, NotReadyError
from runtime.sections import HttpSection, host_and_port
from sotto.report import report
from sotto.roles import Role, kind_of, read_role, read_task
from sotto.terminal import answer

_PATIENCE: Final = 5.0
_MOST: Final = 16 << 20
"""Bytes of a page: MOST_DUE windows of each partition with all their gateways are less."""


def status(
    file: Annotated[Path, typer.Argument(help="The configuration of any role.", show_default=False)],
    *,
    http: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Where this process has its pages, instead of \\[http] listen."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The page as it is, for machines.")] = False,
) -> None:
    """What is every open window waiting for?

    Exit status: 0 it runs and is ready, 3 it does not answer or says that it is not ready, 2 wrong file.
    """
    role, kind = read_role(file), kind_of(file)
    listen = _listen(role) if http is None else http
    where = f"{file.name}: [http] listen" if http is None else "--http"
    document = ask(listen, kind=kind, name=role.name, task=read_task(role).id, where=where)
    if as_json:
        answer(json.dumps(document, indent=2))
    else:
        answer("\n".join(map(_harmless, _words(document, role))))
    if document["unready"] or not document["healthy"]:
        raise typer.Exit(NotReadyError.exit_code)


def _words(document: dict[str, Any], role: Role) -> list[str]:
    task = read_task(role)
    try:
        return report(document, task=task, now=time.time_ns() // 1_000_000)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise NotReadyError(
            "the page of this role is not as it should be",
            where=f"{document['role']} {role.name}",
            remedy="Does another version of Sotto run there? --json shows the page as it is.",
        ) from error


def _harmless(line: str) -> str:
    """A page holds texts of servers; what moves the cursor or colours a terminal is not printed."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)


def ask(listen: str, *, kind: str, name: str, task: str, where: str) -> dict[str, Any]:
    """Return the document of the role at `listen`. Raises ConfigError; NotReadyError where it is not the one, or none.

    `kind`, `name` and `task` (its id) are what the configuration says; whoever else answers is not who was asked.
    """
    if not listen:
        raise NotReadyError(
            "this role has no pages to ask",
            where=where,
            remedy='listen = "" switches them off. Give it an address, such as "127.0.0.1:9782", and start the role'
            " again.",
        )
    try:
        host, port = host_and_port(listen)
    except ValueError as error:
        raise ConfigError(f"not an address: {error}", where=where) from None
    address = f"{_reachable(host)}:{port}"
    code, body = _get(_reachable(host), port, where=where)
    try:
        document = json.loads(body) if code == http.client.OK else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not {"unready", "healthy"} <= document.keys():
        raise NotReadyError(
            f"something answers at {address} that is not a role of Sotto (HTTP {code})",
            where=where,
            remedy="Is another program using this port? Give this role another one.",
        )
    found = document.get("role"), document.get("name", name)
    if found[0] is None:
        raise NotReadyError(
            f"the role at {address} is starting", where=where, remedy="Ask again in a moment, or read its log."
        )
    if found != (kind, name):
        raise NotReadyError(
            _harmless(f"{found[0]} {found[1]} answers at {address}, not {kind} {name}"),
            where=where,
            remedy="Two roles have the same address in their files, or this one was started with --http.",
        )
    if document.get("task_id", task) != task:
        raise NotReadyError(
            _harmless(f"the {kind} {name} at {address} works in another task: {document['task_id']}, here {task}"),
            where=where,
            remedy="Is it this file's role? If the task's file was changed since its start, put the agreed one back.",
        )
    return document


def _get(host: str, port: int, *, where: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(host, port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/status")
        response = connection.getresponse()
        return response.status, _read(response)
    except (OSError, http.client.HTTPException) as error:
        silent = isinstance(error, TimeoutError)
        raise NotReadyError(
            f"nothing answers at {host}:{port}" + (" in 5 s: the process hangs" if silent else f" ({_reason(error)})"),
            where=where,
            remedy="Is the role running, on this machine? Start it, or look at its log: sotto check says what it lacks."
            "\nIf it was started with --http, or is another worker of the same file: --http HOST:PORT.",
        ) from error
    finally:
        connection.close()


def _read(response: http.client.HTTPResponse) -> bytes:
    """Read a page. Whoever answers without end, or a byte at a time, is none of ours. Raises TimeoutError, OSError."""
    body, until = bytearray(), time.monotonic() + _PATIENCE
    while part := response.read1(1 << 16):
        body += part
        if len(body) > _MOST:
            raise OSError(errno.EMSGSIZE, "its answer has no end")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(body)


def _reason(error: OSError | http.client.HTTPException) -> str:
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _reachable(host: str) -> str:
    """Where to ask a role that listens on all addresses: here."""
    try:
        everywhere = ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host
    return ("::1" if ":" in host else "127.0.0.1") if everywhere else host


def _listen(role: Role) -> str:
    section: HttpSection = role.file.http
    return section.listen
