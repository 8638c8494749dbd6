"""Key files and cards on disk."""

from __future__ import annotations

import random
import stat
from pathlib import Path

import pytest

from protocol.errors import ConfigError
from protocol.keys import KeyFile
from protocol.roster import Roster
from protocol.task import Task
from runtime.files import load
from runtime.keyfiles import read_card, read_cards, read_key, write_new_key
from sotto.init import Trial, write_trial


@pytest.fixture
def key() -> KeyFile:
    return KeyFile.generate(role="party", name="university", suite="x25519", entropy=random.Random(1).randbytes)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "air", entropy=random.Random(2).randbytes)


def test_what_is_written_is_read(tmp_path: Path, key: KeyFile) -> None:
    """Key and card come back, and the key is for its owner only."""
    path, card = write_new_key(tmp_path, key)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key(path).to_text() == key.to_text()
    assert read_card(card) == key.card()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, key: KeyFile, mode: int) -> None:
    """Error 3 of operators.md 2.3."""
    path, _ = write_new_key(tmp_path, key)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"can be read by others .mode {mode:04o}") as caught:
        read_key(path)
    assert caught.value.remedy is not None
    assert f"chmod 600 {path}" in caught.value.remedy


def test_a_key_is_never_overwritten(tmp_path: Path, key: KeyFile) -> None:
    """What was sealed to the old one would be lost."""
    path, _ = write_new_key(tmp_path, key)
    before = path.read_text()
    other = KeyFile.generate(role="party", name="university", suite="x25519", entropy=random.Random(3).randbytes)
    with pytest.raises(ConfigError, match="already"):
        write_new_key(tmp_path, other)
    assert path.read_text() == before


def test_a_damaged_key_is_not_shown(tmp_path: Path, key: KeyFile) -> None:
    """The error says which file, and no part of what is in it."""
    path, _ = write_new_key(tmp_path, key)
    text = path.read_text().replace('storage  = "', 'storage  = "!')
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_key(path)
    secret = text.split('storage  = "!')[1][:20]
    assert secret not in str(caught.value)
    assert caught.value.__cause__ is None


def test_missing_files_are_errors(tmp_path: Path) -> None:
    """A sentence, with what to do."""
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        read_key(tmp_path / "no.key")
    with pytest.raises(ConfigError, match="cannot be read: no such file"):
        read_card(tmp_path / "no.card")


def test_only_the_cards_that_the_roster_pins_count(trial: Trial) -> None:
    """The attack: somebody puts a card of their own beside the roster, and shares get sealed to it."""
    task, roster = load(trial.task, Task), load(trial.roster, Roster)
    assert set(read_cards(trial.roster, roster, task)) == {"city-it", "collector", "university", "waterworks"}
    path = trial.directory / "cards" / "university.card"
    stranger = KeyFile.generate(role="party", name="university", suite="x25519", entropy=random.Random(4).randbytes)
    path.write_text(stranger.card_text())
    with pytest.raises(ConfigError, match="of another university than the task names"):
        read_cards(trial.roster, roster, task)


def test_a_renewed_sealing_key_needs_a_new_roster(trial: Trial) -> None:
    """The right identity with another sealing key is not what the parties have agreed to either."""
    task, roster = load(trial.task, Task), load(trial.roster, Roster)
    old = read_key(trial.directory / "keys" / "university.key")
    fresh = KeyFile.generate(role="party", name="university", suite="x25519", entropy=random.Random(5).randbytes)
    renewed = KeyFile(
        role="party",
        name="university",
        identity=old.identity,
        storage=old.storage,
        suite=fresh.suite,
        sealing_secret=fresh.sealing_secret,
    )
    (trial.directory / "cards" / "university.card").write_text(renewed.card_text())
    with pytest.raises(ConfigError, match="another sealing key than the roster names"):
        read_cards(trial.roster, roster, task)
