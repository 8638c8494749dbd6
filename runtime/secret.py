"""Secrets in configuration files: only where they are ("file:PATH" or "env:NAME"); and paths beside the file.

A configuration file gets mailed, committed and shown on screens. So a secret in clear text is refused, and what stands
in its place is read when it is used, never when it is loaded: a file can be checked where its secrets are not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ValidationInfo
from pydantic_core import PydanticCustomError

from protocol.errors import ConfigError

CLEAR_TEXT = "clear_text_secret"
_LONGEST = 65_536


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Secret:
    """Where a secret is. `where` is the place in the configuration file, for errors."""

    kind: Literal["file", "env"]
    target: str
    where: str | None = None

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __str__(self) -> str:
        """Return the reference, which is no secret."""
        return f"{self.kind}:{self.target}"

    @property
    def path(self) -> Path:
        """The file of a "file:" secret, absolute or from the folder of the configuration file."""
        if self.kind != "file":
            raise ConfigError(f"{self} is not a file", where=self.where, remedy='Write "file:PATH".')
        return Path(self.target)

    def reveal(self) -> str:
        """Read the secret now; one trailing line break is cut, as editors add it. Raises ConfigError."""
        if self.kind == "env":
            text = os.environ.get(self.target)
            if text is None:
                raise ConfigError(
                    f"the environment variable {self.target} is not set",
                    where=self.where,
                    remedy=f'Set {self.target} where this process is started, or write "file:PATH".',
                )
        else:
            text = self._read_file()
        text = text.removesuffix("\n").removesuffix("\r")
        if not text:
            raise ConfigError(f"the secret in {self} is empty", where=self.where, remedy="Put the secret there.")
        return text

    def _read_file(self) -> str:
        try:
            with self.path.open("rb") as file:
                data = file.read(_LONGEST + 1)
        except OSError as error:
            raise ConfigError(
                f"the secret in {self.target} cannot be read: {(error.strerror or 'unknown error').lower()}",
                where=self.where,
                remedy="Write it into that file, readable for the user that runs this role, and for nobody else.",
            ) from error
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = "\0"
        if len(data) > _LONGEST or "\0" in text:
            # `from None`: the decoder's error would carry the secret's bytes into a stack trace
            raise ConfigError(
                f"{self.target} does not hold a text", where=self.where, remedy="Is it the right file?"
            ) from None
        return text


def _parse(value: object, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    kind, colon, target = value.partition(":") if isinstance(value, str) else ("", "", "")
    context = info.context or {}
    place: Callable[[str], str | None] = context.get("place", lambda _: None)
    if colon and target.strip() and isinstance(value, str):
        if kind == "file":
            return Secret(kind="file", target=str(_from_folder(target, info)), where=place(value))
        if kind == "env" and target.isidentifier():
            return Secret(kind="env", target=target, where=place(value))
    # The value goes into no message: it may be the secret itself.
    raise PydanticCustomError(CLEAR_TEXT, "is written in clear text")


def _parse_file(value: object, info: ValidationInfo) -> Secret:
    secret = _parse(value, info)
    if secret.kind != "file":
        msg = 'a file is needed here, like "file:north-1.key"'
        raise ValueError(msg)
    return secret


def _from_folder(text: str, info: ValidationInfo) -> Path:
    folder: Path = (info.context or {}).get("folder", Path())
    return folder / Path(text).expanduser()


def _parse_path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value.strip() or "\0" in value:
        msg = 'a path is needed here, like "task.toml"; it starts at the folder of this file'
        raise ValueError(msg)
    return _from_folder(value, info)


SecretText = Annotated[Secret, BeforeValidator(_parse)]
"""A secret that is a short text: a password, a token."""

SecretFile = Annotated[Secret, BeforeValidator(_parse_file)]
"""A secret that stays a file: a key."""

RelativePath = Annotated[Path, BeforeValidator(_parse_path)]
"""A path of something that is not secret; a relative one starts at the folder of the configuration file."""
