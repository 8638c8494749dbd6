"""Errors of configuration files: file, line, key, what to do, and never a value."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from protocol.errors import ConfigError
from protocol.units import Duration, ExactDecimal
from runtime.files import RelativePath, SecretFile, SecretText, fault, load, loads


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Path(_Section):
    path: str
    scale: ExactDecimal = Decimal(1)


class _Source(_Section):
    topic: str
    time_format: str = "iso8601"
    measures: dict[str, str | _Path] = {}


class _Mqtt(_Section):
    url: str = Field(description="where the broker is", examples=['"mqtts://broker.example:8883"'])
    password: SecretText | None = None
    version: Literal["5", "3.1.1"] = "5"


class _File(_Section):
    name: str
    task: RelativePath | None = None
    key: SecretFile | None = None
    rows: int = Field(default=1, ge=1)
    wait: Duration = 1_000
    on: bool = False
    tags: tuple[str, ...] = ()
    mqtt: _Mqtt | None = None
    source: tuple[_Source, ...] = ()


HERE = Path("/etc/sotto/gateway.toml")


def _error(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        loads(text, _File, path=HERE)
    return caught.value


def test_unknown_key_names_line_table_and_the_likely_key() -> None:
    """Error 1 of operators.md 2.3."""
    error = _error('name = "n"\n\n[[source]]\ntopic = "air/{area}/{station}"\ntime_fromat = "ms"\n')
    assert error.where == "gateway.toml, line 5"
    assert error.what == 'unknown key "time_fromat" in [[source]] "air/{area}/{station}"'
    assert error.remedy == 'Did you mean "time_format"?  Known here: topic, time_format, measures.'


def test_a_key_in_the_wrong_table_is_sent_home() -> None:
    """A key after a [table] line belongs to that table, which surprises people."""
    error = _error('name = "n"\n[mqtt]\nurl = "u"\nrows = 5\n')
    assert error.what == 'unknown key "rows" in [mqtt]'
    assert error.remedy is not None
    assert "the top of the file" in error.remedy


@pytest.mark.parametrize(
    "secret", ['"hunter2"', '"env:"', '"file:"', '"env:not a name"', "12345", '["hunter2"]', '"http:hunter2"']
)
def test_clear_text_secret_is_refused_and_not_repeated(secret: str) -> None:
    """Error 2 of operators.md 2.3; neither the message nor its causes hold the value."""
    error = _error(f'name = "n"\n[mqtt]\nurl = "u"\npassword = {secret}\n')
    assert error.where == "gateway.toml, line 4"
    assert error.what == "[mqtt] password is written in clear text"
    assert error.remedy is not None
    assert error.remedy.startswith(
        'Put it into a file (password = "file:mqtt.password") or the environment (password = "env:MQTT_PASSWORD").'
    )
    assert "change the password first" in error.remedy
    assert error.__cause__ is None
    assert error.__suppress_context__
    assert "hunter2" not in str(error)
    assert "12345" not in str(error)


def test_secret_is_read_from_a_file_beside_the_configuration(tmp_path: Path) -> None:
    """Relative to the file's folder; the trailing line break is cut; only one; the repr shows the place."""
    (tmp_path / "mqtt.password").write_text("hunter2 \r\n")
    (tmp_path / "c.toml").write_text('name = "n"\n[mqtt]\nurl = "u"\npassword = "file:mqtt.password"\n')
    file = load(tmp_path / "c.toml", _File)
    assert file.mqtt is not None
    assert file.mqtt.password is not None
    assert file.mqtt.password.reveal() == "hunter2 "
    assert "hunter2" not in repr(file)
    assert file.mqtt.password.where == "c.toml, line 4: password"


def test_secret_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`env:NAME`, and an error with place and name when it is not set."""
    file = loads('name = "n"\n[mqtt]\nurl = "u"\npassword = "env:MQTT_PASSWORD"\n', _File, path=HERE)
    assert file.mqtt is not None
    assert file.mqtt.password is not None
    monkeypatch.setenv("MQTT_PASSWORD", "hunter2")
    assert file.mqtt.password.reveal() == "hunter2"
    monkeypatch.delenv("MQTT_PASSWORD")
    with pytest.raises(ConfigError, match="MQTT_PASSWORD is not set"):
        file.mqtt.password.reveal()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "cannot be read"), (b"", "is empty"), (b"\xff\xfe", "does not hold a text")]
)
def test_an_unreadable_secret_names_the_line(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A missing, empty or binary secret file is an error with the line of the key, not a stack trace."""
    if content is not None:
        (tmp_path / "p").write_bytes(content)
    file = loads('name = "n"\n[mqtt]\nurl = "u"\npassword = "file:p"\n', _File, path=tmp_path / "c.toml")
    assert file.mqtt is not None
    assert file.mqtt.password is not None
    with pytest.raises(ConfigError, match=reason) as caught:
        file.mqtt.password.reveal()
    assert caught.value.where == "c.toml, line 4: password"


def test_paths_start_at_the_folder_of_the_file() -> None:
    """A relative path is resolved there, an absolute one stays."""
    assert loads('name = "n"\ntask = "task.toml"', _File, path=HERE).task == Path("/etc/sotto/task.toml")
    assert loads('name = "n"\ntask = "/srv/task.toml"', _File, path=HERE).task == Path("/srv/task.toml")


