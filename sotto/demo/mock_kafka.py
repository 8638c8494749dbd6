"""A Kafka cluster inside this process: the one that librdkafka carries for its own tests.

Enough of Kafka for a trial (produce, fetch, consumer groups, committed offsets), and nothing to install. It keeps
everything in memory, at most 5 MB a partition, and knows neither CreateTopics nor DescribeConfigs. The Python client
can start it but not give a topic a number of partitions; the C interface can, and the wheel has the shared library.
"""

from __future__ import annotations

import ctypes

from confluent_kafka import cimpl

_PRODUCER = 0
_OK = 0
_ERROR_SIZE = 512


class MockKafka:
    """One broker on a free loopback port. It lives as long as the process: closing it is ending the process."""

    def __init__(self, *, group_delay_ms: int = 0) -> None:
        """Start it. A consumer group waits `group_delay_ms` for further members before its first assignment."""
        lib = _library()
        error = ctypes.create_string_buffer(_ERROR_SIZE)
        handle = lib.rd_kafka_new(_PRODUCER, lib.rd_kafka_conf_new(), error, _ERROR_SIZE)
        if not handle:
            raise RuntimeError(f"internal error: librdkafka did not start: {error.value.decode()}")
        self._lib = lib
        self._cluster = lib.rd_kafka_mock_cluster_new(handle, 1)
        if not self._cluster:
            raise RuntimeError("internal error: librdkafka did not start its cluster")
        lib.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, group_delay_ms)
        self.address: str = lib.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def create_topic(self, name: str, partitions: int) -> None:
        """Create a topic with so many partitions; a topic that nobody created gets four at its first mention."""
        code = self._lib.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if code != _OK:
            raise RuntimeError(f"internal error: topic {name} was not created (librdkafka error {code})")


def _library() -> ctypes.CDLL:
    # The extension module is linked against librdkafka, so its symbols are found through it, wherever the wheel put it.
    lib = ctypes.CDLL(cimpl.__file__)
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    signatures: dict[str, tuple[object, list[object]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_new": (pointer, [number, pointer, text, ctypes.c_size_t]),
        "rd_kafka_mock_cluster_new": (pointer, [pointer, number]),
        "rd_kafka_mock_cluster_bootstraps": (text, [pointer]),
        "rd_kafka_mock_group_initial_rebalance_delay_ms": (None, [pointer, ctypes.c_int32]),
        "rd_kafka_mock_topic_create": (number, [pointer, text, number, number]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = result, arguments
    return lib
