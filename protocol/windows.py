"""Window arithmetic in integer milliseconds of event time. A window is half-open: [start, start + size).

Windows are named by their start. They are aligned to local midnight of 1970-01-01 at the task's offset from UTC, so
that a window of a day begins when the day does.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import NDArray


@overload
def start_of(time: int, size: int, utc_offset: int) -> int: ...
@overload
def start_of(time: NDArray[np.int64], size: int, utc_offset: int) -> NDArray[np.int64]: ...
def start_of(time: int | NDArray[np.int64], size: int, utc_offset: int) -> int | NDArray[np.int64]:
    """Return the start of the window that holds `time`; all in milliseconds, also for arrays (int64).

    Floor division rounds towards minus infinity, so times before 1970 are right as well.
    """
    return (time + utc_offset) // size * size - utc_offset


def is_start(time: int, size: int, utc_offset: int) -> bool:
    """Tell whether a window starts at `time`."""
    return start_of(time, size, utc_offset) == time
