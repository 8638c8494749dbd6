"""`sotto task show`: what is agreed to, in plain words."""

from __future__ import annotations

from decimal import Decimal

import pytest

from sotto.task import in_words
from tests.trial import make_trial


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("0", "Nothing is released where an organisation with gateways is missing from a window."),
        ("0.1", "Up to 0.1 of the organisations with gateways may be missing from a window, rounded up: of four, one."),
        ("0.3", "rounded up: of four, two."),
        ("1", "rounded up: of four, four."),
    ],
)
def test_the_task_in_plain_words_says_how_many_may_be_missing(part: str, words: str) -> None:
    """`max_absent` is rounded up, as SPEC 8.2 has it: with few organisations that is more than the part says."""
    assert words in in_words(make_trial(policy={"min_organisations": 3, "max_absent": Decimal(part)}).task)
