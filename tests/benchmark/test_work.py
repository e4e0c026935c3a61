"""Counted work: the meter against counts by hand, and methods against their recorded counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ovss.benchmark.work import WorkCase, WorkCount, count_work, work_text
from ovss.benchmark.work_history import (
    WorkHistory,
    changes,
    read_history,
    rises,
    write_history,
)
from ovss.benchmark.work_meter import Work, total_work, work_meter
from ovss.cli import main

HISTORY = Path(__file__).resolve().parents[2] / "benchmarks" / "work.json"
RECORDED = read_history(HISTORY).counts
IMAGES = [count for count in RECORDED if not count.case.by_shape]
VIEWS = [count for count in RECORDED if count.case.by_shape]
SMALL = WorkCase("dcp_clip_mini", categories=9, kept=4, size=(64, 96))


def test_operations_calls_and_bytes_of_a_product():
    x = torch.randn(10, 20)
    weight = torch.randn(20, 30)
    with work_meter() as meter:
        y = x @ weight  # 10 x 30 floats
        y.relu_()
        z = y.t().contiguous()  # as many again
        del y
        last = z + 1
    assert last.shape == (30, 10)
    (work,) = meter.stages.values()
    assert work.flops == 2 * 10 * 20 * 30
    assert work.calls == 5  # mm, relu_, t, clone, add
    assert work.peak_bytes == 2 * 4 * 300


def test_views_of_weights_hold_nothing():
    weight = torch.randn(20, 30)
    with work_meter() as meter:
        kept = weight.t()[:3]
    assert kept.shape == (3, 20)
    assert total_work(meter.stages).peak_bytes == 0


def test_stages_get_what_runs_inside_them():
    x = torch.randn(8, 8)

    def product(y: Tensor) -> Tensor:
        return y @ y

    with work_meter() as meter:
        inner = meter.as_stage("head", product)
        held = inner(meter.as_stage("encoder", lambda y: product(product(y)))(x)) @ x
    assert held.shape == (8, 8)
    assert {name: (work.flops, work.calls) for name, work in meter.stages.items()} == {
        "encoder": (2 * 2 * 8**3, 2),
        "head": (2 * 8**3, 1),
        "rest": (2 * 8**3, 1),
    }


@pytest.mark.parametrize("by_shape", [False, True])
def test_the_same_case_has_the_same_counts(by_shape):
    case = replace(SMALL, by_shape=by_shape)
    torch.manual_seed(5)
    first, state = count_work(case), torch.get_rng_state()
    torch.rand(3)
    assert count_work(case) == first
    assert first.total.flops == sum(w.flops for n, w in first.stages.items() if n != "text")
    assert first.total.calls > 100
    torch.manual_seed(5)
    assert torch.equal(torch.get_rng_state(), state), "numbers of the caller are not drawn"


def test_more_categories_are_more_work_and_fewer_kept_ones_are_less():
    work = {kept: count_work(replace(SMALL, kept=kept)).total for kept in (2, 8)}
    assert work[2].flops < work[8].flops
    assert work[2].peak_bytes < work[8].peak_bytes


def counted(flops: int, calls: int = 100, peak: int = 100) -> WorkCount:
    stages = {"encoder": Work(10, 10, 10), "text": Work(10**9, 0, 10**9)}
    return WorkCount(SMALL, {**stages, "decoder": Work(flops - 10, calls - 10, peak)})


def test_a_rise_is_more_than_a_tenth_and_names_its_stage():
    before = counted(100)
    assert before.total == Work(100, 100, 100)
    assert rises(counted(110, 110, 110), before) == []
    assert rises(counted(50), before) == []
    (flops,) = rises(counted(111), before)
    assert "FLOPs rose from 100 to 111 (1.11 x), most of it in the stage decoder" in flops
    found = rises(counted(111, 200, 300), before)
    names = [text.split(": ")[1].split(" rose")[0] for text in found]
    assert names == ["FLOPs", "operator calls", "peak bytes"]
    assert "FLOPs 1.110 x, operator calls 1.000 x" in changes(counted(111), before)


def test_a_history_keeps_reasons_and_the_last_counts(tmp_path):
    history = WorkHistory().with_counts([counted(100)], "first")
    other = WorkCount(replace(SMALL, categories=3), counted(7).stages)
    history = history.with_counts([counted(200), other], "twice the layers")
    write_history(history, tmp_path / "work.json")
    found = read_history(tmp_path / "work.json")
    assert found == history
    assert [entry["reason"] for entry in found.reasons] == ["first", "twice the layers"]
    assert found.find(SMALL) == counted(200)
    assert found.find(other.case) == other
    assert found.find(replace(SMALL, kept=5)) is None
    with pytest.raises(ValueError, match="Expected a reason"):
        history.with_counts([other], " ")


@pytest.mark.parametrize("text", ["[]", "{", '{"cases": [{}], "reasons": []}', "5"])
def test_another_format_is_refused(tmp_path, text):
    (tmp_path / "work.json").write_text(text)
    with pytest.raises(ValueError, match="Expected counts as"):
        read_history(tmp_path / "work.json")


def test_the_command_records_and_fails_after_a_rise(tmp_path, capsys):
    file = tmp_path / "work.json"
    history = ["--history", str(file)]
    command = ["benchmark", "work", "maskclip_mini", "--categories", "4", "--size", "48", "48"]
    assert main([*command, *history, "--record", "first"]) == 0
    assert main([*command, *history, "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["rises"] == []
    assert "operator calls 1.000 x" in capsys.readouterr().out
    content = json.loads(file.read_text())
    content["cases"][0]["stages"]["encoder"]["flops"] //= 2
    file.write_text(json.dumps(content))
    assert main(["benchmark", "work", *history]) == 1
    assert "FLOPs rose from" in capsys.readouterr().out
    assert main(["benchmark", "work", "--history", str(tmp_path / "none.json")]) == 1
    assert "Name methods to count" in capsys.readouterr().err


def test_text_shows_every_stage():
    text = work_text(counted(100))
    assert [line.split()[0] for line in text.splitlines()[2:]] == [
        "encoder",
        "text",
        "decoder",
        "total",
    ]


@pytest.mark.parametrize("before", IMAGES, ids=lambda count: str(count.case))
def test_no_method_works_more_than_recorded(before):
    """If more work is intended: ovss benchmark work --record "the reason"."""
    assert rises(count_work(before.case), before) == []


@pytest.mark.slow
@pytest.mark.parametrize("before", VIEWS, ids=lambda count: str(count.case))
def test_no_method_of_full_size_works_more_than_recorded(before):
    """If more work is intended: ovss benchmark work --record "the reason"."""
    assert rises(count_work(before.case), before) == []
