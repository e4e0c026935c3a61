"""Cells of a report: kept by everything that enters them, measured once, resumed after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ovss.cli import main
from ovss.evaluation.iou import AreaCounts, IoUReport
from ovss.report import identity
from ovss.report.cells import ACCURACY, COST, CellJob
from ovss.report.identity import identity_of
from ovss.report.intervals import areas_of
from ovss.report.jobs import method_labels, report_jobs
from ovss.report.measure import measure_cells, measured_content
from ovss.report.pages.section_categories import category_ious
from ovss.report.plan import ComparedMethod
from ovss.report.store import CellStore
from tests.report.report_parts import TINY, small_plan


def pretend(made):
    def run(job):
        made.append(str(job))
        return {"value": len(made)}

    return run


def test_a_cell_is_measured_once(tmp_path):
    made, store = [], CellStore(tmp_path)
    jobs = report_jobs(small_plan())
    first = measure_cells(jobs, store, run=pretend(made))
    again = measure_cells(jobs, store, run=pretend(made))
    assert len(made) == len(jobs) == 2 + 4
    assert [cell.content for cell in again] == [cell.content for cell in first]
    measure_cells(jobs[:1], store, again=True, run=pretend(made))
    assert len(made) == len(jobs) + 1


def test_a_changed_method_costs_its_cells_only(tmp_path):
    made, store = [], CellStore(tmp_path)
    measure_cells(report_jobs(small_plan()), store, run=pretend(made))
    made.clear()
    threshold = "dcp_clip_mini,model.selector.threshold=0.2"
    changed = (ComparedMethod("maskclip_mini"), ComparedMethod(threshold))
    measure_cells(report_jobs(small_plan(methods=changed)), store, run=pretend(made))
    assert made == [
        "dcp_clip_mini on mini_20",
        "dcp_clip_mini: cost of 5 names",
        "dcp_clip_mini: cost of 30 names",
    ]


def test_a_cell_that_is_measured_again_says_why(tmp_path, monkeypatch):
    lines, store = [], CellStore(tmp_path)
    jobs = report_jobs(small_plan())
    measure_cells(jobs, store, log=lines.append, run=pretend([]))
    assert not any("again" in line for line in lines)
    versions = identity.made_with("cpu")
    lines.clear()
    monkeypatch.setattr(identity, "made_with", lambda device: {**versions, "threads": 7})
    measure_cells(jobs, store, log=lines.append, run=pretend([]))
    reason = f", measured again because of made_with.threads (was {versions['threads']}, is 7)"
    assert len(lines) == len(jobs)
    assert all(reason in line for line in lines)


def test_a_failing_cell_leaves_the_others(tmp_path):
    def run(job):
        if job.kind == COST:
            raise RuntimeError("out of\nmemory")
        return {"value": 1}

    cells = measure_cells(report_jobs(small_plan()), CellStore(tmp_path), run=run)
    assert [cell.problem for cell in cells] == ["", ""] + ["out of memory"] * 4
    unknown = CellJob(ACCURACY, "absent_method", "absent", "mini_20", 2)
    (cell,) = measure_cells([unknown], CellStore(tmp_path), run=run)
    assert "Unknown config 'absent_method'" in cell.problem


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "x"}', '{"a": NaN}'])
def test_a_damaged_file_is_measured_again(tmp_path, content):
    made, store = [], CellStore(tmp_path)
    (job,) = report_jobs(small_plan(methods=(ComparedMethod(TINY),), categories=()))
    (cell,) = measure_cells([job], store, run=pretend(made))
    store.path(cell.key).write_text(content)
    measure_cells([job], store, run=pretend(made))
    assert len(made) == 2
    assert json.loads(store.path(cell.key).read_text())["content"] == {"value": 2}


def test_everything_that_enters_a_cell_is_in_its_hash(monkeypatch, tmp_path):
    job = CellJob(ACCURACY, TINY, "tiny", "mini_20", 2)
    base = identity_of(job)
    changes = [
        {"images": 3}, {"data": "mini_150"}, {"weights": "none"}, {"kind": COST, "names": ("a",)},
        {"temperature": 50.0}, {"method": f"{TINY},model.decoder.scale=50"},
        {"method": "maskclip_mini"}, {"method": f"{TINY},model.inference.size=64"},
    ]  # fmt: skip
    for change in changes:
        assert identity_of(CellJob(**{**vars(job), **change})) != base, change
    assert identity_of(CellJob(**{**vars(job), "label": "other"})) == base, "a label is no input"
    monkeypatch.setattr(identity, "MEASURED_BY", 10**6)
    assert identity_of(job) != base


def test_a_changed_source_of_a_component_changes_the_hash(monkeypatch):
    from ovss_plugins.dcp_clip import selector

    job = CellJob(ACCURACY, "dcp_clip_mini", "dcp", "mini_20", 2)
    other = CellJob(ACCURACY, "maskclip_mini", "mask", "mini_20", 2)
    before = identity_of(job)["code"], identity_of(other)["code"]
    read, file = type(identity.Path(selector.__file__)).read_text, selector.__file__

    def changed(path, **options):
        return read(path, **options) + ("# changed" if str(path) == file else "")

    monkeypatch.setattr(type(identity.Path(file)), "read_text", changed)
    after = identity_of(job)["code"], identity_of(other)["code"]
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_counts_of_images_add_up_to_the_metrics():
    (job,) = report_jobs(small_plan(methods=(ComparedMethod("maskclip_mini"),), categories=()))
    values = measured_content(job)
    areas, count = areas_of(values["areas"]), len(values["names"])
    counts = AreaCounts(count)
    for _, t, correct, predicted, true in areas:
        counts.both_T[t] += correct
        counts.predicted_T[t] += predicted
        counts.true_T[t] += true
    import numpy as np

    report = IoUReport(tuple(values["names"]), np.array(values["seen"]), counts)
    assert report.summary()["mIoU"] == pytest.approx(values["row"]["mIoU"], abs=1e-4)
    wrong = sum(pixels for _, _, pixels in values["confused"])
    assert wrong == areas[:, 4].sum() - areas[:, 2].sum()
    from ovss.report.cells import Cell

    ious = category_ious(Cell(job, "", values))
    mean = np.mean([value for value in ious if value is not None])
    assert mean == pytest.approx(values["row"]["mIoU"], abs=1e-4)


def test_methods_have_different_labels():
    methods = [
        ComparedMethod("a"), ComparedMethod("dir/b.py"), ComparedMethod("b,k=1", "x/w.pth"),
        ComparedMethod("c", label="same"), ComparedMethod("d", label="same"), ComparedMethod("a"),
    ]  # fmt: skip
    labels = method_labels(methods)
    assert len(set(labels)) == len(labels)
    assert labels[0] == "a"


@pytest.mark.parametrize(
    "arguments",
    [
        ["absent_mini", "--on", "mini_20"],
        ["maskclip_mini", "--on", "absent"],
        ["maskclip_mini=", "--on", "mini_20"],
        ["--plan", "absent.yaml"],
        ["maskclip_mini", "--categories", "0"],
    ],
)
def test_bad_input_gives_one_line(arguments, tmp_path, capsys):
    try:
        status = main(["benchmark", "report", *arguments, "--scenes", "1", "--out", str(tmp_path)])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_run_continues(tmp_path):
    """The command is killed in its second cell; its process ends too, and the first is kept."""
    arguments = ["benchmark", "report", TINY, "dcp_clip_mini", "--on", "mini_20", "--scenes", "2"]
    arguments += ["--categories", "5", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "ovss", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        for line in run.stdout:
            if line.startswith("[2/"):
                break
        os.kill(run.pid, signal.SIGKILL)
    cells = tmp_path / "cells"
    kept = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.json")}
    assert len(kept) == 1
    time.sleep(1)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "on mini_20: already measured" in done.stdout
    for name, changed in kept.items():
        assert (cells / name).stat().st_mtime_ns == changed
    assert (tmp_path / "report.html").is_file()
    assert not list(tmp_path.rglob("*.tmp"))
