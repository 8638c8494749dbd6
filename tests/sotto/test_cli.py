"""The command line as a person meets it: help, errors, exit codes, and that no role drags in another's needs."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.roster import Roster
from protocol.task import Task
from protocol.topics import Topics
from runtime.files import load
from runtime.logs import prefer
from sinks.main import group_of
from sinks.sqlite import SqliteStore
from sotto.check import Checks, Found
from sotto.cli import main
from sotto.init import Trial, write_trial
from sotto.terminal import manner
from sotto.topics import rules


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "air", entropy=random.Random(1).randbytes)


@pytest.fixture(autouse=True)
def _manners() -> object:
    yield
    manner.quiet = manner.traces = False
    prefer()


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    code = caught.value.code
    return code if isinstance(code, int) else 0


def test_help_lists_all_commands_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    """Try, run, agree, look after: in this order, each command with one line."""
    assert run("--help") == 0
    text = capsys.readouterr().out
    words = ["Try", "demo", "init", "Run", "gateway", "party", "collector", "sink", "Agree", "task", "keys"]
    words += ["Look after", "check", "status", "topics", "replay"]
    places = [re.search(rf"(?:─|│) {word}\b", text) for word in words]
    assert all(places), dict(zip(words, places, strict=True))
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)
    assert "[log]" in text


@pytest.mark.parametrize(
    "command",
    [
        "init",
        "gateway",
        "party",
        "collector",
        "sink",
        "check",
        "topics",
        "keys new",
        "keys show",
        "task show",
        "task id",
    ],
)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With what it takes, and without importing a role."""
    assert run(*command.split(), "--help") == 0
    assert f"Usage: sotto {command}" in capsys.readouterr().out


def test_help_needs_nothing_of_any_role() -> None:
    """`sotto --help` and the commands for files run where neither Faust nor paho is installed."""
    code = (
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('faust', 'aiokafka', 'paho', 'influxdb_client', 'amqtt'):\n"
        "            raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Refuse())\n"
        "from sotto.cli import main\n"
        "main(sys.argv[1:])\n"
    )

    def sotto(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)

    assert sotto("--help").returncode == 0
    refused = sotto("party", "party.toml")
    assert refused.returncode == 2
    assert 'this installation has no "party" part' in refused.stderr
    assert "pip install '.[party]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_error_is_a_sentence_with_a_remedy(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """On standard error, indented, without a stack trace; exit code 2 for a configuration."""
    path = trial.roles[0].path
    path.write_text(path.read_text().replace("time_zone ", "time_zoen "))
    assert run("check", path) == 2
    captured = capsys.readouterr()
    first, second, *_ = captured.err.splitlines()
    assert re.fullmatch(
        r'error: north-1.toml, line \d+: unknown key "time_zoen" in \[\[source\]\] "north/air/.*"', first
    )
    assert second.startswith('    Did you mean "time_zone"?')
    assert ".py:" not in captured.err


def test_a_stack_trace_needs_log_level_debug(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is for those who look for a fault of ours."""
    assert run("--log-level", "debug", "task", "id", tmp_path / "no.toml") == 2
    assert re.search(r"^    \S+/sotto/task\.py:\d+ show_id$", capsys.readouterr().err, re.MULTILINE)


def test_wrong_use_has_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown command, a missing file name."""
    assert run("bake") == 2
    assert run("check") == 2
    assert capsys.readouterr().err


def test_init_says_what_it_has_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And that a trial has no privacy; --quiet says nothing."""
    assert run("init", tmp_path / "air") == 0
    assert "TRIAL" in (text := capsys.readouterr().out)
    assert "no privacy" in text
    assert run("init", tmp_path / "air") == 2
    assert run("--quiet", "init", tmp_path / "b") == 0
    assert capsys.readouterr().out == ""


