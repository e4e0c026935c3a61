"""Two implementations or two checkouts of a method in one comparison, and intervals of ratios."""

from __future__ import annotations

import io
import json
import math
import os
import shutil
import sys
from pathlib import Path

import pytest
import torch

from ovss.benchmark.case_server import CheckoutFinder, serve
from ovss.benchmark.clock import Span
from ovss.benchmark.confidence import RatioInterval, ratio_interval
from ovss.benchmark.instead import agreement
from ovss.benchmark.other_checkout import CaseProcess
from ovss.benchmark.speed import Case, ratios
from ovss.benchmark.speed_plan import SpeedPlan
from ovss.benchmark.speed_text import speed_table
from ovss.cli import main

SMALL = ["--categories", "5", "--size", "48", "64", "--rounds", "2", "--warm-up", "0"]
PLAIN = """
from helper import size_of

def predict(model, image_3HW, text):
    return model.label_map(model.scores(image_3HW, text), size_of(image_3HW))
"""


def test_an_interval_is_students_of_the_logarithms():
    """Ratios 1, 2 and 4 have the logarithms 0, ln 2 and 2 ln 2; t of 2 degrees is 4.302653."""
    found = ratio_interval([3.0, 2.0, 20.0], [3.0, 1.0, 5.0])
    reach = 4.302653 * math.log(2) / math.sqrt(3)
    assert found.ratio == pytest.approx(2.0)
    assert found.low == pytest.approx(2 * math.exp(-reach))
    assert found.high == pytest.approx(2 * math.exp(reach))
    assert found.turns == 3


def test_load_that_all_cases_of_a_turn_share_cancels():
    load = [1.0, 7.0, 2.0, 30.0]
    found = ratio_interval([3 * x for x in load], load)
    assert (found.low, found.high) == (pytest.approx(3.0), pytest.approx(3.0))


def test_one_turn_has_a_ratio_and_no_interval():
    assert ratio_interval([3.0], [2.0]) == RatioInterval(pytest.approx(1.5), None, None, 1)
    assert "no interval" in str(ratio_interval([3.0], [2.0]))


@pytest.mark.parametrize(("times", "references"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0])])
def test_times_that_have_no_ratio_are_refused(times, references):
    with pytest.raises(ValueError, match="as many times as references"):
        ratio_interval(times, references)


def test_another_version_is_divided_by_its_base_and_others_by_the_first():
    def case(method: str, wall: float, base: str | None = None) -> Case:
        return Case(method, "7", spans=[Span(wall, wall)] * 2, stages=[{}] * 2, base=base)

    cases = [case("a", 2.0), case("b", 6.0), case("b at old", 9.0, "b")]
    found = {(row["method"], row["over"]): row for row in ratios(cases)}
    assert {pair: row["processor"] for pair, row in found.items()} == {
        ("b", "a"): 3.0,
        ("b at old", "b"): 1.5,
    }
    assert found["b at old", "b"]["turns"]["wall"]["ratio"] == pytest.approx(1.5)
    assert "7: b at old takes 1.50 x b" in speed_table(cases)


def test_agreement_is_a_share_of_pixels():
    assert agreement(torch.tensor([[1, 2]]), torch.tensor([[1, 3]])) == 0.5
    assert agreement(torch.zeros(2, 2), torch.zeros(2, 3)) is None


