"""What the disk, or SQLite on it, says when it fails, in the words of the person who has to mend it.

*Transient* is what may be well again without a restart: a full disk, a lock, a disk that does not answer. The gateway
waits then and tries the same commit again. All else ends it: a damaged file or a folder of somebody else does not mend
itself. In both cases no message is acknowledged that is not stored, so the MQTT broker still has it.
"""

from __future__ import annotations

import errno
import os
import pwd
import sqlite3
from pathlib import Path
from typing import Final

from protocol.errors import SottoError
from runtime.unexpected import in_brief

_KEPT: Final = "Nothing is lost: what is not stored is not acknowledged, so the MQTT broker keeps it, as far as it can."
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FORBIDDEN: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP}
)
_SQLITE: Final = {
    "SQLITE_FULL": "full",
    "SQLITE_BUSY": "locked",
    "SQLITE_LOCKED": "locked",
    "SQLITE_NOMEM": "memory",
    "SQLITE_IOERR": "silent",
    "SQLITE_PROTOCOL": "silent",
    "SQLITE_READONLY": "forbidden",
    "SQLITE_CANTOPEN": "forbidden",
    "SQLITE_PERM": "forbidden",
    "SQLITE_AUTH": "forbidden",
    "SQLITE_CORRUPT": "damaged",
    "SQLITE_NOTADB": "damaged",
}


class SpoolError(SottoError):
    """The spool cannot be used. `transient` where it may work again without a restart (a disk that was full)."""

    def __init__(self, what: str, *, where: str, remedy: str, transient: bool) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.transient = transient


_TRANSIENT: Final = {
    "full": ("the disk is full", "Make room on it; the gateway goes on by itself."),
    "locked": ("the spool is locked by another program", "Close what else has it open; the gateway goes on by itself."),
    "memory": ("there is no memory left for the spool", "Look what else runs here; the gateway goes on by itself."),
    "silent": ("the disk does not answer as it should", "Look at it (dmesg); the gateway goes on when it works again."),
}


def spool_error(error: sqlite3.Error | OSError, path: Path) -> SpoolError:
    """Say what happened to the spool at `path`."""
    kind = _kind(error)
    if kind in _TRANSIENT:
        what, remedy = _TRANSIENT[kind]
        return SpoolError(what, where=str(path), remedy=f"{_KEPT}\n{remedy}", transient=True)
    if kind == "forbidden":
        return SpoolError(
            f"the spool cannot be written{_owners(path)}",
            where=str(path),
            remedy=f"{_KEPT}\nThe folder and all in it must belong to the user that runs the gateway,"
            " on a disk that is mounted for writing.",
            transient=False,
        )
    if kind == "damaged":
        return damaged(path)
    return SpoolError(f"the spool does not work: {in_brief(error)}", where=str(path), remedy=_KEPT, transient=False)


def damaged(path: Path) -> SpoolError:
    """What is in the file is not what was written."""
    folder = path.parent
    return SpoolError(
        "the spool is damaged",
        where=str(path),
        remedy=f"Look at the disk (dmesg), then: mv {folder} {folder}.damaged, and start again. The gateway begins\n"
        "cold: it contributes from the next whole window on. What Kafka had not got is lost; what it had stands.\n"
        "Messages that are not stored yet are still with the MQTT broker. Do not repair the file by hand: with a part\n"
        "of its memory the gateway could count a reading twice.",
        transient=False,
    )


def _kind(error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        number = error.errno or 0
        if number in _FULL:
            return "full"
        if number in _FORBIDDEN:
            return "forbidden"
        return "memory" if number == errno.ENOMEM else "silent" if number == errno.EIO else ""
    name = getattr(error, "sqlite_errorname", "")
    return next((kind for prefix, kind in _SQLITE.items() if name.startswith(prefix)), "")


def _owners(path: Path) -> str:
    """Whose the first thing on the way to the spool is that is not ours: nine times of ten that is the reason."""
    me = os.geteuid()
    beside = [path.parent / name for name in (f"{path.name}-wal", f"{path.name}-shm", "lock", "reserve")]
    for one in (path.parent, path, *beside):
        try:
            owner = one.stat().st_uid
        except OSError:
            continue
        if me not in (owner, 0):
            return f": {one} belongs to {_name(owner)}, the gateway runs as {_name(me)}"
    return ""


def _name(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return f"user {user}"
