"""PAMR against a formula that visits every pixel, its limits and its errors."""

from __future__ import annotations

import math

import pytest
import torch
from ovss_plugins.training_free import PAMR
from torch import Tensor

from ovss.inference import InferenceConfig, merged_scores
from ovss.models.configs import load_config
from ovss.registry import POSTPROCESSORS
from ovss.structures import ImageFeatures, Masks, Scores, Selection, TextFeatures
from ovss.testing import make_images, make_names, with_tiny_encoder


def scores_of(probs: Tensor, canvas: Tensor | None) -> Scores:
    batch, kept = probs.shape[:2]
    text = TextFeatures(torch.randn(kept, 1, 4))
    return Scores(probs, Selection.everything(batch, kept), None, text, canvas)


def slow_pamr(image_3HW: Tensor, maps_KHW: Tensor, iterations: int, dilations) -> Tensor:
    """Computes PAMR pixel by pixel and channel by channel in Python numbers."""
    height, width = image_3HW.shape[1:]

    def at(y: int, x: int) -> tuple[int, int]:
        return min(max(y, 0), height - 1), min(max(x, 0), width - 1)

    out = maps_KHW.double().clone()
    weights = {}
    for y in range(height):
        for x in range(width):
            places = [
                [at(y + d * dy, x + d * dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
                for d in dilations
            ]
            around = [place for group in places for place in group]
            near = [place for group in places for i, place in enumerate(group) if i != 4]
            like = [0.0] * len(near)
            for channel in image_3HW.double().tolist():
                values = [channel[a][b] for a, b in around]
                mean = sum(values) / len(values)
                spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
                for i, (a, b) in enumerate(near):
                    like[i] -= abs(channel[a][b] - channel[y][x]) / (1e-8 + 0.1 * spread) / 3
            total = sum(math.exp(value) for value in like)
            weights[y, x] = [(p, math.exp(v) / total) for p, v in zip(near, like, strict=True)]
    for _ in range(iterations):
        before = out.clone()
        for (y, x), near in weights.items():
            out[:, y, x] = sum(w * before[:, a, b] for (a, b), w in near)
    return out.float()


@pytest.mark.parametrize("dilations", [(1,), (2, 5)])
def test_equals_the_slow_formula(dilations):
    canvas = 255 * torch.rand(2, 3, 7, 9)
    canvas[0, :, :4, :5] = 17.0  # a flat patch: no deviation at all
    probs = torch.rand(2, 5, 7, 9)
    refined = PAMR(iterations=3, dilations=dilations, chunk=2)(scores_of(probs, canvas)).probs_BKHW
    for image in range(2):
        expected = slow_pamr(canvas[image], probs[image], 3, dilations)
        torch.testing.assert_close(refined[image], expected, atol=1e-5, rtol=1e-4)


def test_chunks_and_the_range_of_colours_do_not_matter():
    canvas, probs = make_images(1, 24), torch.rand(1, 7, 24, 24).softmax(1)
    one = PAMR(dilations=(1, 3), chunk=100)(scores_of(probs, canvas)).probs_BKHW
    parts = PAMR(dilations=(1, 3), chunk=3)(scores_of(probs, canvas)).probs_BKHW
    torch.testing.assert_close(parts, one)
    unit = PAMR(dilations=(1, 3))(scores_of(probs, canvas / 255)).probs_BKHW
    torch.testing.assert_close(unit, one, atol=1e-5, rtol=1e-3)
    torch.testing.assert_close(one.sum(1), torch.ones(1, 24, 24))


def test_scores_follow_an_edge_of_the_image():
    columns = torch.arange(16).expand(1, 1, 16, 16)
    truth, guess = columns >= 8, (columns >= 10).float()
    canvas = 200.0 * truth.expand(1, 3, 16, 16)
    scores = scores_of(torch.cat([1 - guess, guess], dim=1), canvas)
    assert (scores.labels_BHW() != truth[:, 0]).sum() == 32
    refined = PAMR(dilations=(1, 2, 4))(scores)
    assert torch.equal(refined.labels_BHW(), truth[:, 0].long())


def test_works_at_the_canvas_or_at_its_own_limit():
    scores = scores_of(torch.rand(1, 2, 4, 6), make_images(1, 40)[..., :30, :])
    assert PAMR()(scores).probs_BKHW.shape == (1, 2, 30, 40)
    assert PAMR(max_side=20)(scores).probs_BKHW.shape == (1, 2, 15, 20)
    assert PAMR(max_side=90)(scores).probs_BKHW.shape == (1, 2, 30, 40)


@pytest.mark.parametrize("mode", ["whole", "slide"])
def test_inference_hands_over_the_canvas(mode):
    def segment(views: Tensor):
        features = ImageFeatures(views[:, :, ::8, ::8], views.mean((2, 3)))
        return features, Masks(views[:, :2], Selection.everything(len(views), 2))

    config = InferenceConfig(mode=mode, size=32, keep_ratio=True, window=32, stride=16)
    image = make_images(1, 64)[0][:, :48]
    scores = merged_scores(image, TextFeatures(torch.randn(2, 1, 3)), segment, config)
    expected = torch.nn.functional.interpolate(image[None], (32, 43), mode="bilinear")
    torch.testing.assert_close(scores.canvas_B3YX, expected)


def test_a_missing_image_and_odd_arguments_are_refused():
    with pytest.raises(ValueError, match="Pass the image to Scores as canvas_B3YX"):
        PAMR()(scores_of(torch.rand(1, 2, 4, 4), None))
    for wrong in (dict(chunk=0), dict(iterations=-1), dict(dilations=()), dict(dilations=(0,))):
        with pytest.raises(ValueError, match="PAMR expects "):
            PAMR(**wrong)


def test_a_chain_runs_its_steps_in_order():
    pamr = dict(type="PAMR", iterations=2, dilations=(1,))
    ground = dict(type="Background", name="thing 1", threshold=0.9)
    model = with_tiny_encoder(load_config("naclip_pamr_mini"))
    text, image = model.encode_vocabulary(make_names(3)), make_images(1)[0]
    model.post_processor = POSTPROCESSORS.build(dict(type="Identity"))
    plain = model.scores(image, text)
    chained = POSTPROCESSORS.build(dict(type="Chain", steps=[pamr, ground]))(plain)
    expected = POSTPROCESSORS.build(ground)(POSTPROCESSORS.build(pamr)(plain))
    torch.testing.assert_close(chained.probs_BKHW, expected.probs_BKHW)
    other = POSTPROCESSORS.build(dict(type="Chain", steps=[ground, pamr]))(plain)
    assert (other.probs_BKHW - chained.probs_BKHW).abs().max() > 1e-3
    assert chained.canvas_B3YX is plain.canvas_B3YX
