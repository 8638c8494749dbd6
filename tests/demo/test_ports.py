"""Ports of the demo's processes."""

from pathlib import Path

from sotto.demo.ports import free_port

OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_a_port_that_a_role_binds_later_is_given_once_and_to_no_outgoing_connection() -> None:
    """A role binds its port seconds after it was chosen: nobody else gets it meanwhile.

    Twelve roles of two demos at once collided with each other and with the connections to Kafka.
    """
    ports = [free_port() for _ in range(300)]
    assert len(set(ports)) == len(ports)
    lowest_outgoing = int(OUTGOING.read_text().split()[0]) if OUTGOING.exists() else 32_768
    assert max(ports) < lowest_outgoing
