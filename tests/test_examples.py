"""The examples: what comes out of the stream is what plain computation gives; the documented costs are counted here."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from examples.__main__ import lines, main
from examples.aes_128 import aes_128
from examples.plain import Expected, Key, add_up, evaluate, expected
from examples.run import Found, Outcome, run
from examples.trial import JOBS, read, write_trial
from mpc_ops.joint.jobs import numbers
from mpc_ops.joint.replicated import reveal
from protocol.errors import ConfigError
from protocol.joint import LinearSolveSpec
from runtime.keyfiles import read_card, read_key
from streams.joint.netlists import load_netlists
from streams.joint.plan import Plan, plans_of
from streams.joint.run import window_program
from tests.streams.joint.rounds_log import RoundsLog
from tests.trial import Trial, make_trial

DOCUMENT = Path(__file__).parents[1] / "docs" / "joint-computation.md"
MARKERS = ("<!-- jobs -->\n", "<!-- end of jobs -->")


class InMemory(NamedTuple):
    """An example whose parties talk over a log in memory: its plans, and the log at the end."""

    job: str
    plans: tuple[Plan, ...]
    log: RoundsLog


def in_memory(job: str, directory: Path) -> InMemory:
    """Share the example's sums at random, and let three parties compute on them. `job`: or a directory."""
    example = read(job)
    written = write_trial(example, directory, mqtt="mqtt://127.0.0.1:1", kafka="127.0.0.1:2")
    task, roster = written.task, written.roster
    names = (*task.party_names, "collector")
    trial = Trial(
        task=task,
        roster=roster,
        keys={name: read_key(directory / "keys" / f"{name}.key") for name in names},
        cards={name: read_card(directory / "cards" / f"{name}.card") for name in names},
    )
    plans = plans_of(task, roster, load_netlists(task, directory))
    found = add_up(example)
    counts, units = [], []
    for cell in roster.cells(task):
        name = task.measure_names[cell.measure]
        measure = task.measures[name]
        count = found.counts[cell.labels][name]
        steps = found.cells[cell.labels][name] / Fraction(measure.resolution)
        assert steps.denominator == 1, "the readings are whole steps"
        counts.append(count)
        units.append(int(steps) - count * measure.minimum_steps)
    random = np.random.default_rng(1)
    components = random.integers(0, 2**64, size=(3, len(units)), dtype=np.uint64)
    components[2] = np.array(units, dtype=np.uint64) - components[0] - components[1]
    held = [components[sorted((party, (party + 1) % 3))] for party in range(3)]
    rows = np.array(counts, dtype=np.int64)

    def columns(plan: Plan) -> Any:
        return lambda party: plan.columns(held[party], rows, range(len(plan.groups)), party)

    program = window_program([(plan.job(range(len(plan.groups))), columns(plan)) for plan in plans])
    log = RoundsLog(program, trial=trial)
    log.place = replace(log.place, window=task.valid_from)
    log.start().finish()
    return InMemory(job, plans, log)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, InMemory]:
    """All examples, in memory."""
    return {job: in_memory(job, tmp_path_factory.mktemp("examples") / job) for job in JOBS}


def values(one: InMemory) -> Iterator[tuple[Key, Fraction]]:
    """What the collector reads in the parties' shares."""
    for number, plan in enumerate(one.plans):
        groups = range(len(plan.groups))
        ends = [run.result[number] for run in one.log.runs]
        shares = [end.shared.values for end in ends]
        found = numbers(plan.job(groups), reveal(ends[0].shared.ring, shares))
        _, resolution = plan.spec.result(plan.task.measures)
        for value in plan.values(groups, (), found):
            yield Key(plan.name, value.key, tuple(sorted(value.labels.items()))), value.steps * Fraction(resolution)


@pytest.mark.parametrize("job", JOBS)
def test_in_memory(job: str, ran: dict[str, InMemory]) -> None:
    """Every number that the plain computation has, and no other; solutions are rounded, all else is exact."""
    wanted = expected(read(job))
    found = dict(values(ran[job]))
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        assert abs(value - wanted[key].value) <= wanted[key].off_by
        assert (wanted[key].off_by > 0) == (job in ("linear_solve", "least_squares"))


def table(ran: dict[str, InMemory]) -> str:
    """What an example's window costs on the stream, as it stands in the document."""
    rows = ["| example | results | rounds | bytes |", "|---|---|---|---|"]
    for job, one in ran.items():
        results = sum(plan.job(range(len(plan.groups))).results for plan in one.plans)
        written = [0, 0, 0]
        for raw in one.log.log:
            written[one.log.decode(raw).party] += len(raw)
        rounds = len(one.log.log) // 3
        rows.append(f"| `{job}` | {results} | {rounds} | {max(written):,} |")
    return "\n".join(rows) + "\n"


