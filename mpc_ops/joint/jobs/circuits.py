"""A job that is a netlist: instances of a circuit whose input wires are the bits of columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpc_ops.joint.gates import to_bits
from mpc_ops.joint.jobs.base import Shared, checked, exactly
from mpc_ops.joint.netlist import Netlist, evaluate
from mpc_ops.joint.planes import Lanes
from mpc_ops.joint.replicated import Replicated
from mpc_ops.rings import Bits, Ring
from mpc_ops.rounds import Array, Interactive


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """`instances` of a circuit, each with len(`widths`) columns, one instance after the other.

    The bits of an instance's columns fill all input wires in order, whatever inputs the netlist divides them into:
    the first column's lowest bit is wire 0. Of column k the lowest widths[k] bits are read, in two's complement: what
    does not fit into them is cut off. Raises ValueError where the widths are not the wires.
    """

    netlist: Netlist
    widths: tuple[int, ...]
    instances: int = 1

    def __post_init__(self) -> None:
        if any(not 1 <= width <= 64 for width in self.widths):
            raise ValueError("a column has 1 to 64 bits")
        wires = sum(self.netlist.inputs)
        if sum(self.widths) != wires:
            raise ValueError(f"the columns have {sum(self.widths)} bits, the circuit has {wires} input wires")
        if not self.widths or not self.netlist.outputs:
            raise ValueError("a circuit without inputs or outputs computes nothing")

    @property
    def ring(self) -> Ring:
        return Bits(1)

    @property
    def elements(self) -> int:
        return self.instances * sum(self.netlist.outputs)

    @property
    def results(self) -> int:
        return self.instances * len(self.netlist.outputs)

    def shares(self, side: Replicated, columns: Array) -> Interactive[Shared]:
        """All output wires of each instance, one instance after the other."""
        count = len(self.widths)
        values = exactly(columns, self.instances * count).reshape(2, self.instances, count)
        words = yield from to_bits(side, values)
        bits = np.concatenate(
            [
                (words[:, :, k, None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
                for k, width in enumerate(self.widths)
            ],
            axis=2,
        )
        lanes = Lanes(self.instances)
        wires = lanes.pack(np.swapaxes(bits, 1, 2))
        inputs = np.split(wires, np.cumsum(self.netlist.inputs)[:-1], axis=1)
        outputs = yield from evaluate(side, self.netlist, inputs, lanes.width)
        single = np.swapaxes(lanes.unpack(np.concatenate(outputs, axis=1)), 1, 2)
        result = yield from checked(side, self.ring, np.ascontiguousarray(single).reshape(2, self.elements))
        return result

    def read(self, values: Array) -> list[int]:
        """Each output of each instance as a number without sign, its first wire the lowest bit."""
        result = []
        for bits in values.reshape(self.instances, -1).tolist():
            start = 0
            for wires in self.netlist.outputs:
                result.append(sum(bit << place for place, bit in enumerate(bits[start : start + wires])))
                start += wires
        return result
