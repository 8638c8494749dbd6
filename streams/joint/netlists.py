"""The netlists of a task's circuits: files beside the task file, bound to it by their hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from mpc_ops.joint.netlist import Netlist, NetlistError, parse
from protocol.errors import ConfigError
from protocol.joint import CircuitSpec
from protocol.task import Task

LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a file. Large circuits have some hundred thousand gates, of 20 bytes each."""


def load_netlists(task: Task, directory: Path) -> dict[str, Netlist]:
    """Read the file of each circuit of the task, from the folder in which the task file lies: by name of the job.

    Raises ConfigError for a file that is missing, is not the agreed one, or is no netlist.
    """
    return {spec.name: load_netlist(spec, directory) for spec in task.joint if isinstance(spec, CircuitSpec)}


def load_netlist(spec: CircuitSpec, directory: Path) -> Netlist:
    """Read the file of one circuit. Raises ConfigError, as `load_netlists` does."""
    path = directory / spec.file
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError(
            f"the file of joint {spec.name} cannot be read: {(error.strerror or 'unknown error').lower()}",
            where=str(path),
            remedy="The circuit lies beside the task file, under the name that the task gives it. Get it from whoever"
            " invited you.",
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != spec.sha256:
        raise ConfigError(
            f"this is not the circuit that joint {spec.name} of the task names",
            where=str(path),
            remedy=f"Its SHA-256 is {found}, the task says {spec.sha256}. Get the agreed file; line ends count.",
        )
    try:
        return parse(data.decode())
    except (NetlistError, UnicodeDecodeError) as error:
        what = str(error) if isinstance(error, NetlistError) else "it is not text"
        raise ConfigError(
            f"joint {spec.name} names a file that is no netlist: {what}",
            where=str(path),
            remedy='A circuit in the "Bristol fashion" is needed (docs/joint-computation.md).',
        ) from None


def check_wires(spec: CircuitSpec, netlist: Netlist) -> None:
    """Raises ConfigError unless the bits that the entry takes are as many as the circuit has input wires."""
    bits, wires = sum(bits for _, bits in spec.inputs), sum(netlist.inputs)
    if bits != wires:
        raise ConfigError(
            f"joint {spec.name}: its inputs have {bits} bits, the circuit has {wires} input wires",
            remedy=f"Make the bits in inputs add up to {wires}, the input wires."
            " A task that is changed is another task: all have to agree to it.",
        )
