"""The documents show what the vectors of joint computation say."""

from __future__ import annotations

import json
from pathlib import Path

from tests.vectors.joint import table
from tests.vectors.playing import HERE

PAGE = Path(__file__).parents[2] / "docs" / "joint-computation.md"


def test_the_table_of_costs_is_the_vectors() -> None:
    """`make vectors` writes the vectors; this table is made from them."""
    vectors = json.loads((HERE / "joint.json").read_text())
    assert PAGE.read_text().endswith("<!-- table -->\n" + table(vectors))


def test_results_agree_between_schemes() -> None:
    """Whatever the scheme, an operation has the same result, where none of the rings is too small for it."""
    vectors = json.loads((HERE / "joint.json").read_text())
    small = {"open", "less", "equal", "inside", "division", "to bits", "sort of 16", "lift to a field", "AND, 64 bits"}
    for name in small:
        results = {tuple(case["result"]) for case in vectors["cases"] if case["operation"] == name}
        assert len(results) == 1, name
