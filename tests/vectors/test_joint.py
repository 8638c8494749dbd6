"""The documents show what the vectors of joint computation say."""

from __future__ import annotations

import json

from tests.vectors.page import PAGE, written
from tests.vectors.playing import HERE


def test_the_tables_are_made_from_the_code() -> None:
    """`make vectors` writes them: which scheme does what from the list of operations, costs from the vectors."""
    vectors, measured = (json.loads((HERE / name).read_text()) for name in ("joint.json", "measured.json"))
    assert PAGE.read_text() == written(PAGE.read_text(), vectors, measured)


def test_results_agree_between_schemes() -> None:
    """Whatever the scheme, an operation has the same result, where none of the rings is too small for it."""
    vectors = json.loads((HERE / "joint.json").read_text())
    small = {"open", "less", "equal", "inside", "division", "to bits", "sort of 16", "lift to a field", "AND, 64 bits"}
    for name in small:
        results = {tuple(case["result"]) for case in vectors["cases"] if case["operation"] == name}
        assert len(results) == 1, name