def test_keys_are_made_and_shown_without_secrets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key and its card show the same public part; nothing secret is printed."""
    assert run("keys", "new", "party", "harbour", "--dir", tmp_path) == 0
    made = capsys.readouterr().out
    assert run("keys", "show", tmp_path / "harbour.key", "--json") == 0
    of_key = json.loads(capsys.readouterr().out)
    assert run("keys", "show", tmp_path / "harbour.card", "--json") == 0
    assert json.loads(capsys.readouterr().out) == of_key
    assert of_key["fingerprint"] in made
    secrets = re.findall(
        r'^(?:identity|storage|sealing) *= "(.*)"', (tmp_path / "harbour.key").read_text(), re.MULTILINE
    )
    assert len(secrets) == 3
    assert not any(secret in made + json.dumps(of_key) for secret in secrets)
    assert run("keys", "new", "party", "harbour", "--dir", tmp_path) == 2
    assert run("keys", "new", "party", "../evil", "--dir", tmp_path) == 2


def test_task_in_plain_words(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """What a data-protection officer reads: period, measures, minimum, who could read everything."""
    assert run("task", "show", trial.task) == 0
    text = capsys.readouterr().out
    assert "Every hour from 28 Dec 2016 to 30 Dec 2016: the mean of pm25, no2, co, temperature for each area" in text
    assert "if 3 organisations have a reading in it" in text
    assert "two of them together could read everything, one cannot." in text
    assert run("task", "id", trial.task) == 0
    assert capsys.readouterr().out.strip() == load(trial.task, Task).id_spoken
    assert run("task", "show", trial.task, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == load(trial.task, Task).id


def test_topics_for_kafkas_operator(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands and rules are printed without reaching Kafka; a gateway may write shares and read nothing of them."""
    assert run("topics", trial.task, "--dry-run", "--kafka", "k:9092") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert all(line.startswith("kafka-topics.sh --bootstrap-server k:9092 --create") for line in lines)
    assert run("topics", trial.roles[0].path, "--acls", "--only", "north-1") == 0
    rules = capsys.readouterr().out.splitlines()
    assert len(rules) == 4
    assert not [rule for rule in rules if "shares" in rule and "Read" in rule]
    assert run("topics", trial.task, "--acls") == 0
    everything = capsys.readouterr().out.splitlines()
    readers = {
        re.findall(r"User:(\S+)", rule)[0] for rule in everything if "shares.university" in rule and "Read" in rule
    }
    assert readers == {"university"}


def test_the_sink_may_read_as_the_group_that_it_joins(trial: Trial, tmp_path: Path) -> None:
    """The rule for the sink's group covers the group's name, which ends in the identity of its store."""
    task = load(trial.task, Task)
    topics = Topics.of(task)
    store = SqliteStore(tmp_path / "r.db", labels=task.labels, clock=lambda: 0, entropy=random.Random(1).randbytes)
    (rule,) = [rule for rule in rules(task, topics, None) if rule.principal == "sink" and rule.kind == "group"]
    assert group_of(topics, store).startswith(rule.name)
    store.close()


def test_parties_alone_read_and_write_rounds(trial: Trial) -> None:
    """What they say to each other in joint computation concerns no other role, and no task without joint jobs."""
    task = load(trial.task, Task)
    roster = load(trial.task.parent / "roster.toml", Roster)
    topics = replace(Topics.of(task), joint=True)
    granted = [rule for rule in rules(task, topics, roster) if rule.name == topics.rounds]
    assert sorted(rule.principal for rule in granted) == sorted(task.party_names)
    assert all({"Read", "Write"} <= set(rule.operations) for rule in granted)
    assert not [rule for rule in rules(task, Topics.of(task), roster) if rule.name == topics.rounds]


