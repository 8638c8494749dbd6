"""Jobs: what a task asks for of the aggregate shares of a window, from shares over Z/2^64 to a share of the result.

A job knows the range of every column, and refuses at once what could leave it: the overflow rule counts products
too. It is one protocol for any replicated side. On a `Checked` side all products behind the result have been checked
when it is returned. It is not opened: whoever may know it adds the components, and `numbers` reads them. What a job
opens on its way says nothing, or what docs/joint-computation.md says: for that it tests first, on shares, that all
columns are in their ranges, since who shared them may lie. All results are whole numbers, in units that the
caller knows.
"""

from mpc_ops.joint.jobs.base import Job, Shared, numbers, opened
from mpc_ops.joint.jobs.circuits import Circuit
from mpc_ops.joint.jobs.columns import Polynomial, Product, Rank, Threshold
from mpc_ops.joint.jobs.systems import LeastSquares, LinearSolve

__all__ = [
    "Circuit",
    "Job",
    "LeastSquares",
    "LinearSolve",
    "Polynomial",
    "Product",
    "Rank",
    "Shared",
    "Threshold",
    "numbers",
    "opened",
]
