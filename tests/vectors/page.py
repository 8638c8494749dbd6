"""The tables of docs/joint-computation.md that are made from the code: which scheme does what, what it costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.mpc_ops.joint.common import AdditiveDealt, Checked3, Replicated3, Shamir5
from tests.mpc_ops.joint.operations import MANY, Operation
from tests.mpc_ops.joint.replicated_operations import OPERATIONS, TITLES
from tests.vectors.joint import table
from tests.vectors.measured import measured_table

PAGE = Path(__file__).parents[2] / "docs" / "joint-computation.md"
SCHEMES = ("<!-- which scheme does what -->\n", "<!-- end of which scheme does what -->\n")
MEASURED = ("<!-- what is measured -->\n", "<!-- end of what is measured -->\n")
COSTS = "<!-- table -->\n"
FAMILIES = {"additive": AdditiveDealt, "Shamir": Shamir5, "replicated": Replicated3, "replicated, checked": Checked3}


def offers() -> str:
    """Markdown: for each operation and scheme, over which rings it is offered, and on how many cases it is tried."""
    rows: dict[str, list[Operation]] = {}
    for operation in OPERATIONS:
        rows.setdefault(operation.name, []).append(operation)
    lines = [f"| operation | {' | '.join(FAMILIES)} | result |", "|---" * (len(FAMILIES) + 2) + "|"]
    for name, variants in rows.items():
        cells = [_cell(variants, family) for family in FAMILIES.values()]
        result = "exact" if variants[0].errors == (0,) else "the floor, or one more"
        lines.append(f"| {name} | {' | '.join(cells)} | {result} |")
    return "\n".join(lines) + "\n"


def _cell(variants: list[Operation], family: type[Any]) -> str:
    cases: dict[str, int] = {}
    for operation in variants:
        for scheme, count in operation.schemes.items():
            if type(scheme) is family:
                cases[scheme.ring.name] = cases.get(scheme.ring.name, 0) + count
    return ", ".join(TITLES[r] if count == MANY else f"{TITLES[r]} ({count:,})" for r, count in cases.items()) or "-"


def written(page: str, vectors: dict[str, Any], measured: dict[str, Any]) -> str:
    """The page with all tables as they must be. Raises ValueError for a page without their marks."""
    before, rest = page.split(SCHEMES[0])
    _, after = rest.split(SCHEMES[1])
    text, rest = after.split(MEASURED[0])
    _, rest = rest.split(MEASURED[1])
    last, _ = rest.split(COSTS)
    page = before + SCHEMES[0] + offers() + SCHEMES[1] + text
    return page + MEASURED[0] + measured_table(measured) + MEASURED[1] + last + COSTS + table(vectors)
