"""The demo writes only into directories that are its own, and leaves a user's files as they are."""

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from sotto.demo.place import Servers, Wanted, alone, checked, listen_at, prepare, with_keys
from sotto.init import Trial

SERVERS = Servers(mqtt="mqtt://127.0.0.1:5", kafka="127.0.0.1:6", mqtt_version="3.1.1", kafka_api_version="2.3")


def test_a_directory_of_somebody_else_is_not_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither when it is named, nor when it has the default name."""
    theirs = tmp_path / "sotto-demo"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("the only copy")
    monkeypatch.chdir(tmp_path)
    for directory in (theirs, None):
        with pytest.raises(ConfigError, match="not a trial"):
            checked(directory, Wanted())
    assert (theirs / "thesis.txt").read_text() == "the only copy"


def test_the_default_directory_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the last demo left there is gone."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        directory = checked(None, Wanted())
        trial = prepare(directory, own=True, servers=SERVERS, wanted=Wanted())
        assert not (directory / "results.db").exists()
        (directory / "results.db").write_text("old")
    assert len(trial.roles) == 9


def test_a_users_trial_runs_from_a_copy_with_the_addresses_of_this_run(
    sample: tuple[Trial, object, object, object],
) -> None:
    """Every file of the copy names the servers of this run; the user's own files and changes stay."""
    directory = sample[0].directory
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    trial = prepare(checked(directory, Wanted()), own=False, servers=SERVERS, wanted=Wanted())
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(role.name for role in trial.roles) == sorted(role.name for role in sample[0].roles)
    for role in trial.roles:
        document = tomllib.loads(role.path.read_text())
        assert document["kafka"]["bootstrap_servers"] == ["127.0.0.1:6"]
        assert document["kafka"]["api_version"] == "2.3"
        if role.kind == "gateway":
            assert (document["mqtt"]["url"], document["mqtt"]["version"]) == ("mqtt://127.0.0.1:5", "3.1.1")


def test_two_runs_on_given_servers_share_neither_topics_nor_sessions(tmp_path: Path) -> None:
    """Two gateways with one MQTT client id would take each other's messages."""
    seen = []
    for root in ("demo-a", "demo-b"):
        trial = prepare(tmp_path / root, own=False, servers=replace(SERVERS, mqtt_root=root), wanted=Wanted())
        assert trial.topic == f"{root}/{{organisation}}/air/{{area}}/{{station}}"
        for role in trial.roles:
            if role.kind == "gateway":
                document = tomllib.loads(role.path.read_text())
                assert document["source"][0]["topic"].startswith(f"{root}/{document['organisation']}/")
                seen.append(document["mqtt"]["client_id"])
    assert len(set(seen)) == len(seen) == 8


def test_a_users_trial_takes_no_other_scheme(sample: tuple[Trial, object, object, object]) -> None:
    """Its task is agreed; another scheme would be another task."""
    with pytest.raises(ConfigError, match="there already"):
        checked(sample[0].directory, Wanted(parties=5))


def test_keys_are_set_in_one_section_only() -> None:
    """Values that were there are replaced, comments and other sections stay."""
    text = '[a]\nurl = "1"\n# url = "2"\n[b]\nurl = "3"\n'
    assert with_keys(text, "a", {"url": '"9"'}) == '[a]\nurl = "9"\n# url = "2"\n[b]\nurl = "3"\n'


def test_a_file_says_where_its_role_has_its_pages(sample: tuple[Trial, object, object, object], tmp_path: Path) -> None:
    """`sotto status FILE` asks there; also where the owner of the trial has taken the section out."""
    for number, role in enumerate(sample[0].roles):
        text = role.path.read_text()
        for case, content in enumerate((text, text.replace("[http]", "# [http]").replace("\nlisten", "\n# listen"))):
            file = tmp_path / f"{number}-{case}.toml"
            file.write_text(content)
            listen_at(file, "127.0.0.1:23456")
            assert tomllib.loads(file.read_text())["http"]["listen"] == "127.0.0.1:23456"


def test_a_second_demo_does_not_take_the_directory_of_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would delete the running one's files. Once that has ended, it may; and what was empty does not stay."""
    monkeypatch.chdir(tmp_path)
    directory = checked(None, Wanted())
    with alone(directory):
        prepare(directory, own=True, servers=SERVERS, wanted=Wanted())
        (directory / "results.db").write_text("of the first")
        with pytest.raises(ConfigError, match="a demo is running"), alone(directory):
            pass
        assert (directory / "results.db").read_text() == "of the first"
    with alone(directory):
        prepare(directory, own=True, servers=SERVERS, wanted=Wanted())
        assert not (directory / "results.db").exists()
    with alone(tmp_path / "new"):
        pass
    assert not (tmp_path / "new").exists()
