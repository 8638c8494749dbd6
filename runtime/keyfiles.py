"""Key files and cards on disk: a secret file that others can read is refused, and none is ever overwritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from protocol.errors import ConfigError
from protocol.identity import format_identity, spoken_fingerprint
from protocol.keys import Card, KeyFile
from protocol.roster import Roster
from protocol.task import Task
from runtime.secret import Secret

_LONGEST = 65_536


def read_key(key: Path | Secret, *, where: str | None = None) -> KeyFile:
    """Read a key file. Raises ConfigError when others than its owner can read it, or when it is damaged.

    Given as the `key` of a configuration file, errors name the line there.
    """
    path, where = (key, where) if isinstance(key, Path) else (key.path, where or key.where)
    try:
        with path.open("rb") as file:
            state = os.fstat(file.fileno())  # of the opened file: the name could point elsewhere a moment later
            data = file.read(_LONGEST)
    except OSError as error:
        raise ConfigError(
            f"the key {path} cannot be read: {(error.strerror or 'unknown error').lower()}",
            where=where,
            remedy="Make one where it is used: sotto keys new ROLE NAME; it is never sent or copied.",
        ) from error
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"the key {path} can be read by others (mode {mode:04o}, owner {_owner(state.st_uid)})",
            where=where,
            remedy=f"Run: chmod 600 {path}   (and chown it to the user that runs this role)\n"
            "If the disk has ever been copied as an image, make a new key: sotto keys new ROLE NAME",
        )
    # Not "replace": a damaged secret must not be decoded to another one; the error shows no part of it.
    return KeyFile.from_text(data.decode("ascii", "ignore"), where=str(path))


def read_card(path: Path) -> Card:
    """Read a card and check its own signature. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:_LONGEST]
    except OSError as error:
        raise ConfigError(
            f"the card {path} cannot be read: {(error.strerror or 'unknown error').lower()}",
            remedy="Cards are public; ask whoever sent you the roster for the folder cards/.",
        ) from error
    return Card.from_text(text, where=str(path))


def read_cards(roster_path: Path, roster: Roster, task: Task) -> Mapping[str, Card]:
    """Read the cards of all parties and of the collector, from `cards/` beside the roster.

    A card counts only if it is what the roster pins: its sealing key has the roster's fingerprint and its identity the
    task's. Raises ConfigError.
    """
    operators = {**task.party, "collector": task.collector}
    cards = {}
    for name, operator in sorted(operators.items()):
        path = roster_path.parent / "cards" / f"{name}.card"
        card = read_card(path)
        if card.identity != operator.identity:
            raise ConfigError(
                f"the card {path.name} is of another {name} than the task names",
                where=str(path),
                remedy=f"task {format_identity(operator.identity)}, card {format_identity(card.identity)}.\n"
                "Ask for the right card.",
            )
        if card.sealing_key is None or card.fingerprint != roster.sealing_keys.get(name):
            raise ConfigError(
                f"the card {path.name} has another sealing key than the roster names",
                where=str(path),
                remedy="Shares would be sealed to a key that nobody has agreed to. Ask for the present card or roster.",
            )
        cards[name] = card
    return cards


def write_new_key(folder: Path, key: KeyFile, *, cards: Path | None = None) -> tuple[Path, Path]:
    """Write NAME.key (mode 0600) and NAME.card; return both paths. Raises ConfigError rather than overwrite a key."""
    cards = folder if cards is None else cards
    folder.mkdir(parents=True, exist_ok=True)
    cards.mkdir(parents=True, exist_ok=True)
    path = folder / f"{key.name}.key"
    try:
        # O_EXCL: who replaces a key by mistake loses what was sealed to it. The mode holds from the first byte on.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"there is a key {path} already",
            remedy="A key is never overwritten. Choose another --dir, or move the old key away first.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"the key {path} cannot be written: {(error.strerror or '').lower()}", remedy="Choose --dir."
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.to_text())
        file.flush()
        os.fsync(file.fileno())
    card = cards / f"{key.name}.card"
    card.write_text(key.card_text(), encoding="ascii")
    return path, card


def fingerprint(key: KeyFile | Card) -> str:
    """Return what people compare by telephone."""
    return spoken_fingerprint(key.public_identity if isinstance(key, KeyFile) else key.identity)


def _owner(uid: int) -> str:
    try:
        import pwd  # noqa: PLC0415  there is none on Windows, where modes mean little

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
