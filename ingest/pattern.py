"""Topic patterns of MQTT with named levels: `air/{area}/{station}` subscribes to `air/+/+` and captures two names.

`{name}`, `+` and `#` stand for what they stand for in MQTT (5.0, section 4.7): one level, one level, all further
levels.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


class TopicPattern:
    """One compiled pattern. Raises ValueError, with the remedy, for a pattern that MQTT would not take."""

    __slots__ = ("_regex", "filter", "names", "text")

    def __init__(self, text: str) -> None:
        levels = text.split("/")
        if not text or "\0" in text or len(text.encode()) > 65_535:
            msg = 'a topic is written like "air/{area}/{station}"'
            raise ValueError(msg)
        names: list[str] = []
        regex, plain = [], []
        for number, level in enumerate(levels):
            named = _NAME.fullmatch(level)
            if level == "#":
                if number != len(levels) - 1:
                    msg = "# is possible as the last level only"
                    raise ValueError(msg)
            elif named:
                if named[1] in names:
                    msg = f"{{{named[1]}}} is there twice"
                    raise ValueError(msg)
                names.append(named[1])
                regex.append("([^/]*)")
            elif level == "+":
                regex.append("[^/]*")
            elif any(character in level for character in "+#{}"):
                msg = f'a level is either a name, + or {{name}}, not a mixture like "{level}"'
                raise ValueError(msg)
            else:
                regex.append(re.escape(level))
            plain.append("+" if named else level)
        pattern = "/".join(regex)
        if levels[-1] == "#":
            pattern = f"{pattern}(?:/.*)?" if regex else ".*"  # a/# matches a as well
        # Topics that begin with $ belong to the broker: a pattern that begins with a wildcard does not see them.
        guard = r"(?!\$)" if plain[0] in "+#" else ""
        self.text = text
        self.filter = "/".join(plain)
        self.names = tuple(names)
        self._regex = re.compile(guard + pattern, re.DOTALL)

    def match(self, topic: str) -> dict[str, str] | None:
        """Return what the names stand for in `topic`, or None where the pattern does not fit."""
        found = self._regex.fullmatch(topic)
        return None if found is None else dict(zip(self.names, found.groups(), strict=True))
