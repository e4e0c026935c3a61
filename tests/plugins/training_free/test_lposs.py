"""Label propagation against dense matrices and scipy's solvers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from ovss_plugins.training_free import LPOSS, PixelPropagation
from ovss_plugins.training_free.lposs import last_values
from ovss_plugins.training_free.pixel_propagation import lab_colours
from ovss_plugins.training_free.solve import conjugate_gradient

from ovss.drawing.colors import lab_of
from ovss.models.configs import load_config
from ovss.ops import resize
from ovss.structures import Scores, Selection, TextFeatures
from ovss.testing import LAWS, make_images, with_tiny_encoder

VFM = dict(model="vit_tiny_patch16_224")
SMALL = dict(window=32, stride=16, neighbours=5, iterations=300)


def scores_of(kept: int, height: int, width: int, keep_BT: torch.Tensor | None = None) -> Scores:
    torch.manual_seed(5)
    canvas = make_images(1, 4 * height)[..., :height, :width]
    full = torch.ones(1, kept, dtype=torch.bool) if keep_BT is None else keep_BT
    probs = (2 * torch.randn(1, int(full.sum()), height // 4, width // 4)).softmax(1)
    text = TextFeatures(torch.randn(full.shape[1], 1, 3))
    return Scores(probs, Selection.from_mask(full), None, text, canvas)


def test_conjugate_gradients_follow_scipy():
    from scipy.sparse.linalg import cg

    matrix = np.random.default_rng(0).standard_normal((30, 30))
    matrix = matrix @ matrix.T + 3 * np.eye(30)
    targets = np.random.default_rng(1).standard_normal((30, 4))
    targets[:, 2] = 0
    own, both = torch.from_numpy(matrix), torch.from_numpy(targets)
    for steps in (3, 200):
        expected = [cg(matrix, target, rtol=1e-6, maxiter=steps)[0] for target in targets.T]
        found = conjugate_gradient(lambda x: own @ x, both, steps, 1e-6, 0)
        np.testing.assert_allclose(found, np.stack(expected, 1), atol=1e-5)
        rows = conjugate_gradient(lambda x: x @ own, both.T, steps, 1e-6, 1)
        torch.testing.assert_close(rows.T, found)


def slow_lposs(step: LPOSS, scores: Scores) -> torch.Tensor:
    """Window by window and pair by pair, with a dense solve; probabilities of the canvas."""
    canvas = scores.canvas_B3YX
    height, width = canvas.shape[2:]
    logits = resize(scores.probs_BKHW.log(), (height, width))[0].double()
    windows = [(y, x) for y in (0, 16) for x in (0, 16, 32)]
    features, places, targets = [], [], []
    for y, x in windows:
        view = canvas[:, :, y : y + 32, x : x + 32]
        values, grid = last_values(step.vfm, (view - step.mean_311) / step.std_311)
        assert grid == (2, 2)
        cells = resize(logits[None, :, y : y + 32, x : x + 32], grid)[0]
        for cell in range(4):
            features.append((values[0, cell] / values[0, cell].norm()).double())
            places.append((y + 16 * (cell // 2) + 8, x + 16 * (cell % 2) + 8))
            targets.append(cells[:, cell // 2, cell % 2])
    count = len(features)
    weights = torch.zeros(count, count, dtype=torch.float64)
    for i in range(count):
        near = sorted(range(count), key=lambda j, i=i: -float(features[i] @ features[j]))
        for j in near[: step.neighbours]:
            if i != j:
                alike = max(0.0, float(features[i] @ features[j])) ** 3
                weights[i, j] = alike * math.exp(-0.01 * math.dist(places[i], places[j]))
    weights = weights + weights.T
    degree = weights.sum(1)
    links = weights / (degree[:, None] * degree[None]).sqrt()
    result = torch.linalg.solve(torch.eye(count) - 0.95 * links, torch.stack(targets))
    total, hits = torch.zeros_like(logits), torch.zeros(height, width)
    for number, (y, x) in enumerate(windows):
        part = result[4 * number : 4 * number + 4].T.reshape(1, -1, 2, 2)
        total[:, y : y + 32, x : x + 32] += resize(part, (32, 32))[0]
        hits[y : y + 32, x : x + 32] += 1
    return (0.05 * total / hits).softmax(0)


def test_patches_of_all_windows_form_one_graph():
    step, scores = LPOSS(VFM, **SMALL).eval(), scores_of(3, 48, 64)
    found = step(scores)
    expected = slow_lposs(step, scores)
    torch.testing.assert_close(found.probs_BKHW[0].double(), expected, atol=1e-4, rtol=0)
    assert (found.labels_BHW() != resize(scores.probs_BKHW, (48, 64)).argmax(1)).any()


def slow_pixels(scores: Scores, radius: int, alpha: float) -> torch.Tensor:
    lab = lab_colours(scores.canvas_B3YX[0]).double()
    height, width = lab.shape[1:]
    logits = resize(scores.probs_BKHW.log(), (height, width))[0].double()
    cells = [(y, x) for y in range(height) for x in range(width)]
    weights = torch.zeros(len(cells), len(cells), dtype=torch.float64)
    for i, (y, x) in enumerate(cells):
        for j, (v, u) in enumerate(cells):
            if i != j and max(abs(y - v), abs(x - u)) <= radius:
                weights[i, j] = torch.exp(-(lab[:, y, x] - lab[:, v, u]).norm() / 0.01)
    degree = weights.sum(1).clamp(min=1e-12)
    links = weights / (degree[:, None] * degree[None]).sqrt()
    target = logits.flatten(1).T
    result = torch.linalg.solve(torch.eye(len(cells)) - alpha * links, target)
    return ((1 - alpha) * result).T.unflatten(1, (height, width)).softmax(0)


@pytest.mark.parametrize("radius", [1, 3])
def test_pixels_spread_over_similar_colours(radius):
    scores = scores_of(3, 12, 8)
    step = PixelPropagation(radius=radius, alpha=0.8, iterations=300, chunk=2)
    found = step(scores).probs_BKHW[0].double()
    torch.testing.assert_close(found, slow_pixels(scores, radius, 0.8), atol=1e-4, rtol=0)


def test_colours_are_those_of_opencv():
    import cv2

    rgb = make_images(1, 24)[0].round()
    expected = cv2.cvtColor(rgb.permute(1, 2, 0).numpy() / 255, cv2.COLOR_RGB2Lab)
    found = lab_colours(rgb).permute(1, 2, 0).numpy() * (100, 255, 255) - (0, 128, 128)
    exact = lab_of(rgb.permute(1, 2, 0).numpy())
    np.testing.assert_allclose(found, exact, atol=0.005)
    np.testing.assert_allclose(found, expected, atol=0.5)  # OpenCV reads tables, within 0.42 here


def test_categories_that_were_not_kept_stay_out():
    keep = torch.tensor([[True, False, True, True]])
    scores = scores_of(4, 48, 64, keep)
    for step in (LPOSS(VFM, **SMALL).eval(), PixelPropagation(radius=1)):
        after = step(scores)
        assert after.selection is scores.selection
        torch.testing.assert_close(after.probs_BKHW.sum(1), torch.ones(1, 48, 64))


@pytest.mark.parametrize("law", LAWS[:8], ids=lambda law: law.__name__)
@pytest.mark.parametrize("stage", ["patches", "pixels"])
def test_laws(stage, law):
    model = with_tiny_encoder(load_config("sclip_mini"))
    model.post_processor = (
        LPOSS(VFM, window=64, stride=32).eval()
        if stage == "patches"
        else PixelPropagation(radius=2)
    )
    with torch.no_grad():
        law(model)


def test_bad_options_are_named():
    with pytest.raises(ValueError, match="LPOSS expects vfm to be a TimmViT"):
        LPOSS(dict(type="ResNet", depth=50))
    with pytest.raises(ValueError, match=r"LPOSS\.alpha must be 0 to 0\.999"):
        LPOSS(VFM, alpha=1.0)
    with pytest.raises(ValueError, match="class token"):
        LPOSS(dict(model="resnet18"))
    with pytest.raises(ValueError, match=r"PixelPropagation\.radius must be at least 1"):
        PixelPropagation(radius=0)
    scores = scores_of(3, 12, 8)
    bare = Scores(scores.probs_BKHW, scores.selection, None, scores.text)
    for step in (LPOSS(VFM), PixelPropagation()):
        with pytest.raises(ValueError, match="Pass the image to Scores as canvas_B3YX"):
            step(bare)
