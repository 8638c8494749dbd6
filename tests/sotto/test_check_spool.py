"""`sotto check` of a gateway that was started before: can it go on from what its spool holds?"""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ingest.config import GatewayFile
from ingest.spool import Spool
from protocol.task import Task
from runtime.files import load
from runtime.keyfiles import read_key
from sotto.cli import main
from sotto.init import Trial, write_trial


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return write_trial(tmp_path / "air", entropy=random.Random(1).randbytes)


def without_state(text: str) -> str:
    return "\n".join(line for line in text.split("\n") if not line.startswith("state_dir"))


def test_check_finds_a_spool_with_which_the_gateway_cannot_start(
    trial: Trial, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It reads what the start will read: of another key, damaged, or in use, which keeps no check from going on."""
    gateway = next(role.path for role in trial.roles if role.name == "north-1")
    text = gateway.read_text().replace("127.0.0.1:9092", "127.0.0.1:1").replace("127.0.0.1:1883", "127.0.0.1:1")
    gateway.write_text(text)
    file, task = load(gateway, GatewayFile), load(trial.task, Task)
    secret = read_key(file.key).storage

    def made(name: str, secret: bytes) -> Spool:
        gateway.write_text(f'state_dir = "{tmp_path / name}"\n{without_state(text)}')
        spool = Spool(tmp_path / name, task=task.hash, gateway=file.name, secret=secret)
        spool.kept()
        spool.begin_epoch(1, bytes(16))
        spool.begin_book(0, 0)
        return spool

    def found() -> dict[str, Any]:
        with pytest.raises(SystemExit) as caught:
            main(["check", str(gateway), "--json"])
        assert caught.value.code == 3  # the brokers are not there
        results = {each["name"]: each for each in json.loads(capsys.readouterr().out)["checks"]}
        spool: dict[str, Any] = results["spool"]
        return spool

    running = made("good", secret)
    in_use = found()
    assert (in_use["ok"], in_use["detail"].partition(", ")[2]) == (True, "in use: the gateway runs")
    running.close()
    before = {path: path.read_bytes() for path in (tmp_path / "good").iterdir()}
    assert found()["ok"]
    assert {path: path.read_bytes() for path in (tmp_path / "good").iterdir()} == before

    made("other", bytes(32)).close()
    assert found()["detail"] == "the spool was written with another key"

    made("bad", secret).close()
    with closing(sqlite3.connect(tmp_path / "bad" / "spool.db")) as db, db:
        db.execute("DELETE FROM meta WHERE key = 'following'")
    assert found()["detail"] == "the spool is damaged"
