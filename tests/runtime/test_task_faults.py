"""Errors of a task's jobs: the line of the entry, what is wrong, what is possible."""

from __future__ import annotations

from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.task import Task
from runtime.files import loads
from sotto.init import write_trial

ENTRY = '[[joint]]\nname = "first"\njob = "threshold"\nmeasure = "no2"\nlimit = 1\n'


@pytest.mark.parametrize(
    ("change", "line", "what", "remedy"),
    [
        (('"no2"', '"no"'), 1, "joint second: no is no measure of the task", ""),
        (('"threshold"', '"treshold"'), 3, '[[joint]] "second" job: this is not one of', 'Did you mean "threshold"?'),
        (('job = "threshold"', ""), 1, '[[joint]] "second" job is missing', "It says what kind"),
    ],
)
def test_a_fault_of_a_job_is_told_at_its_entry(
    tmp_path: Path, change: tuple[str, str], line: int, what: str, remedy: str
) -> None:
    """Whether pydantic finds it or the jobs' own checks: the second entry is named, with its line."""
    text = write_trial(tmp_path / "air").task.read_text() + ENTRY
    second = ENTRY.replace("first", "second").replace(*change)
    with pytest.raises(ConfigError) as raised:
        loads(text + second, Task, path=Path("task.toml"))
    assert raised.value.where == f"task.toml, line {text.count(chr(10)) + line}"
    assert what in raised.value.what
    assert remedy in (raised.value.remedy or "")
