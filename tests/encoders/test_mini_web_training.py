"""The script that trains mini_web: captions, batches, masked patches, and resuming."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from ovss.mini_world import MiniWorld
from tests.encoders.curves import short_curve

open_clip = pytest.importorskip("open_clip")

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = TOOLS / "train_mini_web.py"
    spec = importlib.util.spec_from_file_location("train_mini_web", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def parts(script: ModuleType) -> dict[str, ModuleType]:
    names = ("captions", "model", "prompts", "web_batches", "web_schedule")
    return {name: sys.modules[f"clip_training.{name}"] for name in names}


@pytest.fixture(scope="module")
def scenes() -> list:
    world = MiniWorld("web", size=80, seed=3, length=60, objects=(1, 4))
    return [world[index] for index in range(60)]


def captions(parts: dict, scene: object, seed: int) -> tuple:
    return parts["captions"].captions_of(np.random.default_rng(seed), scene, 3, 5)


def test_true_captions_name_what_the_scene_shows(parts: dict, scenes: list) -> None:
    for seed, scene in enumerate(scenes):
        shown = {item.category for item in scene.objects} | set(scene.stuff)
        true, _ = captions(parts, scene, seed)
        assert len(true) == 3
        for text, phrases in true:
            assert phrases.names
            assert phrases.names <= shown
            assert all(name in text for name in phrases.names)


def test_wrong_captions_differ_by_one_category_that_is_not_shown(parts: dict, scenes: list) -> None:
    for seed, scene in enumerate(scenes):
        shown = {item.category for item in scene.objects} | set(scene.stuff)
        true, wrong = captions(parts, scene, seed)
        assert len(wrong) >= 4  # a spoilt detail may be true by chance
        for text, phrases in wrong:
            (other,) = phrases.names - shown
            assert other in text
            rest = phrases.names - {other}
            assert any(rest <= content.names for _, content in true)


def test_some_objects_are_named_by_no_caption_but_never_the_largest(
    parts: dict, scenes: list
) -> None:
    silent = 0
    for seed, scene in enumerate(scenes):
        named = parts["captions"].named_objects(np.random.default_rng(seed), scene)
        visible = {item.category: item.pixels for item in scene.objects if item.pixels >= 30}
        assert max(visible, key=visible.get) in named
        silent += len(visible) - len(named)
    assert silent > 5


def test_a_batch_depends_on_seed_and_step_only(parts: dict) -> None:
    build = parts["web_batches"].CaptionedBatches
    first, again, other = build(1, 4, 50, 3, 5), build(1, 4, 50, 3, 5), build(2, 4, 50, 3, 5)
    first[7]  # what was read before does not matter
    for key, value in first[20].items():
        assert torch.equal(value, again[20][key]), key
    assert not torch.equal(first[20]["image"], other[20]["image"])
    assert not torch.equal(first[20]["image"], first[21]["image"])


def test_a_caption_is_positive_where_captions_prove_it(parts: dict) -> None:
    content = parts["captions"].Phrases
    cross, ring = "plain red cross", "dotted blue ring"
    images = [[content((cross,), ()), content((ring,), ("grass",))], [content((ring,), ())]]
    asked = [content((ring, cross), ()), content((ring,), ()), content((), ("snow",))]
    table = parts["web_batches"].positives(images, asked)
    assert table.tolist() == [[True, True, False], [False, True, False]]


def test_tokens_are_those_of_open_clip(parts: dict) -> None:
    texts = [
        "a plain red cross, a dotted blue ring on brick wall",
        "itap of grass.",
        "art's (a) x-y",
    ]
    tokens = parts["prompts"].tokenise(texts)
    expected = open_clip.SimpleTokenizer(context_length=77)(texts)
    assert torch.equal(tokens, expected[:, : tokens.shape[1]])
    assert not expected[:, tokens.shape[1] :].any()


def test_all_patches_kept_equal_the_pooled_embedding_of_open_clip(parts: dict) -> None:
    tools = parts["model"]
    torch.manual_seed(0)
    model = tools.build_model("mini_web").eval()
    image = torch.randn(2, 3, 80, 80)
    index = torch.stack([torch.randperm(400), torch.arange(400)])
    with torch.inference_mode():
        tokens = tools.embed_some_patches(model.visual, image, index)
        pooled = tools.encode_pooled(model.visual, tokens)
        torch.testing.assert_close(pooled, model.encode_image(image), atol=1e-5, rtol=1e-4)
        dense = tools.encode_image(model, image, own=True)
        torch.testing.assert_close(dense[0], pooled, atol=1e-5, rtol=1e-4)


def test_the_schedule_goes_back_once(parts: dict) -> None:
    progress = [parts["web_schedule"].progress_of(step, 6500) for step in range(6500)]
    assert progress[0] == 0
    assert progress[2249] == 2249 / 4500
    assert progress[2250:] == [step / 6500 for step in range(2250, 6500)]
    assert parts["web_schedule"].progress_of(225, 650) == progress[2250]


def test_later_steps_see_more_patches_of_fewer_images(parts: dict) -> None:
    schedule = parts["web_schedule"]
    assert [schedule.kept_patches(p) for p in (0, 0.15, 0.8, 0.95)] == [100, 95, 191, 400]
    counts = [schedule.images_per_step(step, 100, 128) for step in (0, 10, 11, 79, 80, 94, 95)]
    assert counts == [64, 64, 128, 128, 63, 63, 30]
    images = parts["web_batches"].CaptionedBatches(1, 4, 50, 3, 5)
    assert images[5]["image"].shape == (2, 3, 40, 40)
    assert images[6]["image"].shape == (4, 3, 80, 80)


def test_patches_of_a_step_are_drawn_for_each_image(parts: dict) -> None:
    draw = parts["web_batches"].patch_index
    kept, place = draw(0, 5, 3, 0.5)
    assert torch.equal(kept, place)
    assert torch.equal(kept, draw(0, 5, 3, 0.5)[0])
    assert not torch.equal(kept, draw(0, 6, 3, 0.5)[0])
    assert all(len(set(row.tolist())) == 95 for row in kept)


def test_a_small_image_lies_at_a_random_place_of_the_grid(parts: dict) -> None:
    _, middle = parts["web_batches"].patch_index(0, 5, 40, 0.0)
    assert set(middle[:, 0].tolist()) == {5 * 20 + 5}
    kept, place = parts["web_batches"].patch_index(0, 5, 40, 0.13)
    assert all(row.tolist() == list(range(100)) for row in kept)
    row, column = place // 20, place % 20
    assert torch.equal(row - row[:, :1], (kept // 10))
    assert torch.equal(column - column[:, :1], kept % 10)
    assert set(row[:, 0].tolist()) >= {0, 10}


def test_wrong_captions_are_compared_within_their_image(parts: dict) -> None:
    batch = parts["web_batches"].CaptionedBatches(1, 6, 50, 3, 5)[30]
    counts = batch["owner"].bincount()
    assert ((counts > 3) & (counts <= 8)).all()
    own = batch["owner"] == torch.arange(6)[:, None]
    assert ((own & batch["positive"]).sum(1) == 3).all()


def test_a_stopped_training_repeats_the_curve(tmp_path: Path, script: ModuleType) -> None:
    """Stopped after a step and resumed, the next two losses are the uninterrupted run's."""

    whole = short_curve(script, tmp_path / "whole", 4)
    short_curve(script, tmp_path / "parts", 4, "--stop-at", "1")
    exported = tmp_path / "out.safetensors"
    flags = ("--resume", "--export", str(exported), "--export-count", "2")
    resumed = short_curve(script, tmp_path / "parts", 4, *flags)
    assert resumed == whole
    assert sorted(whole) == [1, 2, 3]
    model = open_clip.create_model("mini_web", pretrained=str(exported), device="cpu")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
