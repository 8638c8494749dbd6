"""How long records on `rounds` get: known before the first window."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from mpc_ops.joint.checked import Checked
from mpc_ops.joint.replicated import share
from mpc_ops.rings import Z64
from mpc_ops.sessions import run
from protocol.errors import ConfigError
from streams.joint.plan import plans_of
from streams.joint.size import check_records, longest_record
from tests.mpc_ops.joint.common import stream
from tests.trial import make_trial

LOAD = {"unit": "kW", "range": [-50, 150], "resolution": Decimal("0.5")}
SYSTEM = {"matrix": ["a", "b", "c"], "right": "d", "resolution": Decimal("0.5"), "unit": "1"}
JOBS: list[tuple[dict[str, Any], list[int]]] = [
    ({"job": "threshold", "measure": "a", "limit": 5}, [7, -9, 2]),
    ({"job": "rank", "measure": "a", "places": ["max"], "reveal": "values"}, [7, -9, 2]),
    ({"job": "product", "measures": ["a", "b"]}, [7, -9, 2, 3, 4, 5]),
    ({"job": "polynomial", "measure": "a", "coefficients": [1, 2, 3], "unit": "1"}, [7, -9, 2]),
    ({"job": "linear_solve", **SYSTEM}, [7, -9, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3]),
    ({"job": "least_squares", **SYSTEM, "ridge": Decimal(1)}, [7, -9, 2, 3, 4, 5, 6, 7, 9, 1, 2, 3]),
]


@pytest.mark.parametrize(("entry", "values"), JOBS, ids=[entry["job"] for entry, _ in JOBS])
def test_the_longest_record_is_that_of_any_window(entry: dict[str, Any], values: list[int]) -> None:
    """Messages are as long for other values and shares, and none is longer than said."""
    trial = make_trial(joint=[{"name": "one", **entry}], measures=dict.fromkeys("abcd", LOAD))
    plans = plans_of(trial.task, trial.roster, {})
    job = plans[0].job(range(3))
    shares = share(Z64, Z64.element(values), stream("values"))
    sizes: dict[tuple[int, int], int] = {}

    def observe(number: int, sender: int, receiver: int, message: bytes) -> None:
        del receiver
        sizes[number, sender] = sizes.get((number, sender), 0) + len(message)

    run(lambda party: job.shares(Checked(party, Z64), shares[party.index]), parties=3, observe=observe)
    longest = longest_record(plans)
    assert max(sizes.values()) < longest <= max(sizes.values()) + 1_024
    check_records(plans, longest)
    with pytest.raises(ConfigError, match="records of"):
        check_records(plans, longest - 1)
