"""Configuration files: strict TOML into frozen pydantic models; errors name file, line and key and say what to do.

All errors of a file are found at once. No message repeats a value: a person may have put a secret in the wrong place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from protocol.errors import ConfigError
from runtime.faults import Fault, fault, faults_of
from runtime.locate import KeyPath, line_of, lines_of
from runtime.secret import RelativePath, Secret, SecretFile, SecretText

__all__ = ["RelativePath", "Secret", "SecretFile", "SecretText", "fault", "load", "loads", "read_toml"]

Model = TypeVar("Model", bound=BaseModel)
_Toml: TypeAlias = Any  # what tomllib returns
_MOST_FAULTS = 5
_LONGEST_FILE = 16 * 1024 * 1024
_SYNTAX_PLACE = re.compile(r"\s*\(at (?:line (\d+), column \d+|end of document)\)$")


def load(path: Path, model: type[Model]) -> Model:
    """Read one configuration file. Raises ConfigError with all its faults, the first in full."""
    return loads(_text(path), model, path=path)


def loads(text: str, model: type[Model], *, path: Path) -> Model:
    """Like `load`, for a text that would stand at `path`: errors name it, relative paths start at its folder."""
    data = _parse(text, path.name)
    lines = lines_of(text)
    context = {"folder": path.parent, "place": lambda value: _place(data, lines, path.name, value)}
    try:
        return model.model_validate(data, strict=True, context=context)
    except ValidationError as error:
        # `from None`: pydantic's own error holds the values, and a stack trace would print them
        raise _config_error(faults_of(error, model, data), lines, path.name) from None


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file without a model: to see which role it is for. Raises ConfigError."""
    return _parse(_text(path), path.name)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_FILE + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no file {path}",
            remedy="Is the name right? Relative names in a file start at that file's folder.",
        ) from None
    except OSError as error:
        what = f"the file {path} cannot be read: {(error.strerror or 'unknown error').lower()}"
        raise ConfigError(what, remedy="A file is needed that the user running this command may read.") from error
    if len(data) > _LONGEST_FILE:
        raise ConfigError(f"the file {path} is larger than 16 MiB", remedy="Is it the right file?")
    try:
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            "this is not UTF-8 text",
            where=f"{path.name}, line {line}",
            remedy="Save the file as UTF-8.",
        ) from None


def _parse(text: str, name: str) -> dict[str, Any]:
    try:
        data = tomllib.loads(text, parse_float=Decimal)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError, ArithmeticError) as error:
        found = _SYNTAX_PLACE.search(str(error))
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        what = _SYNTAX_PLACE.sub("", str(error)) if found else "a value is not valid"
        raise ConfigError(
            f"this is not TOML: {what[:1].lower()}{what[1:]}",
            where=f"{name}, line {line}",
            remedy='Texts stand in quotes (name = "north-1"), lists in brackets, each key on a line of its own.',
        ) from None
    return {key: _frozen(value) for key, value in data.items()}


def _frozen(value: _Toml) -> _Toml:
    """Turn arrays into tuples: the models are frozen, and strict about it."""
    if isinstance(value, dict):
        return {key: _frozen(inner) for key, inner in value.items()}
    return tuple(_frozen(inner) for inner in value) if isinstance(value, list) else value


def _place(data: Mapping[str, Any], lines: Mapping[KeyPath, int], name: str, value: str) -> str | None:
    """Say where in the file a text stands: "gateway.toml, line 60: sasl_password"."""
    for path, line in lines.items():
        found: Any = data
        for part in path:
            found = found[part]
        if found == value and isinstance(found, str):
            return f"{name}, line {line}: {path[-1]}"
    return None


def _config_error(faults: list[Fault], lines: Mapping[KeyPath, int], name: str) -> ConfigError:
    located = sorted(((line_of(lines, fault.path), fault) for fault in faults), key=lambda pair: pair[0])
    (line, first), rest = located[0], located[1:]
    remedy = [first.remedy] if first.remedy else []
    remedy += [f"Also line {line}: {fault.what}" for line, fault in rest[: _MOST_FAULTS - 1]]
    if len(rest) >= _MOST_FAULTS:
        remedy.append(f"and {len(rest) - _MOST_FAULTS + 1} more")
    return ConfigError(first.what, where=f"{name}, line {line}", remedy="\n".join(remedy) or None)
