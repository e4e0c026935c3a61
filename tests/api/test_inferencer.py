"""Python API: images and category names in, results out."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ovss
from ovss.api import pieces
from ovss.api.request import Request
from ovss.api.result import UNKNOWN
from ovss.api.video import segment_video
from ovss.inference import best_labels
from ovss.io.images import ImageError
from ovss.segmentor import NonFiniteError
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


# -- several images, synonyms, unknown pixels, probabilities ---------------------------------------


def test_folders_patterns_and_lists_give_results_that_never_share_a_file(tiny, image, tmp_path):
    for path in ("a/one.png", "b/one.png", "b/Two.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / path)
    one, two = str(tmp_path / "a"), str(tmp_path / "b/*")
    assert [Path(r.source).name for r in tiny(two, WORDS)] == ["Two.jpg", "one.png"]
    assert [Path(r.source).name for r in tiny.many(one, WORDS)] == ["one.png"]
    sources = [tmp_path / "a/one.png", tmp_path / "b/one.png", tmp_path / "b/Two.jpg", image]
    for result in tiny(sources, WORDS):
        result.save(tmp_path / "out", formats=("json",))
    saved = {path.name for path in (tmp_path / "out").iterdir()}
    assert saved == {"one.json", "one_2.json", "Two.json", "image_0004.json"}


def test_every_synonym_counts(tmp_path, image):
    """A method that uses the first synonym in evaluation averages them here, or as you choose."""
    config = write_tiny_config(tmp_path)
    assert ovss.Inferencer(config, device="cpu").model.prompts.synonyms == "average"
    for rule in ("first", "average", "max"):
        run = ovss.Inferencer(config, device="cpu", synonyms=rule)
        assert run.model.prompts.synonyms == rule
        embeds = [run.encode((name, "dog")).embeds_TPC for name in ("sofa", "sofa, couch")]
        is_same = embeds[0].shape == embeds[1].shape and torch.equal(*embeds)
        assert is_same == (rule == "first")
    result = run(image, "sofa|couch, dog|puppy|hound")
    assert result.categories == ("sofa, couch", "dog, puppy, hound")
    assert set(np.unique(result.label_map)) <= {0, 1}


def test_probabilities_agree_with_the_label_map(tiny, image):
    result = tiny(image, WORDS, background="wall", probabilities=True)
    assert result.probabilities.shape == (3, 37, 61)
    known = result.label_map != UNKNOWN
    assert (result.probabilities.argmax(0)[known] == result.label_map[known]).all()
    strict = tiny(image, WORDS, background="wall", threshold=0.4, probabilities=True)
    assert (strict.probabilities == result.probabilities).all()
    best = result.probabilities.max(0)
    assert ((strict.label_map != UNKNOWN) == (known & (best >= 0.4))).all()
    assert tiny(image, WORDS).probabilities is None


def test_pixels_that_a_background_name_wins_are_unknown(tiny, image):
    plain = tiny(image, [*WORDS, "wall"])
    result = tiny(image, WORDS, background=["wall"])
    assert (result.unknown == (plain.label_map == 3)).all()
    assert (result.mask("grass") == plain.mask("grass")).all()
    assert result.categories == WORDS


def test_weights_that_are_not_finite_stop_the_image(tmp_path, image):
    run = ovss.Inferencer(write_tiny_config(tmp_path), device="cpu")
    next(p for n, p in run.model.named_parameters() if "visual" in n).data.view(-1)[0] = torch.nan
    with pytest.raises(NonFiniteError, match="image features of the encoder"):
        run(image, WORDS)


def test_repr_of_an_inferencer_names_method_and_caveat(tiny):
    assert repr(tiny).startswith("<Inferencer tiny on cpu: ")
    assert "random weights in the encoder" in repr(tiny)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("way", ["image", "tiles", "video"])
def test_a_decoder_that_overflows_in_half_precision_stops_the_image(tmp_path, image, half, way):
    """A sigmoid turns an infinite logit into 1, which looks like a sure answer."""
    run = ovss.Inferencer(write_tiny_config(tmp_path), device="cpu")
    request = Request.of(WORDS)
    decode = run.model.decoder.forward

    def overflowing(aligned):
        masks = decode(aligned)
        factor = torch.finfo(half).max / 10
        logits = (masks.logits_BKHW.abs() + 100).to(half) * torch.tensor(factor, dtype=half)
        return replace(masks, logits_BKHW=logits.float())

    run.model.decoder.forward = overflowing

    def answer():
        if way == "video":
            pytest.importorskip("av")
            return segment_video([image], lambda rgb: run.label(rgb, request), tmp_path / "out")
        return run.label(image, request, tile=32 if way == "tiles" else None)

    with torch.autocast("cpu", half), pytest.raises(NonFiniteError, match="masks of the decoder"):
        answer()
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_large_images_are_segmented_in_tiles_unless_you_ask_for_one_piece(tiny, image, monkeypatch):
    monkeypatch.setattr(pieces, "ONE_PIECE", 37 * 61 - 1)
    monkeypatch.setattr(pieces, "TILE", 32)
    request, reports = Request.of(WORDS), []
    tiled = tiny.label(image, request, report=reports.append)
    assert tiled.tile == (32, 32)
    assert tiled.to_dict()["tile"] == [32, 32]
    assert "61 x 37 pixels are segmented in tiles of 32 x 32" in reports[0]
    whole = tiny.label(image, request, tile=0, report=reports.append)
    assert whole.tile is whole.to_dict()["tile"] is None
    assert len(reports) == 1
    explicit = tiny.label(image, request, tile=32)
    assert (explicit.label_map == tiled.label_map).all()
    monkeypatch.setattr(pieces, "ONE_PIECE", 37 * 61)
    assert (tiny(image, WORDS).label_map == whole.label_map).all()


def test_a_stream_is_read_once_even_if_it_may_be_tiled(tiny, image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    file.seek(0)
    assert tiny.label(file, Request.of(WORDS), tile=512).label_map.shape == (37, 61)
