"""Odd input of every class: a sentence and the right status, whole files, no hang, no code run.

`python -m tests.fuzz` runs more cases; OVSS_FUZZ_SEED sets another seed.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from .cases import ACCEPTED, REFUSED, Call, Case
from .checks import Ending, problems_of
from .files import CANARY, snapshot
from .groups import DEFAULT_SEED, FULL, GROUPS, QUICK, find_case
from .odd import damaged, places_of, with_value, without
from .runner import run_case

SEED = int(os.environ.get("OVSS_FUZZ_SEED", DEFAULT_SEED))


def check(name: str, count: int, material: Path, counts) -> None:
    failing = []
    for case in GROUPS[name].cases(SEED, count):
        outcome = run_case(case, material)
        counts.add(outcome)
        if outcome.problems:
            again = f"python -m tests.fuzz --seed {SEED} --case {case.id}"
            failing.append(f"{outcome}\n    again: {again}")
    if failing:
        pytest.fail(f"{len(failing)} of {count} cases:\n" + "\n".join(failing), pytrace=False)


@pytest.mark.parametrize("name", GROUPS)
def test_odd_input(name, material, counts):
    check(name, QUICK[name], material, counts)


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS)
def test_more_odd_input(name, material, counts):
    check(name, FULL[name], material, counts)


def test_a_case_is_the_same_alone_and_among_others():
    for name, group in GROUPS.items():
        among = [case for case in group.cases(SEED, 7)]
        assert [find_case(case.id, SEED) for case in among] == among
        assert len({case.id for case in group.cases(SEED)}) == len(group.recipes), name
    assert GROUPS["images"].case(1, 0).seed != GROUPS["images"].case(2, 0).seed


def ended(tmp_path: Path, call: Call, status: int, err: str, reason: str = "") -> str:
    ending = Ending(status, "", err, reason)
    return " ".join(problems_of(call, ending, tmp_path, snapshot(tmp_path)))


@pytest.mark.parametrize(
    ("status", "err", "problem"),
    [
        (0, "", "status 0 instead of 1"),
        (2, "error: x.png is odd. Mend it", "status 2 instead of 1"),
        (1, "", "without a message"),
        (1, "error: something is odd. Mend it", "names none of"),
        (1, "error: 'x.png'", "a bare message"),
        (1, "error: x.png: 'int' object has no attribute 'get'", "Python's own words"),
        (1, "error: KeyError: x.png (--debug shows where)", "nobody expected"),
        (1, f"error: x.png {'a' * 2000}", "a message of 2006 characters"),
        (1, "error: x.png\x1b[31m is odd", "control characters"),
        (1, 'Traceback (most recent call last):\nerror: x.png is odd"', "Python's own words"),
    ],
)
def test_wrong_endings_are_found(tmp_path, status, err, problem):
    call = Call(("segment", "x.png"), REFUSED, ("x.png",))
    assert problem in ended(tmp_path, call, status, err)
    assert ended(tmp_path, call, 1, "error: x.png is odd. Mend it\n") == ""


def test_wrong_files_are_found(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    (tmp_path / "gone.txt").write_text("mine")
    before = snapshot(tmp_path)
    (tmp_path / "own.txt").write_text("changed")
    (tmp_path / "gone.txt").unlink()
    (tmp_path / "half.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "nan.json").write_text('{"a": NaN}')
    (tmp_path / ".x.json.abc.tmp").write_text("{")
    (tmp_path / CANARY).touch()
    call = Call(("table",), ACCEPTED, expects=("t.md",))
    problems = " ".join(problems_of(call, Ending(0, "", "", ""), tmp_path, before))
    for problem in ("own.txt was changed", "gone.txt was removed", "half.png is not whole",
                    "nan.json is not whole", ".tmp was left behind", "code in the input was run",
                    "t.md is missing"):  # fmt: skip
        assert problem in problems


def _endless(box) -> Call:
    def run() -> None:
        while True:
            try:
                sum(range(1000))
            except Exception:
                continue

    return Call(run)


def _leaving(box) -> Call:
    def run() -> None:
        raise SystemExit(0)

    return Call(run)


@pytest.mark.parametrize(
    ("recipe", "problem"), [(_endless, "hangs"), (_leaving, "raises SystemExit")]
)
def test_calls_that_do_not_end_as_calls_do_are_found(tmp_path, recipe, problem):
    outcome = run_case(Case("own/0", "own", recipe, "0"), tmp_path, limit=0.2)
    assert problem in str(outcome)


def test_damage_changes_and_keeps_what_it_should():
    rng, data = random.Random(0), bytes(range(200))
    assert sum(damaged(data, rng) != data for _ in range(100)) > 90
    content = {"a": [1, {"b": 2}]}
    assert list(places_of(content)) == [(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b")]
    assert with_value(content, ("a", 1, "b"), 3) == {"a": [1, {"b": 3}]}
    assert without(content, ("a", 0)) == {"a": [{"b": 2}]}
    assert content == {"a": [1, {"b": 2}]}
