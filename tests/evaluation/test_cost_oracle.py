"""Time and memory of an evaluation over sessions and ranks, against numbers computed by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ovss.evaluation.cost import Progress, largest
from ovss.evaluation.plan import _plan
from ovss.evaluation.state import ResumeError, SessionCounts, StateFolder, merge

RUNNER = SimpleNamespace(logger=SimpleNamespace(info=lambda line: None))
EMPTY = [{"both": [0]}]


def part(images: list[int], seconds: float, started: str, length: int = 6) -> SessionCounts:
    done_N = np.zeros(length, bool)
    done_N[images] = True
    return SessionCounts(done_N, [{"both": [1]}], seconds, f"2026-01-0{started}T00:00:00+00:00")


def test_sessions_count_as_long_as_their_slowest_rank(tmp_path):
    identity = {"weights": "a"}
    state = StateFolder(tmp_path, identity)
    state.write(1, 0, part([0], 5.0, "3"))
    state.write(1, 1, part([1], 7.5, "2"))
    state.write(4, 0, part([3, 5], 2.0, "4"))
    plan = _plan(RUNNER, tmp_path, range(6), identity, resume=True, empty=EMPTY)
    assert plan.seconds_before == 7.5 + 2.0
    assert (plan.sessions_before, plan.session) == (2, 5)
    assert plan.left_N.tolist() == [False, False, True, False, True, False]
    assert plan.started == "2026-01-02T00:00:00+00:00"
    assert len(plan.parts) == 3


def test_without_resuming_every_image_is_left(tmp_path):
    identity = {"weights": "a"}
    StateFolder(tmp_path, identity).write(1, 0, part([0], 5.0, "3"))
    plan = _plan(RUNNER, tmp_path, range(6), identity, resume=False, empty=EMPTY)
    assert plan.left_N.all()
    assert (plan.session, plan.seconds_before, len(plan.parts)) == (1, 0, 0)
    assert StateFolder(tmp_path, identity).next_session() == 1


def test_an_image_is_in_one_part_only():
    with pytest.raises(ResumeError, match="same image"):
        merge([part([0, 1], 1, "1"), part([1], 1, "1")], 6)


def test_the_peak_of_a_run_is_that_of_its_largest_rank():
    peaks = [{"resident": 7, "gpu": 2}, {"resident": 5, "gpu": 9}, {"resident": 6, "gpu": 1}]
    assert largest(peaks) == {"resident": 7, "gpu": 9}


def test_the_time_left_counts_all_ranks():
    # 10 of 100 images were done before; 2 ranks then did 15 each in 60 s: 2 s an image, 60 left
    line = Progress(100, 10, 2, 15.0, print).line(15, 60.0)
    assert line == "40 of 100 images (40.0 %), 2.000 s per image, 2:00 left"
