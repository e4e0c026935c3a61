"""Python API: images and category names in, results out."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

import ovss
from ovss.inference import best_labels
from ovss.io.images import ImageError
from tests.tiny_config import write_tiny_config

WORDS = ("cat", "sofa, couch", "grass")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> ovss.Inferencer:
    torch.manual_seed(0)
    return ovss.Inferencer(write_tiny_config(tmp_path_factory.mktemp("config")), device="cpu")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.randint(0, 256, (37, 61, 3), dtype=np.uint8)


def test_every_kind_of_input_gives_the_same_labels(tiny, image, tmp_path):
    Image.fromarray(image).save(tmp_path / "image.png")
    ways = [
        tmp_path / "image.png",
        str(tmp_path / "image.png"),
        Image.fromarray(image),
        image,
        image / 255,
        torch.from_numpy(image).permute(2, 0, 1),
        np.dstack([image, np.full(image.shape[:2], 255, np.uint8)]),
    ]
    expected = tiny(image, WORDS)
    assert expected.label_map.shape == (37, 61)
    for result in tiny.many(ways, WORDS):
        assert (result.label_map == expected.label_map).all()
        assert (result.scores == expected.scores).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (200, 3), (64, 64)])
def test_any_size(tiny, size):
    result = tiny(np.zeros((*size, 3), np.uint8), WORDS)
    assert result.label_map.shape == size
    assert result.pixels.sum() == size[0] * size[1]
    assert result.draw().width >= size[1]


def test_scores_are_means_over_the_pixels_won(tiny, image):
    result = tiny(image, WORDS)
    image_3HW = torch.from_numpy(image).permute(2, 0, 1)
    with torch.inference_mode():
        scores = tiny.model.scores(image_3HW, tiny.encode(WORDS))
        _, best_1HW = best_labels(scores, image.shape[:2])
    for i, name in enumerate(WORDS):
        won = result.mask(i)
        assert result.pixels[i] == won.sum()
        assert result.scores[i] == pytest.approx(
            best_1HW[0].numpy()[won].mean() if won.any() else 0
        )
        assert (name in result.present) == won.any()


def test_result_does_not_depend_on_the_order_of_names(tiny, image):
    forward, backward = tiny(image, WORDS), tiny(image, WORDS[::-1])
    assert (forward.label_map == len(WORDS) - 1 - backward.label_map).mean() > 0.999
    np.testing.assert_allclose(forward.scores, backward.scores[::-1], atol=1e-5)


def test_more_than_256_categories_are_saved_in_16_bits(tiny, image, tmp_path):
    result = tiny(image, [f"thing {i}" for i in range(300)])
    _, labels, summary = result.save(tmp_path, "many")
    assert (np.asarray(Image.open(labels)) == result.label_map).all()
    content = json.loads(summary.read_text())
    assert sum(category["pixels"] for category in content["categories"]) == result.label_map.size
    assert content["vocabulary_size"] == 300


def test_a_vocabulary_is_encoded_once(tiny, image, monkeypatch):
    words = ["encoded", "once"]
    tiny(image, words)
    monkeypatch.setattr(tiny.model, "encode_vocabulary", None)
    tiny(image, words)


def test_official_vocabulary_may_repeat_names(tiny, image):
    assert len(tiny(image, "ade20k_847").categories) == 847


def test_segment_in_one_line(tmp_path, image):
    result = ovss.segment(image, "cat, dog", model=write_tiny_config(tmp_path), device="cpu")
    assert result.categories == ("cat", "dog")
    assert isinstance(result, ovss.SegmentationResult)
    with pytest.raises(KeyError, match="no category is called 'bird'"):
        result.mask("bird")


def test_wrong_input_is_named(tiny, image, tmp_path):
    with pytest.raises(ImageError, match=r"absent\.jpg: no such file"):
        tiny("absent.jpg", WORDS)
    with pytest.raises(ValueError, match="no words"):
        tiny(image, "")
    with pytest.raises(FileNotFoundError, match="Did you mean cat_seg_mini"):
        ovss.Inferencer("cat_seg_mini_")
    with pytest.raises(ValueError, match="device 'cuda:99' cannot be used"):
        ovss.Inferencer(write_tiny_config(tmp_path), device="cuda:99")


def test_real_photos_pass(tiny, shared_dir, tmp_path):
    """Real files of several sizes and formats run through; the random weights mean nothing."""
    photos = sorted((shared_dir / "data" / "demo_photos").glob("*.*g"))
    assert photos
    for result in tiny.many(photos[::3], "cat, dog, person, sky"):
        with Image.open(result.source) as image:
            assert result.label_map.shape == (image.height, image.width)
        assert result.draw().width == image.width


def test_repr_of_a_result_is_one_line():
    labels = np.array([[0, 0, 0], [0, 2, 2]])
    result = ovss.SegmentationResult(
        labels, ("cat", "dog", "sky"), np.ones(3), np.zeros((2, 3, 3), np.uint8)
    )
    assert repr(result) == "<SegmentationResult 3 x 2: cat 66.7%, sky 33.3%>"
