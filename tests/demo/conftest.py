"""One trial for all tests of the demo: making its keys is the slow part."""

from pathlib import Path

import pytest

from protocol.roster import Roster
from protocol.task import Task
from sotto.demo.plain import Plain
from sotto.init import Trial
from tests.demo.samples import sample_trial


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, Task, Roster, Plain]:
    """Return a trial, its task and roster, and its plain computation."""
    return sample_trial(Path(tmp_path_factory.mktemp("trial")) / "air")


@pytest.fixture(scope="session")
def plain(sample: tuple[Trial, Task, Roster, Plain]) -> Plain:
    """Return the plain computation of the sample."""
    return sample[3]
