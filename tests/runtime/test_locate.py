"""Lines of keys in TOML documents."""

from __future__ import annotations

import tomllib

import pytest

from runtime.locate import line_of, lines_of

DOCUMENT = '''\
name = "x" # a comment with [brackets] and "quotes"
"quoted.key" = 1
a.b.'c d' = 2

[mqtt]
url = "mqtt://h # not a comment"
text = """
[not.a.table]
key = "no"
"""
[[source]]
topic = "a"
list = [
  1,  # one
  { x = 1, "y" = [2, 3] },
]
[source.labels]
area = { from = "{station}", map = { Dingling = "outer" } }
[[source]]
topic = "b"
[source.measures.co]
path = '$.co'
[ party . "city-it" ]
since = 2016-12-01 00:00:00+08:00
empty = ""
end = true
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("name",), 1),
        (("quoted.key",), 2),
        (("a", "b", "c d"), 3),
        (("mqtt",), 5),
        (("mqtt", "url"), 6),
        (("mqtt", "text"), 7),
        (("source", 0), 11),
        (("source", 0, "topic"), 12),
        (("source", 0, "list", 0), 14),
        (("source", 0, "list", 1, "y", 1), 15),
        (("source", 0, "labels"), 17),
        (("source", 0, "labels", "area", "map", "Dingling"), 18),
        (("source", 1, "topic"), 20),
        (("source", 1, "measures", "co", "path"), 22),
        (("party", "city-it", "since"), 24),
        (("party", "city-it", "end"), 26),
    ],
)
def test_each_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    """Tables, arrays of tables, inline tables, dotted and quoted keys are all found where they stand."""
    tomllib.loads(DOCUMENT)
    assert lines_of(DOCUMENT)[path] == line


def test_a_missing_key_is_placed_at_its_table() -> None:
    """What is not there is blamed on what should hold it; without that, on line 1."""
    lines = lines_of(DOCUMENT)
    assert line_of(lines, ("source", 1, "sensor")) == 19
    assert line_of(lines, ("nothing",)) == 1


def test_escapes_in_keys_are_read_as_toml_reads_them() -> None:
    """A key written with escapes has the name that tomllib gives it."""
    text = '"a\\u00e4\\t" = 1\n"\\"q\\"" = 2\n'
    assert set(lines_of(text)) == {(key,) for key in tomllib.loads(text)}
