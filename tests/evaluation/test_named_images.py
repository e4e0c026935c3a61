"""Scores that are not finite stop an evaluation; the error names the image."""

from __future__ import annotations

import numpy as np
import pytest

from ovss.evaluation.named_images import images_named
from tests.evaluation.counted import EveryThirdWrong, counted_config, run
from tests.tiny_training import tiny_config, train

BROKEN = 21


class BrokenScoresError(FloatingPointError):
    pass


@pytest.fixture
def broken_model(monkeypatch):
    forward = EveryThirdWrong.forward

    def failing(self, inputs, data_samples=None, mode="tensor"):
        for sample in data_samples or ():
            if sample.index == BROKEN:
                raise BrokenScoresError("The scores are not finite after the decoder.")
        return forward(self, inputs, data_samples, mode)

    with monkeypatch.context() as patch:
        patch.setattr(EveryThirdWrong, "forward", failing)
        yield patch


@pytest.mark.parametrize("batch", [1, 4])
def test_the_image_is_named_and_the_counts_are_kept(tmp_path, broken_model, batch):
    # the state is never saved by time, so only the error can have saved it
    config = counted_config(batch=batch, save_every=1e9)
    with pytest.raises(
        BrokenScoresError,
        match=rf"finite after the decoder\. It happened at image photos/{BROKEN}\.jpg in the test",
    ):
        run(config, tmp_path)
    assert list(tmp_path.glob("evaluation/*/session-*.json"))
    broken_model.undo()
    loop, metrics = run(counted_config(batch=batch, resume=True), tmp_path)
    assert len(loop.sampler) == 47 - BROKEN // batch * batch
    np.testing.assert_equal(metrics, run(counted_config(), tmp_path / "whole")[1])


def test_other_errors_pass_unchanged():
    with pytest.raises(ValueError, match=r"^something else$"), images_named(None, {}, ""):
        raise ValueError("something else")


def test_validation_in_training_names_the_image_and_the_checkpoint(tmp_path, monkeypatch):
    from ovss.segmentor import OpenVocabSegmentor

    label_map = OpenVocabSegmentor.label_map

    def failing(self, scores, size):
        failing.calls += 1
        if failing.calls in (3, 5):  # the third image, in its batch of two and then alone
            raise BrokenScoresError("The scores are not finite.")
        return label_map(self, scores, size)

    failing.calls = 0
    monkeypatch.setattr(OpenVocabSegmentor, "label_map", failing)
    config = tiny_config(tmp_path, "train_cfg = dict(max_iters=2, val_interval=2)")
    with pytest.raises(BrokenScoresError, match=r"image \S+ in the validation after.*iter_2\.pth"):
        train(config, tmp_path / "run")
