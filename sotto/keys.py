"""`sotto keys`: make keys where they are used; show what is public of them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from protocol.errors import ConfigError
from protocol.identity import format_fingerprint, format_identity
from protocol.keys import KeyFile
from runtime.keyfiles import fingerprint, read_card, read_key, write_new_key
from sotto.terminal import answer, say

app = typer.Typer(help="Make keys where they are used; show what is public of them.", no_args_is_help=True)

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@app.command()
def new(
    role: Annotated[Literal["gateway", "party", "collector", "organisation"], typer.Argument(show_default=False)],
    name: Annotated[str, typer.Argument(help="As in the roster or the task, like north-1.", show_default=False)],
    *,
    folder: Annotated[Path, typer.Option("--dir", help="Where to write both files.")] = Path(),
    sealing: Annotated[
        Literal["mlkem768-x25519", "x25519"], typer.Option(help="As \\[scheme] sealing in the task.")
    ] = "mlkem768-x25519",
) -> None:
    """Make a key: NAME.key (secret, it never leaves this machine) and NAME.card (public)."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f'"{name}" cannot be a name', remedy="A name is made of a-z, 0-9 and hyphens, like north-1.")
    made = KeyFile.generate(role=role, name=name, suite=sealing, entropy=os.urandom)
    key, card = write_new_key(folder, made)
    say(f"Wrote {key} (secret, mode 0600) and {card} (public).")
    say(f"Fingerprint, to be compared by telephone:  {fingerprint(made)}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A .key or a .card file.", show_default=False)],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Print the public part of a key or card, and its fingerprint. Nothing secret is printed."""
    card = read_card(file) if _is_card(file) else read_key(file).card()
    public = {
        "role": card.role,
        "name": card.name,
        "identity": format_identity(card.identity),
        "fingerprint": fingerprint(card),
    }
    if card.suite is not None:
        public |= {"sealing": card.suite, "sealing_key": format_fingerprint(card.fingerprint)}
    if as_json:
        answer(json.dumps(public, indent=2))
        return
    names = {"sealing_key": "sealing key", "fingerprint": "by telephone"}
    for name, value in public.items():
        answer(f"{names.get(name, name):<13} {value}")


def _is_card(file: Path) -> bool:
    if file.suffix == ".card":
        return True
    if file.suffix == ".key":
        return False
    try:
        read_card(file)
    except ConfigError:
        return False
    return True
