"""DPSeg as a whole: two passes, the bank behind the encoder, the tool, portraits."""

from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from ovss_plugins.dpseg import BankError, DPSegmentor, DualPromptEncoder
from ovss_plugins.dpseg.refinement import Refinement, crop_region

from ovss.cli import main
from ovss.layers.regions import Region
from ovss.mini_world import is_seen, portrait
from ovss.mini_world import names as world_names
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.structures import Vocabulary
from ovss.testing import make_images, make_names, with_tiny_encoder

MINI = "mini_clip"


def inner(**changes) -> dict:
    size = dict(image_size=96, levels=(1, 2, 3), dense="maskclip", text_cache="off")
    return dict(type="OpenCLIPEncoder", model=MINI, pretrained=MINI, **{**size, **changes})


@pytest.fixture(scope="module")
def mini() -> DPSegmentor:
    config = load_config("dpseg_mini")
    torch.manual_seed(0)
    return build_model(config.model.to_dict()).eval()


# -- two passes ----------------------------------------------------------------------------------


@torch.no_grad()
@pytest.mark.parametrize("crop", ["masked_bbox", "bbox", "masked", "pooled"])
def test_the_second_pass_is_a_first_pass_with_other_prompts(crop):
    """Compares with the whole method, run from the image with the refined text."""
    model = with_tiny_encoder(load_config("dpseg_mini", {"model.refinement.crop": crop}))
    image, text = make_images(1)[0], model.encode_vocabulary(make_names(6))
    one = copy.copy(model)
    one.refinement = None
    refined = model.refine_text(image, one.scores(image, text), text)
    assert not torch.equal(refined.embeds_TPC, text.embeds_TPC)
    found = model.scores(image, text)
    torch.testing.assert_close(found.probs_BKHW, one.scores(image, refined).probs_BKHW)


@torch.no_grad()
def test_each_view_is_encoded_once(monkeypatch):
    inference = dict(mode="slide", size=128, window=96, stride=32, views_per_batch=2)
    model = with_tiny_encoder(load_config("dpseg_mini", {"model.inference": inference}))
    encode, batches = model.encoder.encode_image, []
    monkeypatch.setattr(
        model.encoder, "encode_image", lambda x: batches.append(tuple(x.shape)) or encode(x)
    )
    monkeypatch.setattr(model, "refine_text", lambda image, scores, text: copy.copy(text))
    model.scores(make_images(1)[0], model.encode_vocabulary(make_names(4)))
    assert [shape[0] for shape in batches] == [2, 2, 1]


@torch.no_grad()
def test_only_detected_categories_get_new_prompts(mini):
    image = torch.from_numpy(portrait("lava", 9)).permute(2, 0, 1)
    text = mini.encode_vocabulary(("lava", "striped red star", "snow"))
    scores = mini.scores(image, text)
    labels = mini.label_map(scores, (96, 96))
    refined = mini.refine_text(image, scores, text)
    changed = (refined.embeds_TPC != text.embeds_TPC).flatten(1).any(1)
    assert changed.nonzero()[:, 0].tolist() == labels.unique().tolist()
    for level, old in zip(refined.levels, text.levels, strict=True):
        assert torch.equal((level != old).flatten(1).any(1), changed)


@torch.no_grad()
def test_alpha_of_zero_is_one_pass(mini, monkeypatch):
    image, text = make_images(1)[0], mini.encode_vocabulary(("lava", "snow"))
    monkeypatch.setattr(mini, "refinement", None)
    expected = mini.scores(image, text).probs_BKHW
    monkeypatch.setattr(mini, "refinement", Refinement(alpha=0.0))
    assert torch.equal(mini.scores(image, text).probs_BKHW, expected)


def test_crops():
    image = torch.arange(3 * 4 * 5.0).view(3, 4, 5)
    mask = torch.zeros(4, 5, dtype=torch.bool)
    mask[1, 2], mask[2, 3] = True, True
    region = Region(0, 0, mask)
    assert torch.equal(crop_region(image, region, "bbox"), image[:, 1:3, 2:4])
    found = crop_region(image, region, "masked_bbox", (7.0, 8.0, 9.0))
    assert torch.equal(found[:, 0, 0], image[:, 1, 2])
    assert found[:, 0, 1].tolist() == [7, 8, 9]
    mean = crop_region(image, region, "masked_bbox")[:, 1, 0]
    torch.testing.assert_close(mean, image.mean((1, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(crop="circle"), "crop to be one of"),
        (dict(fill="blue"), "fill to be"),
        (dict(alpha=1.5), "alpha between 0 and 1"),
        (dict(min_area=-1), "min_area between 0 and 1"),
    ],
)
def test_refinement_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        Refinement(**options)


# -- the encoder ---------------------------------------------------------------------------------


@torch.no_grad()
def test_portraits_are_nearest_to_their_names(mini):
    """Visual prompts lie in CLIP's joint space, so nearly all are nearest to their own name."""
    vocabulary = Vocabulary(world_names("mini_20"), ("a photo of a {}.",) * 4)
    V = mini.encoder.visual(vocabulary).embeds_TPC.mean(1)
    T = mini.encoder.text(vocabulary).embeds_TPC.mean(1)
    nearest = (V @ T.T).argmax(1)
    assert (nearest == torch.arange(20)).float().mean() >= 0.9


def test_the_frozen_encoder_stays_as_pretrained_and_outside_the_model(mini):
    model = copy.deepcopy(mini)
    names = set(model.state_dict())
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.zero_()
    image = torch.from_numpy(portrait("lava")).permute(2, 0, 1)
    embeds, _ = model.encoder.frozen([image])
    torch.testing.assert_close(embeds, mini.encoder.frozen([image])[0])
    assert set(model.state_dict()) == names
    assert all(name.startswith("encoder.encoder.clip") for name in names if "encoder" in name)


