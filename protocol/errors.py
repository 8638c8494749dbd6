"""The one base error of Sotto, and the few kinds that callers tell apart.

An error says what is wrong, where, and what to do; never a value, never a secret (operators read these
on shared screens).
"""

from __future__ import annotations


class SottoError(Exception):
    """Something a person has to mend.

    `what` is the fault in one sentence, `where` the place (file, line, key), `remedy` what to do about it.
    `exit_code` is the process's exit status: 1 failed while running, 2 wrong use or configuration, 3 not ready.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\n    {self.remedy}" if self.remedy else head


class ConfigError(SottoError):
    """A file or an argument is wrong."""

    exit_code = 2


class NotReadyError(SottoError):
    """The files are right, but the role could not start now."""

    exit_code = 3


class WireError(SottoError):
    """Bytes that are not a valid record for this reader: counted by `reason`, skipped, never fatal.

    `reason` is a short word with underscores, usable as a metric label.
    """

    def __init__(self, reason: str, what: str | None = None) -> None:
        super().__init__(what or reason.replace("_", " "))
        self.reason = reason
