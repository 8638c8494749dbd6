"""How `make test` spreads the tests over processes: `pytest -p tests.spread -n 2`.

A file's tests stay together and in order, so what they share is made once. Two exceptions: whatever starts processes
runs in one worker, one after the other, on one set of servers; and where a single test takes minutes, each test goes to
whoever is free. Without this plugin pytest runs as ever.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Begun first, as nothing else can shorten it: mostly it waits, and leaves the processors to the others.
STARTS_PROCESSES = (
    "tests/e2e/",
    "tests/servers/",
    "tests/demo/test_children.py",
    "tests/ingest/test_draining.py",
    "tests/ingest/test_mqtt.py",
    "tests/ingest/test_running.py",
    "tests/sinks/test_docs.py",
    "tests/sinks/test_influx.py",
    "tests/sinks/test_main.py",
    "tests/sotto/test_leaving.py",
    "tests/streams/test_fold_kafka.py",
    "tests/test_examples.py",
)
# Begun before the rest: the last one of these would be waited for by all.
LONG = ("tests/mpc_ops/joint/test_many_cases.py", "tests/simulation/")


class Spread(LoadScopeScheduling):
    """Work units in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(STARTS_PROCESSES):
            return "processes"
        return nodeid if nodeid.startswith(LONG) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread:
    """In place of the schedulers that `--dist` names."""
    config.option.loadscopereorder = False
    return Spread(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes long first."""
    for item in items:
        if "real_servers" in getattr(item, "fixturenames", ()) and not item.nodeid.startswith(STARTS_PROCESSES):
            raise pytest.UsageError(f"{item.nodeid} uses the real servers: name its file in {__name__}")
    items.sort(key=lambda item: (not item.nodeid.startswith(STARTS_PROCESSES), not item.nodeid.startswith(LONG)))
