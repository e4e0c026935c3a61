"""The shipped mini CLIP, through open_clip's own API, and the script that trained it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ovss import mini_world
from tests.encoders.curves import short_curve

open_clip = pytest.importorskip("open_clip")
safetensors = pytest.importorskip("safetensors")

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = ROOT / "ovss" / "weights" / "mini_clip.safetensors"
HELD_OUT_SEED = 2_000_003  # neither the training's nor its own test's


@pytest.fixture(scope="module")
def model_and_transform() -> tuple:
    open_clip.add_model_config(ROOT / "ovss" / "encoders" / "mini_clip.json")
    model, _, transform = open_clip.create_model_and_transforms(
        "mini_clip", pretrained=str(WEIGHTS), precision="fp32", device="cpu"
    )
    return model.eval(), transform


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = ROOT / "tools" / "train_mini_clip.py"
    spec = importlib.util.spec_from_file_location("train_mini_clip", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_weights_are_small_and_say_where_they_come_from() -> None:
    assert WEIGHTS.stat().st_size <= 16 * 2**20
    with safetensors.safe_open(WEIGHTS, framework="pt") as stored:
        metadata = stored.metadata()
        assert {stored.get_tensor(key).dtype for key in stored.keys()} == {torch.float16}  # noqa: SIM118
    assert metadata["model"] == "mini_clip"
    assert int(metadata["samples"]) > 0
    assert json.loads(metadata["zero_shot"])["top1"] >= 0.6


def test_zero_shot_over_all_object_categories(model_and_transform: tuple) -> None:
    """On a held-out seed: top-1 of 540 at least 60 %, and each attribute at least 80 %."""
    from PIL import Image

    model, transform = model_and_transform
    scenes = mini_world.MiniWorld("web", size=64, seed=HELD_OUT_SEED, length=200, objects=(1, 1))
    chosen_scenes = [scenes[index] for index in range(200)]
    names = mini_world.object_names()
    tokens = open_clip.get_tokenizer("mini_clip")([f"a photo of a {name}." for name in names])
    with torch.inference_mode():
        text = model.encode_text(tokens, normalize=True)
        batch = torch.stack([transform(Image.fromarray(scene.image)) for scene in chosen_scenes])
        image = model.encode_image(batch, normalize=True)
    guesses = [mini_world.attributes_of(names[i]) for i in (image @ text.T).argmax(1)]
    truths = [scene.objects[0].attributes for scene in chosen_scenes]
    assert np.mean([guess == truth for guess, truth in zip(guesses, truths)]) >= 0.6
    for field in ("surface", "colour", "shape"):
        hits = [getattr(g, field) == getattr(t, field) for g, t in zip(guesses, truths)]
        assert np.mean(hits) >= 0.8, field


@pytest.mark.parametrize("template", ["{}", "A photo of a {} in the scene", "a photo of many {}."])
def test_any_usual_template_will_do(model_and_transform: tuple, template: str) -> None:
    """The same words in another sentence stay nearest to themselves, among all categories."""
    model, _ = model_and_transform
    names = mini_world.names("mini_556")[::4]
    tokenizer = open_clip.get_tokenizer("mini_clip")
    with torch.inference_mode():
        plain, other = (
            model.encode_text(tokenizer([form.format(name) for name in names]), normalize=True)
            for form in ("a photo of a {}.", template)
        )
    assert ((plain @ other.T).argmax(1) == torch.arange(len(names))).float().mean() >= 0.95


def test_training_shortcuts_equal_open_clip(model_and_transform: tuple, script: ModuleType) -> None:
    """The script's short text and split last block give what open_clip's own forward gives."""
    model, _ = model_and_transform
    image = torch.randn(2, 3, 64, 64)
    tokens = open_clip.get_tokenizer("mini_clip")(["grass", "a photo of a striped red star."])
    with torch.inference_mode():
        pooled, dense = script.encode_image(model, image, own=True)
        torch.testing.assert_close(pooled, model.encode_image(image), atol=1e-5, rtol=1e-4)
        assert dense.shape == (2, 64, 128)
        torch.testing.assert_close(
            script.encode_text(model, tokens[:, :12]),
            model.encode_text(tokens, normalize=True),
            atol=1e-5,
            rtol=1e-4,
        )


@pytest.mark.slow
def test_resumed_training_repeats_the_curve(tmp_path: Path, script: ModuleType) -> None:
    """Stopped after a step and resumed, the next two losses are the uninterrupted run's."""

    whole = short_curve(script, tmp_path / "whole", 8)
    short_curve(script, tmp_path / "parts", 8, "--stop-at", "1")
    assert short_curve(script, tmp_path / "parts", 8, "--resume") == whole
    assert sorted(whole) == [1, 2, 3]
