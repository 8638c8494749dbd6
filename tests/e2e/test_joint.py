"""Every kind of job on the real servers, while a party dies and comes back: the scene of `make faults`, in short."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.campaign import Told
from tests.faults.joint_scenario import SENT_AGAIN, joint
from tests.faults.scene import Asked


@pytest.mark.usefixtures("real_servers")
def test_every_job_gives_the_right_points_while_parties_die(tmp_path: Path) -> None:
    """All roles as processes: each number of each job is in InfluxDB and exact, and what is sent again is the same."""
    told = Told(once=print, often=print)
    asked = Asked(minutes=0.1, rate=1, windows=3, seed=1, directory=tmp_path, told=told)
    # A machine may be so busy that nobody is there between one kill and the next, and that a party is away for minutes.
    scene = joint(asked, deadline=900_000, most_kills=2)
    wrong = [claim for claim in scene.claims if not claim.holds and claim.says != SENT_AGAIN]
    assert not wrong, scene.troubles
    assert not scene.troubles