def test_another_implementation_is_compared_and_then_timed(tmp_path, capsys):
    (tmp_path / "helper.py").write_text("def size_of(image):\n    return tuple(image.shape[1:])\n")
    (tmp_path / "plain.py").write_text(PLAIN)
    flags = ["--instead", str(tmp_path / "plain.py"), "--json", str(tmp_path / "a.json")]
    assert main(["benchmark", "speed", "maskclip_mini", *SMALL, *flags]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["over_first"][0]["over"] == "maskclip_mini"
    assert found["cases"][-1]["agreement"] == 1.0
    assert "label 100.00% of pixels alike" in capsys.readouterr().out
    assert str(tmp_path) not in sys.path


def test_an_implementation_that_labels_otherwise_is_refused(tmp_path, capsys):
    file = tmp_path / "wrong.py"
    file.write_text(f"{PLAIN.replace('from helper import size_of', '')}    0\n".replace(
        "return model.label_map(model.scores(image_3HW, text), size_of(image_3HW))",
        "return model.label_map(model.scores(image_3HW, text), (48, 64)) * 0 + 4",
    ))  # fmt: skip
    command = ["benchmark", "speed", "maskclip_mini", *SMALL, "--instead"]
    assert main([*command, f"maskclip_mini={file}"]) == 1
    assert "to label at least 99% of the 48 x 64 pixels" in capsys.readouterr().err


@pytest.fixture
def checkout(repo_root, tmp_path) -> Path:
    """Copy of this package in which the decoder of one method labels and counts otherwise."""
    folder = tmp_path / "older"
    for name in ("ovss", "plugins", "configs"):
        shutil.copytree(repo_root / name, folder / name, ignore=shutil.ignore_patterns("__pyc*"))
    shutil.copy(repo_root / "setup.cfg", folder)
    stage = folder / "ovss/benchmark/clock.py"
    text = stage.read_text()
    assert '("decoder", model.decoder, "forward")' in text
    stage.write_text(text.replace('("decoder", model', '("old_decoder", model').replace(
        '"decoder", "back', '"old_decoder", "back'))  # fmt: skip
    return folder


def test_two_checkouts_take_turns_in_processes_of_their_own(checkout, tmp_path, capsys):
    flags = ["--against", str(checkout), "--json", str(tmp_path / "a.json")]
    assert main(["benchmark", "speed", "maskclip_mini", *SMALL, *flags]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    names = [(case["method"], case["vocabulary"]) for case in found["cases"]]
    both = ("maskclip_mini", "maskclip_mini at older")
    assert names == [(name, size) for size in ("encoder alone", "5") for name in both]
    assert "decoder" in found["cases"][2]["stages"]
    assert "old_decoder" in found["cases"][3]["stages"]
    assert found["cases"][3]["agreement"] == 1.0
    assert found["over_first"][-1]["turns"]["processor"]["turns"] == 2
    assert "5: maskclip_mini at older takes" in capsys.readouterr().out


def test_a_process_that_ends_is_named():
    process = CaseProcess(SpeedPlan(["maskclip_mini"], categories=[2], size=(48, 48)))
    try:
        assert process.cases == [["maskclip_mini", "encoder alone"], ["maskclip_mini", "2"]]
        process.process.kill()
        process.process.wait()
        with pytest.raises(RuntimeError, match="measures this version ended with status -9"):
            process.turn(0)
    finally:
        process.close()


def test_errors_of_a_server_are_answers():
    answers = io.StringIO()
    serve(io.StringIO('{"turn": 3}\n{"plan": {"methods": 5}, "threads": 1}\n'), answers)
    first, second = map(json.loads, answers.getvalue().splitlines())
    assert first == {"error": "IndexError: list index out of range"}
    assert second["error"].startswith("TypeError")


def test_packages_of_a_checkout_are_found(repo_root):
    finder = CheckoutFinder(repo_root)
    assert finder.find_spec("ovss").origin == os.fspath(repo_root / "ovss/__init__.py")
    assert finder.find_spec("ovss_plugins").origin == os.fspath(repo_root / "plugins/__init__.py")
    assert finder.find_spec("torch") is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--against", "nowhere"], "Expected a checkout of ovss with ovss/benchmark"),
        (["--against", ".", "--instead", "x.py"], "cannot be combined"),
        (["--instead", "x.py", "--step"], "Expected random images with instead"),
    ],
)
def test_flags_of_versions_that_do_not_go_together_are_errors(capsys, flags, message):
    assert main(["benchmark", "speed", "maskclip_mini", *flags]) == 1
    assert message in capsys.readouterr().err
