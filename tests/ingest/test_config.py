"""gateway.toml: defaults, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.config import parse_broker
from ingest.decode import SourceDecoder
from ingest.paths import MISSING, JsonPath
from ingest.pattern import TopicPattern
from protocol.errors import ConfigError
from tests.ingest.made import FILE, config_of
from tests.trial import make_trial


def test_defaults_are_those_of_the_documents() -> None:
    """Nobody has to write what everybody wants."""
    config = config_of(FILE.replace("[batch]\nmax_rows = 100\n", ""))
    assert config.client_id == "sotto-north-1"
    assert config.state == Path("/var/lib/sotto/north-1")
    assert (config.mqtt.session_expiry, config.mqtt.version, config.mqtt.max_payload) == (86_400_000, "5", 1 << 20)
    assert (config.batch.max_rows, config.batch.max_age, config.batch.max_idle) == (10_000, 1_000, 50)
    assert config.spool.max_size == 2_000_000_000
    assert (config.clock.seals_by, config.clock.max_ahead, config.clock.require_sync) == ("wall", 300_000, True)
    assert config.http.listen == "127.0.0.1:9781"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('time = "$.time"', 'tiem = "$.time"', 'Did you mean "time"'),
        ('sensor = "{station}"\ntime = "$.time"', 'sensor = "{place}"\ntime = "$.time"', "names {place}, which is not"),
        ('sensor = "{station}"\ntime = "$.time"', 'sensor = "{station"\ntime = "$.time"', "brace"),
        ('area = "{area}"', 'area = "{zone}"', "names {zone}"),
        ('no2 = "$.NO2"', 'no2 = "NO2"', "not a JSONPath"),
        ("\"$['TEMP']\"", '"$.PM2.5"', "['...']"),
        ("scale = 0.1", "scale = 0", "must not be 0"),
        ("scale = 0.1", 'scale = "0.1"', "number"),
        ("air/{area}/{station}", "air/{area}/s{station}", "mixture"),
        ("air/{area}/{station}", "air/#/{station}", "last level"),
        ("logger/{station}", "air/{x}/{station}", "two blocks"),
        ('time_format = "ms"', 'time_format = "millis"', "strptime"),
        ("mqtt://127.0.0.1:1883", "http://127.0.0.1:1883", "mqtts://"),
        ("mqtt://127.0.0.1:1883", "mqtt://u:p@127.0.0.1:1883", "login does not belong"),
        ("[mqtt]", '[mqtt]\nusername = "sotto"\npassword = "hunter2"', "clear text"),
        ("[mqtt]", '[mqtt]\npassword = "env:X"', "needs username"),
        ("max_rows = 100", "max_rows = 0", "at least 1"),
        ("max_rows = 100", 'max_age = "1"', "duration"),
    ],
)
def test_mistakes_are_named_with_their_line(old: str, new: str, words: str) -> None:
    """And a remedy; never with the value of a secret."""
    assert old in FILE
    with pytest.raises(ConfigError) as refused:
        config_of(FILE.replace(old, new))
    assert words in str(refused.value)
    assert "gateway.toml, line" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_sources_have_to_fit_the_task() -> None:
    """Measures and labels are those of the task, all labels and no others."""
    trial = make_trial()
    for old, new, words in (
        ("no2 = ", "no3 = ", '"no3", which is not in the task'),
        ('area = "{area}"\n', "", "labels"),
    ):
        with pytest.raises(ConfigError, match=words):
            SourceDecoder(config_of(FILE.replace(old, new)).source[0], trial.task, trial.roster)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mqtt://h", ("h", 1883, False, None)),
        ("mqtts://h", ("h", 8883, True, None)),
        ("tcp://h:1", ("h", 1, False, None)),
        ("ssl://[::1]:2", ("::1", 2, True, None)),
        ("ws://h", ("h", 80, False, "/mqtt")),
        ("wss://h:9/x", ("h", 9, True, "/x")),
    ],
)
def test_broker_addresses(url: str, expected: tuple[object, ...]) -> None:
    """As Telegraf and the MQTT clients write them."""
    broker = parse_broker(url)
    assert (broker.host, broker.port, broker.tls, broker.websocket_path) == expected


@pytest.mark.parametrize(
    ("pattern", "topic", "expected"),
    [
        ("air/{area}/{station}", "air/ring/G", {"area": "ring", "station": "G"}),
        ("air/{area}/{station}", "air/ring", None),
        ("air/{area}/{station}", "air/ring/G/x", None),
        ("air/{area}/{station}", "air//", {"area": "", "station": ""}),
        ("a.b/+/{x}", "a.b/anything/y", {"x": "y"}),
        ("a.b/+/{x}", "aXb/anything/y", None),
        ("{x}/#", "a", {"x": "a"}),
        ("{x}/#", "a/b/c", {"x": "a"}),
        ("{x}/#", "$SYS/b", None),
        ("#", "a/b", {}),
        ("#", "$SYS/a", None),
        ("{x}", "a\nb", {"x": "a\nb"}),
    ],
)
def test_topic_patterns_are_those_of_mqtt(pattern: str, topic: str, expected: dict[str, str] | None) -> None:
    """With names for levels."""
    assert TopicPattern(pattern).match(topic) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", {"a": {"b.c": [1, 2]}, "n": None}),
        ("$.a['b.c'][1]", 2),
        ("$.a['b.c'][-1]", 2),
        ("$.a['b.c'][2]", MISSING),
        ("$.a[0]", MISSING),
        ("$.n", None),
        ("$.n.x", MISSING),
        ("$.x", MISSING),
        ("$..['b.c'][0]", 1),
        ("$.a[?@[0] == 1][0]", 1),
    ],
)
def test_paths_lead_to_one_value_or_to_none(path: str, expected: object) -> None:
    """Null is a value; nothing is something else."""
    assert JsonPath(path).one({"a": {"b.c": [1, 2]}, "n": None}) == expected