def test_the_documented_costs_are_counted(ran: dict[str, InMemory]) -> None:
    """Rounds with those of keys and confirmation; bytes on the topic of the busiest party, signatures and seals too."""
    text = DOCUMENT.read_text(encoding="utf-8")
    begin, end = MARKERS
    counted = table(ran)
    assert text.partition(begin)[2].partition(end)[0] == counted, f"the table has to be\n{counted}"


@pytest.mark.parametrize("job", JOBS)
def test_on_the_stream(job: str, tmp_path: Path) -> None:
    """MQTT to SQLite, all roles as processes: the same numbers, checked by all three parties."""
    outcome = run(job, tmp_path / job)
    shown = "\n".join(lines(outcome))
    assert outcome.right, shown
    assert all(one.verified for one in outcome.found.values())
    assert "WRONG" not in shown
    assert "missing" not in shown


def test_the_classic_system_is_solved_as_least_squares() -> None:
    """2x + 3y = 8, 4x - y = 1, 6x + 2y = 10 by Cramer's rule on the normal equations, beside numpy's answer."""
    rows = ((2, 3, 8), (4, -1, 1), (6, 2, 10))
    xx, xy, yy, xr, yr = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2)))
    determinant = xx * yy - xy * xy
    x = Fraction(xr * yy - yr * xy, determinant), Fraction(xx * yr - xy * xr, determinant)
    assert any(row[0] * x[0] + row[1] * x[1] != row[2] for row in rows), "there is no exact solution"
    numpys = expected(read("least_squares"))
    for key, exact in zip(("x_x1", "x_x2"), x, strict=True):
        assert abs(numpys[Key("fit", key)].value - exact) < Fraction(1, 10**12)


def test_each_organisation_holds_one_equation_or_one_column() -> None:
    """In the examples of linear systems no organisation could solve anything alone."""
    for row in read("least_squares").rows:
        assert [one["organisation"] for one in read("least_squares").rows].count(row["organisation"]) == 1
    holders: dict[str, set[str]] = {}
    for row in read("linear_solve").rows:
        for column in ("a1", "a2", "a3", "b"):
            if row[column]:
                holders.setdefault(f"equation {row['row']}", set()).add(row["organisation"])
        for column in ("c1", "c2", "c3", "d"):
            if row[column]:
                holders.setdefault(column, set()).add(row["organisation"])
    assert all(len(organisations) == 1 for organisations in holders.values())
    assert len(set.union(*(holders[f"equation {number}"] for number in (1, 2, 3)))) == 3
    assert len(set.union(*(holders[column] for column in ("c1", "c2", "c3")))) == 3


def test_the_square_systems_have_exact_solutions(ran: dict[str, InMemory]) -> None:
    """What comes out solves the equations exactly, as decimals."""
    found = dict(values(ran["linear_solve"]))
    sums = add_up(read("linear_solve"))
    for plan in ran["linear_solve"].plans:
        assert isinstance(plan.spec, LinearSolveSpec)
        x = [found[Key(plan.name, f"x_{name}")] for name in plan.spec.matrix]
        for cell in sums.cells.values():
            left = sum((cell[name] * one for name, one in zip(plan.spec.matrix, x, strict=True)), Fraction(0))
            assert left == cell[plan.spec.right]


