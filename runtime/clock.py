"""The clocks of this machine, and whether anybody has set them. Only `main` uses it; all else is told the time."""

from __future__ import annotations

import ctypes
import time
from typing import Final

_TIME_ERROR: Final = 5  # adjtimex(2): the clock is not synchronised
_TIMEX_SIZE: Final = 512  # struct timex has 208 bytes on 64-bit Linux; with modes = 0 it is only read into


def wall() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def monotonic() -> int:
    """Milliseconds from anywhere."""
    return time.monotonic_ns() // 1_000_000


def synchronised() -> bool | None:
    """Tell whether the kernel says that the clock is set by NTP or the like; None where it cannot be asked.

    A Raspberry Pi has no clock chip: it starts in the past, and would take every reading for one from the future.
    """
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(_TIMEX_SIZE))
    except (OSError, AttributeError):
        return None
    return None if state < 0 else bool(state != _TIME_ERROR)