def tool(*argv: str) -> int:
    return main(["visual-prompts", *argv])


@pytest.fixture(autouse=True)
def _at_the_root(repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)


@torch.no_grad()
def test_a_bank_by_the_tool_serves_the_encoder(tmp_path, capsys):
    names_file = tmp_path / "words.txt"
    names_file.write_text("lava\nsnow\n")
    out = tmp_path / "bank"
    arguments = (
        "dpseg_mini",
        "--from",
        "mini_world",
        "--vocabulary",
        str(names_file),
        "--out",
        str(out),
    )
    assert tool(*arguments, "--count", "2") == 0
    assert "4 made, 0 were there, 4 in all" in capsys.readouterr().out
    assert tool(*arguments, "--count", "3") == 0
    assert "2 made, 4 were there, 6 in all" in capsys.readouterr().out
    encoder = DualPromptEncoder(inner(), bank=str(out))
    text = encoder.encode_text(Vocabulary(("snow", "lava")))
    assert [tuple(level.shape) for level in text.levels] == [(2, 1, 192)] * 3
    torch.testing.assert_close(text.embeds_TPC.norm(dim=2), torch.ones(2, 1))
    with pytest.warns(UserWarning, match="1 of 2 categories have no visual prompts"):
        encoder.encode_text(Vocabulary(("snow", "grass")))
    strict = DualPromptEncoder(inner(), bank=str(out), missing="error")
    with pytest.raises(ValueError, match="the first is 'grass'"):
        strict.encode_text(Vocabulary(("grass",)))
    other = DualPromptEncoder(inner(image_size=64), bank=str(out))
    with pytest.raises(BankError, match="image_size"):
        other.encode_text(Vocabulary(("snow",)))


def test_the_tool_names_missing_arguments(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers", None)
    out = ("--out", str(tmp_path / "bank"))
    for arguments, message in (
        (("--from", "folder"), "needs --vocabulary"),
        (("--from", "folder", "--vocabulary", "mini_20"), "needs --images"),
        (("--from", "diffusers", "--vocabulary", "ade20k_150"), "ovss[diffusers]"),
    ):
        assert tool("dpseg_mini", *arguments, *out) == 1
        assert message in capsys.readouterr().err


@torch.no_grad()
def test_without_a_bank_the_text_stands_alone():
    encoder = DualPromptEncoder(inner())
    vocabulary = Vocabulary(("lava", "snow"))
    torch.testing.assert_close(
        encoder.encode_text(vocabulary).embeds_TPC, encoder.text(vocabulary).embeds_TPC
    )
    absent = DualPromptEncoder(inner(), bank="nowhere/bank")
    with pytest.raises(FileNotFoundError, match="no visual-prompt bank in nowhere"):
        absent.encode_text(vocabulary)
    with pytest.raises(ValueError, match="fusion to be one of"):
        DualPromptEncoder(inner(), fusion="concat")


def test_the_mini_world_draws_every_category():
    for name in world_names("mini_556")[::25]:
        image = portrait(name, 1, 64)
        assert image.shape == (64, 64, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, portrait(name, 1, 64))
        assert not np.array_equal(image, portrait(name, 2, 64))
    assert not all(is_seen(name) for name in world_names("mini_556"))
    with pytest.raises(KeyError, match="no object category"):
        portrait("unicorn")


@pytest.mark.parametrize("method", ["sed_mini", "cat_seg_mini"])
def test_dual_prompts_go_with_another_method(method):
    config = load_config(method)
    within = config.model.encoder.to_dict()
    config.model.encoder = dict(type="DualPromptEncoder", encoder=within, bank="mini_world")
    model = build_model(config.model.to_dict()).eval()
    text = model.encode_vocabulary(("lava", "snow"))
    assert not torch.allclose(text.embeds_TPC, model.encoder.text(text.vocabulary).embeds_TPC)
    scores = model.scores(torch.from_numpy(portrait("lava", 9)).permute(2, 0, 1), text)
    assert torch.isfinite(scores.probs_BKHW).all()


def test_the_second_pass_goes_with_another_method():
    """Without visual prompts V := T, and the model's own encoder encodes the crops."""
    block = load_config("maskclip_mini").model.to_dict()
    model = build_model({**block, "type": "DPSegmentor", "refinement": dict(alpha=0.5)}).eval()
    image = torch.from_numpy(portrait("lava", 9)).permute(2, 0, 1)
    text = model.encode_vocabulary(("lava", "snow"))
    with torch.no_grad():
        refined = model.refine_text(image, model.scores(image, text), text)
    assert not torch.equal(refined.embeds_TPC, text.embeds_TPC)


def test_a_decoder_of_visual_prompts_is_refused_without_them():
    block = load_config("dpseg_mini").model.to_dict()
    with pytest.raises(ValueError, match="CVGDecoder expects text_level_dims"):
        build_model({**block, "encoder": block["encoder"]["encoder"]})


def test_other_levels_of_as_many_channels_are_another_encoder(tmp_path):
    names_file = tmp_path / "words.txt"
    names_file.write_text("lava\n")
    out = str(tmp_path / "bank")
    arguments = (
        "--from",
        "mini_world",
        "--vocabulary",
        str(names_file),
        "--count",
        "1",
        "--out",
        out,
    )
    assert tool("dpseg_mini", *arguments) == 0
    with pytest.raises(
        BankError, match=r"levels=\(1, 2, 3\) in the bank, but .*levels=\(2, 3, 4\)"
    ):
        DualPromptEncoder(inner(levels=(2, 3, 4)), bank=out).encode_text(Vocabulary(("lava",)))
