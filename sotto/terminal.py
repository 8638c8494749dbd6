"""What the command line says, and how it says that something is wrong."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from protocol.errors import SottoError
from runtime.unexpected import places


@dataclass(slots=True)
class _Manner:
    quiet: bool = False
    traces: bool = False
    role: bool = False


manner = _Manner()
"""Set once, from the options before the command."""


def say(text: str) -> None:
    """Print what went well on standard output, unless --quiet."""
    if not manner.quiet:
        sys.stdout.write(text + "\n")


def answer(text: str) -> None:
    """Print what was asked for on standard output, always."""
    sys.stdout.write(text + "\n")


def error_text(error: SottoError, kind: str = "error") -> str:
    """Write an error as `error: gateway.toml, line 30: ...` with what to do below it, indented."""
    head = f"{error.where}: {error.what}" if error.where else error.what
    remedy = [line.strip() for line in (error.remedy or "").splitlines()]
    return "\n".join([f"{kind}: {head}", *(f"    {line}" for line in remedy)])


def fail(error: SottoError) -> None:
    """Print an error on standard error; with --log-level debug also where in the code it came from."""
    if manner.traces:
        sys.stderr.write(places(error) + "\n")
    sys.stderr.write(error_text(error) + "\n")