def test_topics_do_not_go_unencrypted_to_another_machine(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """--kafka with a task alone is for this machine."""
    assert run("topics", trial.task, "--kafka", "kafka.city.example:9092") == 2
    assert "without encryption" in capsys.readouterr().err


def test_check_tells_all_that_is_wrong_and_ends_with_3(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Key of somebody else, roster of another task, brokers that are not there: each with its remedy."""
    party = next(role.path for role in trial.roles if role.name == "university")
    text = party.read_text().replace("keys/university.key", "keys/city-it.key")
    party.write_text(text.replace("127.0.0.1:9092", "127.0.0.1:1"))
    assert run("check", party, "--json") == 3
    document = json.loads(capsys.readouterr().out)
    results = {each["name"]: each for each in document["checks"]}
    assert document["ready"] is False
    assert results["task"]["ok"]
    assert results["roster"]["ok"]
    assert "is in the task with another key" in results["key"]["detail"]
    assert "is not reached: connection refused" in results["kafka"]["detail"]
    assert run("check", party) == 3
    assert capsys.readouterr().out.count("error: ") >= 2


def test_check_finds_a_task_that_is_not_the_agreed_one(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """Error 4 of operators.md 2.3: one changed character makes another task."""
    trial.task.write_text(trial.task.read_text().replace("range = [-40, 60]", "range = [-40, 70]"))
    collector = next(role.path for role in trial.roles if role.kind == "collector")
    collector.write_text(collector.read_text().replace("127.0.0.1:9092", "127.0.0.1:1"))
    assert run("check", collector, "--json") == 3
    results = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
    assert "not the one that the roster belongs to" in results["roster"]["detail"]


def test_check_refuses_what_is_no_role(trial: Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A task, or a file of something else."""
    assert run("check", trial.task) == 2
    assert "is a task" in capsys.readouterr().err
    (tmp_path / "x.toml").write_text("a = 1\n")
    assert run("check", tmp_path / "x.toml") == 2
    assert "is not the configuration of a role" in capsys.readouterr().err


def test_check_finds_a_source_that_does_not_fit_the_task(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """A label or measure that the gateway would refuse at its start is not "ok" before it."""
    gateway = next(role.path for role in trial.roles if role.name == "north-1")
    text = gateway.read_text().replace("127.0.0.1:9092", "127.0.0.1:1").replace("127.0.0.1:1883", "127.0.0.1:1")
    for before, after, said in (("no2  ", "ozone", 'the measure "ozone"'), ("area  ", "zone  ", "has the labels")):
        gateway.write_text(text.replace(f"\n{before}", f"\n{after}"))
        assert run("check", gateway, "--json") == 3
        results = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
        assert said in results["sources"]["detail"]


def test_check_tells_a_fault_once(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """A task that cannot be read keeps several checks from being made; it is one error."""
    trial.task.write_text(trial.task.read_text().replace("min_organisations = 3", "min_organisations = 2"))
    party = next(role.path for role in trial.roles if role.kind == "party")
    party.write_text(party.read_text().replace("127.0.0.1:9092", "127.0.0.1:1"))
    assert run("check", party) == 3
    text = capsys.readouterr().out
    assert text.count("below 3 is refused") == 1
    assert "not looked at: roster (needs: task)" in text


def test_acls_of_a_role_that_is_not_there(trial: Trial, capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt name is an error, not an empty list of rules."""
    assert run("topics", trial.task, "--acls", "--only", "north-9") == 2
    assert "north-1" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_an_error_and_not_a_trace(
    trial: Trial, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where a file lies in the way; so it is without rights."""
    assert run("init", trial.task / "air") == 2
    assert "cannot be written" in capsys.readouterr().err
    assert run("demo", trial.task / "air") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_nobody_joins_as_a_party_that_the_task_does_not_name(
    trial: Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The task's parties are listed, and nothing is written."""
    assert run("init", tmp_path / "j", "--join", trial.task, "--role", "party", "--name", "nobody") == 2
    assert "city-it" in capsys.readouterr().err
    assert not (tmp_path / "j").exists()


@pytest.mark.parametrize(
    ("command", "section"), [(("keys", "new"), "[scheme] sealing"), (("topics",), "[kafka] of the role")]
)
def test_help_keeps_what_stands_in_brackets(
    command: tuple[str, ...], section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rich takes an unescaped [name] for markup and drops it."""
    assert run(*command, "--help") == 0
    assert section in re.sub(r"[\s│]+", " ", capsys.readouterr().out)


def test_a_check_in_full_does_not_ask_for_itself(
    trial: Trial, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint at -v stands where -v was not given."""
    monkeypatch.setattr(Checks, "run", lambda _: [Found(name="task", ok=True)])
    hint = "Each check in full: -v"
    path = trial.roles[0].path
    assert run("check", path) == 0
    assert capsys.readouterr().out.rstrip().endswith(hint)
    assert run("check", path, "-v") == 0
    said = capsys.readouterr().out
    assert hint not in said
    assert said.rstrip().splitlines()[-1].startswith("Ready: gateway ")
