"""`sotto task show`: what is agreed to, in plain words."""

from __future__ import annotations

from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from sotto.task import circuits_in_words, in_words
from tests.protocol.jobs import ENTRIES, MEASURES
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


def test_the_task_in_plain_words_says_what_is_computed() -> None:
    """Each job has its sentence, and a measure that serves jobs alone is not named among what is released."""
    hidden = {name: {**measure, "statistics": []} for name, measure in MEASURES.items()}
    jobs = list(ENTRIES.values())
    words = in_words(make_trial(labels=["area"], measures=hidden, limits={"max_rows": 1000}, joint=jobs).task)
    for sentence in (
        ": no sum comes out.",
        "from the sums of each window, if 3 organisations have a reading in what it reads:",
        "which sees them and who took part.",
        "  high: for each area, whether the sum of no2 is above 1200.5 ug/m3",
        "  worst: the area at these places in the order of the sums of no2: max, median, -2",
        "  cost: the sum of no2 x the sum of price, added up over each area: one number",
        "  wear: for each area, 0 + 1.5 x + 2 x^2, where x is the sum of wind",
        "  mix: the solution x of (no2, so2) x = price, rounded to 0.001",
        "  fit: the x for which (no2, so2) x is closest to price, rounded to 0.01",
        "  cipher: for each area, what the circuit aes_128.txt makes of the sums of no2, so2 (SHA-256 a1a1",
        "outside: refused; its sums are shown to nobody",
    ):
        assert sentence in words
    one = {**MEASURES, "so2": hidden["so2"]}
    assert ": the mean of no2, price, wind for each area, if 3 organisations have a reading in it." in in_words(
        make_trial(labels=["area"], measures=one, limits={"max_rows": 1000}, joint=jobs).task
    )


XOR = b"1 3\n2 1 1\n1 1\n\n2 1 0 1 2 XOR\n"


def circuit_words(folder: Path, *, bits: int = 1) -> list[str]:
    """What is said of a task whose circuit is XOR, of `bits` bits of two sums."""
    entry = {
        "name": "odd",
        "job": "circuit",
        "file": "xor.txt",
        "sha256": sha256(XOR).hexdigest(),
        "inputs": [["no2", bits], ["so2", 1]],
    }
    task = make_trial(measures=MEASURES, limits={"max_rows": 1000}, joint=[entry]).task
    return circuits_in_words(task, folder)


def test_the_task_in_plain_words_says_whether_its_circuits_are_there(tmp_path: Path) -> None:
    """As `sotto check` says it, before anybody signs: missing, another file, bits that do not add up, or all right."""
    (missing,) = circuit_words(tmp_path)
    assert "xor.txt: the file of joint odd cannot be read: no such file or directory" in missing
    assert "Get it from whoever" in missing
    (tmp_path / "xor.txt").write_bytes(XOR.replace(b"\n", b"\r\n"))
    (other,) = circuit_words(tmp_path)
    assert "this is not the circuit that joint odd of the task names" in other
    assert "line ends count" in other
    (tmp_path / "xor.txt").write_bytes(XOR)
    (narrow,) = circuit_words(tmp_path, bits=2)
    assert "its inputs have 3 bits, the circuit has 2 input wires" in narrow
    assert "add up to 2" in narrow
    assert circuit_words(tmp_path) == [
        "Circuit of odd: xor.txt lies beside the task and has the agreed SHA-256; 2 input wires, 1 output wires."
    ]


def test_a_task_without_circuits_says_nothing_of_files(tmp_path: Path) -> None:
    """Most tasks have none."""
    assert circuits_in_words(make_trial().task, tmp_path) == []
