"""Why a message or a reading is not used: one word, which is counted and logged; never the value."""

from __future__ import annotations

from typing import Final

REASONS: Final = (
    "empty",
    "malformed",
    "too_large",
    "retained",
    "missing_field",
    "not_a_number",
    "out_of_range",
    "unknown_label",
    "bad_time",
    "time_without_zone",
    "time_out_of_range",
    "outside_task",
    "ahead",
    "late",
    "cold_start",
    "too_many_rows",
    "too_far_ahead",
    "dropped",
)


class RefusedError(Exception):
    """A message, or a row of it, that is not used. `reason` is one of REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
