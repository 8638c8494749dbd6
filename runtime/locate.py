"""Find the line on which a key of a TOML document stands, so that an error can name it.

`tomllib` gives values without places. This scanner runs over text that `tomllib` has already accepted, so it only has
to know where keys, strings and brackets begin and end; it never judges a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_SCALAR = re.compile(r"[^,\]\}#\n]*")
_STRING = re.compile(r'"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\])*"|\'[^\']*\'', re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", "e": "\x1b", '"': '"', "\\": "\\"}


def lines_of(text: str) -> dict[KeyPath, int]:
    """Return the line (from 1) of every key, table and array element of a valid TOML document.

    A path holds names and indices: `("source", 1, "measures", "co", "scale")`.
    """
    return _Scanner(text).document()


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """Return the line of `path`, or of the nearest thing that encloses it; 1 for the document itself."""
    for end in range(len(path), 0, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return 1


class _Scanner:
    """One pass over the text; `_at` is the place that has been reached."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._lengths: dict[KeyPath, int] = {}  # arrays of tables: how many [[...]] there were

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_BLANK)
        while self._at < len(self._text):
            if self._text.startswith("[", self._at):
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)
        return self._lines

    def _header(self) -> KeyPath:
        many = self._text.startswith("[[", self._at)
        line = self._line()
        self._at += 2 if many else 1
        names = list(self._key())
        self._at += 2 if many else 1
        path: KeyPath = ()
        for number, name in enumerate(names):
            path = (*path, name)
            self._lines.setdefault(path, line)
            if many and number == len(names) - 1:
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:  # a later header goes into the newest element
                path = (*path, self._lengths[path] - 1)
                self._lines.setdefault(path, line)
        return path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._key():
            path = (*path, name)
            self._lines.setdefault(path, line)
        self._at += 1  # the sign =
        self._skip(_SPACE)
        self._value(path)

    def _key(self) -> Iterator[str]:
        while True:
            self._skip(_SPACE)
            if self._text[self._at] in "\"'":
                yield self._string()
            else:
                yield self._skip(_BARE)
            self._skip(_SPACE)
            if not self._text.startswith(".", self._at):
                return
            self._at += 1

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._skip(_STRING)
        elif first in "[{":
            self._at += 1
            self._elements(path, "]" if first == "[" else "}")
        else:
            self._skip(_SCALAR)

    def _elements(self, path: KeyPath, end: str) -> None:
        index = 0
        while True:
            self._skip(_BLANK)
            if self._text[self._at] == end:
                self._at += 1
                return
            if end == "]":
                self._lines[(*path, index)] = self._line()
                self._value((*path, index))
            else:
                self._pair(path)
            index += 1
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1

    def _string(self) -> str:
        token = self._skip(_STRING)
        if token.startswith("'"):
            return token[1:-1]
        return _ESCAPE.sub(_unescape, token[1:-1])

    def _skip(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        assert found is not None, "internal error: the scanner met text that tomllib accepted"
        self._at = found.end()
        return found[0]

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1


def _unescape(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    return chr(int(digits, 16)) if digits else _ESCAPES[found[3]]
