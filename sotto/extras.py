"""Each role is installed by itself; using another one is an error that names what to install, not a stack trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import ConfigError

_OURS = ("protocol", "mpc_ops", "runtime", "ingest", "streams", "sinks", "sotto")


@contextmanager
def needs(extra: str) -> Iterator[None]:
    """Import inside this block what the extra brings: a gateway runs where Faust is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _OURS:
            raise
        raise ConfigError(
            f'this installation has no "{extra}" part: {missing} is missing',
            remedy=f"Run, in the same virtual environment and in Sotto's directory: pip install '.[{extra}]'",
        ) from error
