"""JSONPath (RFC 9535) to one value or to many, with a short way for plain paths such as `$.a['b'][0]`."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from jsonpath import CompoundJSONPath, JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.selectors import IndexSelector, NameSelector

Document: TypeAlias = Any
"""What a JSON message, or a part of it, can be."""

_ENVIRONMENT = JSONPathEnvironment(strict=True)


class Missing:
    """The type of MISSING: there is nothing at a path, which is not the same as null."""

    __slots__ = ()


MISSING: Final = Missing()


class SeveralError(ValueError):
    """A path that should lead to one value leads to several."""


class JsonPath:
    """A compiled path. Raises ValueError where the text is not a JSONPath."""

    __slots__ = ("_path", "key", "plain", "text")

    def __init__(self, text: str) -> None:
        try:
            self._path = _ENVIRONMENT.compile(text)
        except JSONPathError as error:
            why = str(error).splitlines()[0]
            msg = f"this is not a JSONPath ({why}); a key with a dot or a space goes into ['...'], like $['PM2.5']"
            raise ValueError(msg) from None
        self.text = text
        self.plain = _plain(self._path)
        """The steps of a plain path, None for one with wildcards, slices or filters."""
        self.key = self.plain[0] if self.plain and len(self.plain) == 1 and isinstance(self.plain[0], str) else None
        """The key of a path of one step, which a caller can look up without calling anything."""

    def one(self, document: Document) -> Document:
        """Return the one value at the path, or MISSING. Raises SeveralError."""
        if self.plain is None:
            found = self._path.findall(document)
            if len(found) > 1:
                raise SeveralError
            return found[0] if found else MISSING
        for step in self.plain:
            if isinstance(step, str):
                if type(document) is not dict or step not in document:
                    return MISSING
            elif type(document) is not list or not -len(document) <= step < len(document):
                return MISSING
            document = document[step]
        return document

    def all(self, document: Document) -> list[Document]:
        """Return the values at the path, in order."""
        if self.plain is None:
            return list(self._path.findall(document))
        one = self.one(document)
        return [] if one is MISSING else [one]


def _plain(path: JSONPath | CompoundJSONPath) -> tuple[str | int, ...] | None:
    if isinstance(path, CompoundJSONPath):
        return None
    steps: list[str | int] = []
    for segment in path.segments:
        selectors = segment.selectors
        if type(segment).__name__ != "JSONPathChildSegment" or len(selectors) != 1:
            return None
        if type(selectors[0]) is NameSelector:
            steps.append(selectors[0].name)
        elif type(selectors[0]) is IndexSelector:
            steps.append(selectors[0].index)
        else:
            return None
    return tuple(steps)
