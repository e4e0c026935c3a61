"""Test loop: each image once, on any number of ranks, across interruptions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ovss.evaluation.cost import Progress
from ovss.evaluation.loop import EachPictureOnce
from ovss.evaluation.state import ResumeError
from ovss.io.advice import advice_of
from ovss.io.hashing import content_hash
from tests.evaluation.counted import EveryThirdWrong, counted_config, run, true_pixels

IMAGES, CATEGORIES = 47, 50


def counted(loop) -> list[int]:
    return loop.evaluator.metrics[0].report.counts.true_T.tolist()


def cut(monkeypatch: pytest.MonkeyPatch, work_dir: Path, image: int = 21) -> Path:
    """SessionCounts left by an evaluation that is interrupted in the middle of a batch."""
    forward = EveryThirdWrong.forward

    def until(self, inputs, data_samples=None, mode="tensor"):
        if any(sample.index == image for sample in data_samples or ()):
            raise KeyboardInterrupt
        return forward(self, inputs, data_samples, mode)

    with monkeypatch.context() as patch:
        patch.setattr(EveryThirdWrong, "forward", until)
        with pytest.raises(KeyboardInterrupt):
            run(counted_config(), work_dir)
    (part,) = work_dir.glob("evaluation/*/session-*.json")
    return part


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, float]:
    """Metrics of an uninterrupted evaluation."""
    loop, metrics = run(counted_config(), tmp_path_factory.mktemp("whole"))
    assert counted(loop) == true_pixels(IMAGES, CATEGORIES)
    return metrics


def test_an_interrupted_evaluation_continues_where_it_stopped(tmp_path, monkeypatch, whole):
    part = cut(monkeypatch, tmp_path)
    seen = []
    original = EveryThirdWrong.forward

    def watched(self, inputs, data_samples=None, mode="tensor"):
        seen.extend(sample.index for sample in data_samples)
        return original(self, inputs, data_samples, mode)

    monkeypatch.setattr(EveryThirdWrong, "forward", watched)
    loop, metrics = run(counted_config(batch=5, resume=True), tmp_path)
    assert seen == list(range(20, IMAGES))
    np.testing.assert_equal(metrics, whole)
    assert counted(loop) == true_pixels(IMAGES, CATEGORIES)
    assert (loop.cost.sessions, loop.cost.images) == (2, IMAGES)
    assert loop.cost.seconds > json.loads(part.read_text())["seconds"]


def test_resuming_a_complete_evaluation_gives_the_same_at_once(tmp_path, whole):
    run(counted_config(), tmp_path)
    loop, metrics = run(counted_config(resume=True), tmp_path)
    np.testing.assert_equal(metrics, whole)
    assert len(loop.sampler) == 0


def test_without_resume_it_starts_again(tmp_path, monkeypatch, whole):
    cut(monkeypatch, tmp_path)
    loop, metrics = run(counted_config(), tmp_path)
    np.testing.assert_equal(metrics, whole)
    assert loop.cost.sessions == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model.shift": 1.0}, "other weights, model "),
        ({"model.prompts": {"templates": "imagenet_80"}}, "other protocol "),
        ({"test_dataloader.dataset.images": 46}, "other data"),
        ({"test_evaluator.absent": "union"}, "other protocol, metric"),
    ],
)
def test_a_state_of_something_else_is_refused(tmp_path, monkeypatch, change, message):
    cut(monkeypatch, tmp_path)
    state = {path: path.read_bytes() for path in tmp_path.glob("evaluation/*/*")}
    config = counted_config(resume=True)
    config.merge_from_dict(change)
    with pytest.raises(ResumeError, match=message) as caught:
        run(config, tmp_path)
    assert "start another instead of resuming" in str(caught.value)
    assert advice_of(caught.value).topics == ("start_again", "keep_apart")
    assert state == {path: path.read_bytes() for path in tmp_path.glob("evaluation/*/*")}


def test_a_finished_evaluation_does_not_block_another(tmp_path):
    run(counted_config(), tmp_path)
    _, metrics = run(counted_config(images=3, resume=True), tmp_path)
    assert metrics["pACC"] < 100


def test_a_state_that_cannot_be_written_costs_no_metrics(tmp_path, monkeypatch, whole):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("ovss.evaluation.state.write_text", full)
    _, metrics = run(counted_config(), tmp_path)
    np.testing.assert_equal(metrics, whole)


def test_a_damaged_part_is_counted_again(tmp_path, monkeypatch, whole):
    part = cut(monkeypatch, tmp_path)
    part.write_bytes(part.read_bytes()[:200])
    loop, metrics = run(counted_config(resume=True), tmp_path)
    np.testing.assert_equal(metrics, whole)
    assert counted(loop) == true_pixels(IMAGES, CATEGORIES)


def changed_counts(content: dict) -> None:
    content["counts"][0]["true"][0] += 1


def fractions(content: dict) -> None:
    content["counts"][0]["both"][0] = 1.5


def negative(content: dict) -> None:
    content["counts"][0]["both"][0] = -1


def other_classes(content: dict) -> None:
    content["counts"] = [{key: row[:-1] for key, row in content["counts"][0].items()}]


def too_many_marks(content: dict) -> None:
    content["done"] = "/" * 8


def other_length(content: dict) -> None:
    content["pictures"] = 10**12


def other_format(content: dict) -> None:
    content["format"] = 1


def no_counts(content: dict) -> None:
    del content["counts"]


def not_finite(content: dict) -> None:
    content["seconds"] = float("nan")


@pytest.mark.parametrize("is_signed", [False, True])
@pytest.mark.parametrize(
    "change",
    [changed_counts, fractions, negative, other_classes, too_many_marks, other_length]
    + [other_format, no_counts, not_finite],
)
def test_a_changed_part_is_counted_again(tmp_path, monkeypatch, whole, change, is_signed):
    if is_signed and change is changed_counts:
        pytest.skip("counts that fit, and that this program signed, are believed")
    part = cut(monkeypatch, tmp_path)
    content = json.loads(part.read_text())
    change(content)
    if is_signed:
        del content["check"]
        content["check"] = content_hash(content)
    part.write_text(json.dumps(content))
    loop, metrics = run(counted_config(resume=True), tmp_path)
    np.testing.assert_equal(metrics, whole)
    assert counted(loop) == true_pixels(IMAGES, CATEGORIES)


def test_a_second_process_does_not_count_the_same_evaluation(tmp_path, monkeypatch):
    part = cut(monkeypatch, tmp_path)
    lock = (
        "import time; from pathlib import Path; from ovss.evaluation.state import StateFolder; "
        f"state = StateFolder(Path({str(part.parent.parent)!r}), {{}}); "
        f"state.folder = Path({str(part.parent)!r}); kept = state.lock(); "
        "print(True, flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", lock], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        with pytest.raises(BlockingIOError, match=f"in use by another evaluation.*{other.pid}"):
            run(counted_config(resume=True), tmp_path)
    finally:
        other.kill()
        other.wait()
    run(counted_config(resume=True), tmp_path)


def test_a_part_that_is_there_twice_is_refused(tmp_path, monkeypatch):
    part = cut(monkeypatch, tmp_path)
    part.with_name("session-0007-rank-0000.json").write_bytes(part.read_bytes())
    with pytest.raises(ResumeError, match="same image"):
        run(counted_config(resume=True), tmp_path)


def test_what_cannot_be_continued_is_refused(tmp_path):
    config = counted_config()
    config.test_evaluator = {"type": "IoUMetric"}
    with pytest.raises(TypeError, match=r"IoUMetric keeps data of every image"):
        run(config, tmp_path)
    config = counted_config()
    config.test_dataloader.sampler = {"type": "InfiniteSampler"}
    with pytest.raises(ValueError, match=r"InfiniteSampler.*may repeat images"):
        run(config, tmp_path)


@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 60])
def test_what_is_left_is_shared_out_without_repeats(ranks):
    left_N = np.random.default_rng(0).random(IMAGES) < 0.6
    shares = []
    for rank in range(ranks):
        sampler = EachPictureOnce(range(IMAGES), rank=rank, ranks=ranks)
        sampler.give(left_N)
        shares.append(list(sampler))
        assert len(sampler) == len(shares[-1])
    assert sorted(index for share in shares for index in share) == np.flatnonzero(left_N).tolist()
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_progress_estimates_the_time_left():
    lines: list[str] = []
    progress = Progress(total=100, before=20, ranks=2, every=0.0, say=lines.append)
    progress.step(0)
    assert not lines
    progress.step(10)
    assert lines[0].startswith("40 of 100 images (40.0 %)")
    assert progress.line(10, 60.0) == "40 of 100 images (40.0 %), 3.000 s per image, 3:00 left"


def in_processes(folder: Path, *steps: dict) -> list[dict]:
    plan = folder / "steps.json"
    plan.write_text(json.dumps(steps))
    found = subprocess.run(
        [sys.executable, "-m", "tests.evaluation.counted_ranks", str(plan)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
        timeout=600,
    )
    return [json.loads(line) for line in found.stdout.splitlines() if line.startswith("{")]


@pytest.mark.slow
def test_any_number_of_processes_counts_alike(tmp_path, whole):
    steps = [
        {"work_dir": str(tmp_path / str(ranks)), "ranks": ranks, "resume": False}
        for ranks in (1, 2, 3)
    ]
    few = {"work_dir": str(tmp_path / "few"), "ranks": 3, "resume": False, "images": 2}
    *answers, answer = in_processes(tmp_path, *steps, few)
    for ranks, found in enumerate(answers, 1):
        assert found["ranks"] == ranks
        assert found["true"] == true_pixels(IMAGES, CATEGORIES)
        np.testing.assert_equal(found["metrics"], whole)
    assert answer["true"] == true_pixels(2, CATEGORIES)


@pytest.mark.slow
def test_killed_runs_resume_with_other_numbers_of_processes(tmp_path, whole):
    step = {"work_dir": str(tmp_path / "run")}
    first, second, last = in_processes(
        tmp_path,
        {**step, "ranks": 3, "resume": False, "die": 31},
        {**step, "ranks": 2, "resume": True, "die": 40},
        {**step, "ranks": 1, "resume": True},
    )
    assert -9 in first["codes"]
    assert -9 in second["codes"]
    assert last["sessions"] == 3
    assert last["true"] == true_pixels(IMAGES, CATEGORIES)
    np.testing.assert_equal(last["metrics"], whole)