def test_a_key_must_be_a_file() -> None:
    """`SecretFile` takes no environment variable."""
    assert _error('name = "n"\nkey = "env:KEY"').what.startswith("key: a file is needed here")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('rows = "5"', "rows: a whole number is needed here, without quotes, like rows = 3"),
        ("rows = true", "rows: a whole number is needed here, without quotes, like rows = 3"),
        ("rows = 0", "rows: at least 1 is needed here"),
        ('on = "yes"', "on: true or false is needed here, without quotes, like on = true"),
        ("name = 5", 'name: a text in quotes is needed here, like name = "..."'),
        ("wait = 5", 'wait: a duration is written like "50ms", "5m", "1h30m" or "7d"'),
        ('tags = "a"', 'tags: a list is needed here, like tags = ["...", "..."]'),
        ('tags = ["a", 5]', 'tags: a text in quotes is needed here, like 1 = "..."'),
        ("mqtt = 5", "mqtt: a table is needed here, like [mqtt]"),
    ],
)
def test_a_wrong_type_is_one_sentence_with_an_example(line: str, what: str) -> None:
    """No number as text, no text as number, no duration without a unit."""
    text = line if line.startswith("name") else f'name = "n"\n{line}'
    assert _error(text).what == what.replace("like 1 =", "like tags =")


def test_a_missing_key_says_what_it_is_for() -> None:
    """The place is the table; the remedy is the field's own description and example."""
    error = _error('name = "n"\n[mqtt]\n')
    assert (error.where, error.what) == ("gateway.toml, line 2", "[mqtt] url is missing")
    assert error.remedy == 'Where the broker is.  Example: url = "mqtts://broker.example:8883"'


def test_an_impossible_choice_lists_the_possible_ones() -> None:
    """A literal names its values and the nearest one, not the one given."""
    error = _error('name = "n"\n[mqtt]\nurl = "u"\nversion = "3.1"\n')
    assert error.what == "[mqtt] version: this is not one of the possible values"
    assert error.remedy == 'Did you mean "3.1.1"?  Possible: "5", "3.1.1".'


def test_a_fault_inside_one_form_of_a_value_is_the_one_that_is_told() -> None:
    """`co = { pth = ... }` is a misspelt table, not "a text is needed here"."""
    error = _error('name = "n"\n[[source]]\ntopic = "t"\n[source.measures]\nco = { path = "$.co", scal = 2 }\n')
    assert error.where == "gateway.toml, line 5"
    assert error.what.startswith('unknown key "scal" in [source.measures.co] of "t"')
    assert error.remedy is not None
    assert 'Did you mean "scale"?' in error.remedy


def test_all_faults_are_told_the_first_in_full() -> None:
    """Sorted by line, five at most."""
    error = _error('nam = "n"\nrows = 0\nwait = 5\non = 5\ntags = 1\nmqtt = 1\nfoo = 1\nbar = 1\n')
    assert error.where == "gateway.toml, line 1"
    assert error.remedy is not None
    lines = error.remedy.splitlines()
    assert sum(line.startswith("Also line") for line in lines) == 4
    assert lines[-1] == "and 4 more"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = \n", 1),
        ("ok = 1\na = 1 b = 2\n", 2),
        ('a = "x\n', 1),
        ("[a]\nb=1\n[a]\n", 3),
        ("a = [1,\n2", 2),
        ("x = 99e99999999999999999\n", 1),
    ],
)
def test_a_syntax_error_has_its_line(text: str, line: int) -> None:
    """What tomllib refuses is an error of ours, with the line."""
    error = _error(text)
    assert error.where in (f"gateway.toml, line {line}", f"gateway.toml, line {line + 1}")
    assert error.__suppress_context__


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8: exit code 2 and a sentence."""
    (tmp_path / "latin.toml").write_bytes(b'name = "n"\nx = "\xe4"\n')
    for path, what in [
        (tmp_path / "no.toml", "there is no file"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.toml", "not UTF-8"),
    ]:
        with pytest.raises(ConfigError, match=what) as caught:
            load(path, _File)
        assert caught.value.exit_code == 2


def test_numbers_are_exact_decimals() -> None:
    """0.1 in a file is one tenth, not the nearest binary fraction."""
    file = loads(
        'name = "n"\n[[source]]\ntopic = "t"\n[source.measures]\nco = { path = "p", scale = 0.1 }', _File, path=HERE
    )
    measure = file.source[0].measures["co"]
    assert isinstance(measure, _Path)
    assert str(measure.scale) == "0.1"


def test_a_models_own_rule_blames_a_key() -> None:
    """`fault` places the error of a model's validator at one of its keys."""

    class Rule(_Section):
        low: int = 0
        high: int = 0

        @model_validator(mode="after")
        def _check(self) -> Rule:
            if self.low > self.high:
                raise fault("low", "is above high", "Swap them.")
            return self

    class Outer(_Section):
        inner: Rule

    with pytest.raises(ConfigError) as caught:
        loads("[inner]\nhigh = 1\nlow = 2\n", Outer, path=HERE)
    assert caught.value.where == "gateway.toml, line 3"
    assert caught.value.what == "[inner] low is above high"
    assert caught.value.remedy == "Swap them."
