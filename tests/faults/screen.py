"""How far a campaign is: one line that changes on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console

from tests.faults.campaign import Told

_EVERY: Final = 15.0
"""Seconds between two lines where there is no terminal on which one line can change."""


@contextmanager
def telling(console: Console) -> Iterator[Told]:
    """Yield what a campaign tells its progress to."""
    if console.is_terminal:
        with console.status("...") as status:
            yield Told(once=status.update, often=status.update)
        return
    last = 0.0

    def once(text: str) -> None:
        console.print(text, markup=False)

    def often(text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            once(text)

    yield Told(once=once, often=often)