def test_the_circuit_gives_the_published_vectors(ran: dict[str, InMemory]) -> None:
    """FIPS 197, appendices C.1 and B: key, block and result as they stand there."""
    published = {
        "c1": (
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
        "b": (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "3243f6a8885a308d313198a2e0370734",
            "3925841d02dc09fbdc118597196a0b32",
        ),
    }
    sums = add_up(read("circuit"))
    found = dict(values(ran["circuit"]))
    for (label,), cell in sums.cells.items():
        key, block = ("".join(f"{int(cell[f'{letter}{k}']):08x}" for k in range(4)) for letter in "km")
        assert (key, block) == published[label][:2]
        assert found[Key("cipher", "out0", (("block", label),))] == int(published[label][2], 16)


def test_a_wrong_result_is_shown_as_such() -> None:
    """The comparison can fail: half a step more, one number less, a suppressed job."""
    key = Key("fit", "x_a")
    wanted = {key: Expected(value=Fraction(1), off_by=Fraction(1, 2000))}

    def outcome(steps: int | None, **changes: Any) -> Outcome:
        found = {} if steps is None else {key: Found(steps=steps, resolution=Decimal("0.001"), verified=True)}
        given: dict[str, Any] = {"found": found, "expected": wanted, "suppressed": {}} | changes
        return Outcome(job="least_squares", directory=Path(), **given)

    assert outcome(1000).right
    assert not outcome(1001).right
    assert not outcome(None).right
    assert not outcome(1000, expected={}).right
    assert not outcome(1000, suppressed={("fit", "{}"): "singular_system"}).right


def own(directory: Path, **changes: tuple[str, str]) -> str:
    """Write a task of one's own and its readings: a limit by district and a circuit. `changes`: of its files."""
    netlist = "2 6\n2 2 2\n1 2\n2 1 0 2 4 XOR\n2 1 1 3 5 AND\n"
    joint = (
        '[[joint]]\nname = "bits"\njob = "circuit"\nfile = "gates.txt"\n'
        f'sha256 = "{sha256(netlist.encode()).hexdigest()}"\ninputs = [["load", 2], ["load", 2]]\n'
    )
    files = {
        "task": read("threshold")
        .task.replace("limit   = 1200.5", "limit   = 3")
        .replace("# [party", f"{joint}# [party"),
        "readings": "time,organisation,district,load\n"
        + "".join(
            f"2025-06-02T10:0{minute}:00Z,{organisation},{district},{load}\n"
            for minute, (organisation, district, load) in enumerate(
                (o, d, load) for d, load in (("hill", "0.9"), ("mill", "1.1")) for o in ("north", "west", "south")
            )
        ),
    }
    directory.mkdir()
    for name, (old, new) in changes.items():
        assert old in files[name]
        files[name] = files[name].replace(old, new)
    (directory / "task.toml").write_text(files["task"])
    (directory / "readings.csv").write_text(files["readings"])
    (directory / "gates.txt").write_text(netlist)
    return str(directory)


def test_a_task_of_ones_own(tmp_path: Path) -> None:
    """A directory like those of the examples is one: its circuits lie in it, and are evaluated in the open."""
    place = own(tmp_path / "mine")
    found = dict(values(in_memory(place, tmp_path / "trial")))
    assert found == {key: one.value for key, one in expected(read(place)).items()}
    hill, mill = ((("district", name),) for name in ("hill", "mill"))
    assert (found[Key("overload", "above", hill)], found[Key("overload", "above", mill)]) == (0, 1)
    assert found[Key("bits", "out0", hill)] == 27 & 2, "a bit XOR itself, and the second AND itself"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"task": ("# [party.*]", "[party.x]\n#")}, "names operators by keys"),
        ({"task": ("[[joint]]", "[[other]]")}, "has no"),
        ({"task": ("format ", "= ")}, "not TOML"),
        ({"readings": (",load", ",lod")}, "no column load"),
        ({"readings": ("T10:00:00Z", "T11:00:00Z")}, "of one window"),
        ({"readings": ("2025", "2024")}, "valid_from"),
        ({"readings": ("10:00:00Z", "10:00:00")}, "with a zone"),
    ],
)
def test_a_task_of_ones_own_that_cannot_run(tmp_path: Path, changes: Any, words: str) -> None:
    """The fault is told before anything is written."""
    with pytest.raises(ConfigError, match=words):
        in_memory(own(tmp_path / "mine", **changes), tmp_path / "trial")
    assert not (tmp_path / "trial").exists()


def test_an_example_is_written_for_servers_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files for real brokers, each role with pages of its own; what to start; nothing is written over."""
    arguments = ["examples", own(tmp_path / "mine"), "--write", str(tmp_path / "out"), "--kafka", "kafka:9092"]
    monkeypatch.setattr("sys.argv", arguments)
    assert main() == 0
    written = tmp_path / "out" / "mine"
    said = capsys.readouterr().out
    for role in ("party party-1", "gateway north-1", "collector collector", "sink sink"):
        kind, name = role.split()
        assert f"sotto {kind} {written / name}.toml" in said
    files = sorted(written.glob("*-?.toml"))
    listens = [tomllib.loads(file.read_text())["http"]["listen"] for file in files]
    assert len(set(listens)) == len(files) == 6
    assert not any("api_version" in file.read_text() or "kafka:9092" not in file.read_text() for file in files)
    assert main() == 2
    assert "already" in capsys.readouterr().err


def test_an_unknown_example_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What there is stands in the message."""
    monkeypatch.setattr("sys.argv", ["examples", "treshold"])
    assert main() == 2
    assert "threshold, rank" in capsys.readouterr().err


def test_gates_in_the_open_give_the_published_vector() -> None:
    """The netlist of AES-128, read gate by gate: FIPS 197, appendix C.1."""
    key, block = int("000102030405060708090a0b0c0d0e0f", 16), int("00112233445566778899aabbccddeeff", 16)
    assert evaluate(aes_128(), key | block << 128) == [int("69c4e0d86a7b0430d8cdb78070b4c55a", 16)]


def test_the_entries_in_the_document_are_valid() -> None:
    """What people copy makes a task; what is written there as a default is the default."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    shown = re.sub(r"^# (\w+ *= )", r"\1", text, flags=re.MULTILINE)
    assert shown.count("\n#") < text.count("\n#")
    tasks = []
    for form in (text, shown):
        document = tomllib.loads(form, parse_float=Decimal)
        assert document.pop("scheme") == {"name": "replicated"}
        tasks.append(make_trial(**document).task)
    assert {spec.job for spec in tasks[0].joint} == set(JOBS)
    assert tasks[0].hash == tasks[1].hash
