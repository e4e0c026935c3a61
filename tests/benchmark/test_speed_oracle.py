"""Statistics of times against values that are written out, with a clock of fixed times."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from ovss.benchmark import table
from ovss.benchmark.clock import Clock, Span
from ovss.benchmark.kept import Point
from ovss.benchmark.speed import ENCODER_ALONE, Case, growth, over_floor, race, ratios
from ovss.benchmark.table_jobs import Job

WALLS = [8.0, 2.0, 20.0, 4.0]  # mean 8.5, median 6


def case_of(walls: list[float], method: str = "a", vocabulary: str = "7") -> Case:
    spans = [Span(wall, 2 * wall) for wall in walls]
    stages = [{"encoder": Span(wall / 2, wall)} for wall in walls]
    return Case(method, vocabulary, lambda clock: None, spans=spans, stages=stages)


def test_best_and_median_and_the_stages_of_the_fastest_run():
    row = case_of(WALLS).as_dict()
    assert row["wall"] == {"best": 2.0, "median": 6.0, "all": WALLS}
    assert row["processor"]["median"] == 12.0
    assert row["stages"] == {"encoder": {"wall": 1.0, "processor": 2.0}}


def test_a_run_of_several_units_is_divided_by_their_number(monkeypatch):
    times = iter([Span(6.0, 9.0), Span(3.0, 12.0)])
    monkeypatch.setattr(Clock, "time", lambda self, call: ((s := next(times)), {"rest": s}))
    case = Case("a", "7", lambda clock: None, units=3)
    clock = Clock(torch.device("cpu"))
    assert case.measure(clock) == Span(2.0, 3.0)
    case.measure(clock)
    assert case.spans == [Span(2.0, 3.0), Span(1.0, 4.0)]
    assert case.stages[1] == {"rest": Span(1.0, 4.0)}
    assert (case.best("wall"), case.best("processor")) == (1.0, 3.0)


@pytest.mark.parametrize("warm_up", [0, 1, 3])
def test_rounds_to_warm_up_do_not_count(monkeypatch, warm_up):
    times = iter(range(100))
    monkeypatch.setattr(Clock, "time", lambda self, call: (Span(next(times), 0.0), {}))
    case = Case("a", "7", lambda clock: None)
    race([case], rounds=2, warm_up=warm_up, log=lambda line: None)
    assert [span.wall for span in case.spans] == [warm_up, warm_up + 1]


def test_ratios_divide_best_times():
    cases = [
        case_of([4.0, 2.0], "a", ENCODER_ALONE),
        case_of([4.0, 9.0], "a", "7"),
        case_of([10.0, 30.0], "a", "70"),
        case_of([6.0, 7.0], "b", "7"),
    ]
    assert [row["wall"] for row in over_floor(cases)] == [4 / 2, 10 / 2]
    (grown,) = growth(cases)
    assert (grown["vocabulary"], grown["over"], grown["wall"]) == ("70", "7", 10 / 4)
    (ratio,) = ratios(cases)
    assert (ratio["method"], ratio["over"], ratio["wall"]) == ("b", "a", 6 / 4)


def test_a_stage_is_the_sum_of_its_runs_and_the_rest_is_what_is_left(monkeypatch):
    clock = Clock(torch.device("cpu"))
    now = iter([(0.0, 0.0), (1.0, 1.0), (3.0, 2.0), (4.0, 2.0), (9.0, 6.0), (10.0, 7.0)])
    monkeypatch.setattr(Clock, "now", lambda self: next(now))
    monkeypatch.setattr("time.perf_counter", iter([0.0, 10.0]).__next__)
    run = clock.as_stage("encoder", lambda: None)

    def call() -> None:
        run()
        run()

    whole, stages = clock.time(call)
    assert whole == Span(10.0, 7.0)
    assert stages == {"encoder": Span(2.0 + 5.0, 1.0 + 4.0), "rest": Span(3.0, 2.0)}


class Eight(nn.Linear):
    """Method of eight parameters."""

    encoder = SimpleNamespace(reads_labels=False)


def test_a_row_of_the_table_has_the_median_of_its_images(monkeypatch):
    job = Job("a", "mini_20", 3, "none", "cpu")
    point = Point(None, ("cat", "dog"), np.array([True, False]), macs=3 * 10**9)
    for seconds in (9.0, 1.0, 2.0):
        point.seconds.append(Span(100.0, seconds))
    point.kept_view, point.kept_image = [2, 1], [2]
    made = {
        "config_of": lambda method: None,
        "build_segmentor": lambda *arguments: Eight(3, 2),
        "open_dataset": lambda *arguments: None,
        "curve": lambda *arguments, **options: [point],
        "_memory": lambda *arguments: 7,
    }
    for name, function in made.items():
        monkeypatch.setattr(table, name, function)
    row = table.measure_row(job)
    assert (row["seconds"], row["clock"]) == (2.0, "processor")
    assert (row["gflops"], row["kept"], row["memory"]) == (6.0, 1.5, 7)
    assert (row["parameters"], row["learnable"]) == (8, 8)
