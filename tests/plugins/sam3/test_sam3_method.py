"""SAM 3 with a small random model: the composition, its passes, and folders of weights."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from ovss.benchmark.complexity import on_meta
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.proposers.extras import MissingExtraError
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_names

transformers = pytest.importorskip("transformers")
pytest.importorskip("transformers.models.sam3")
DETECTOR = dict(hidden_size=32, num_layers=2, num_attention_heads=2, intermediate_size=64)
ARCHITECTURE = dict(
    vision_config=dict(
        backbone_config=dict(
            model_type="sam3_vit_model",
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=112,
            patch_size=14,
            window_size=4,
            global_attn_indexes=[1],
            pretrain_image_size=56,
        ),
        fpn_hidden_size=32,
        backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]],
    ),
    text_config=dict(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=32,
        projection_dim=32,
        vocab_size=49408,
    ),
    geometry_encoder_config=DETECTOR,
    detr_encoder_config=DETECTOR,
    detr_decoder_config={**DETECTOR, "num_queries": 6},
    mask_decoder_config=dict(hidden_size=32, num_attention_heads=2),
)


@pytest.fixture(scope="module")
def official():
    """Whole model of transformers, whose random outputs differ between names."""
    torch.manual_seed(0)
    model = transformers.Sam3Model(transformers.Sam3Config(**ARCHITECTURE)).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    return model


@pytest.fixture(scope="module")
def folder(official, tmp_path_factory):
    path = tmp_path_factory.mktemp("sam3")
    official.save_pretrained(path)
    return path


def method(folder, name="sam3", **changes):
    """Method of a config with the small model of a folder."""
    config = load_config(name).model.to_dict()
    config["encoder"]["pretrained"] = config["decoder"]["pretrained"] = str(folder)
    if config["encoder"]["clip"] is not None:
        config["encoder"]["clip"] = dict(type="OpenCLIPEncoder", model="mini_clip",
                                         pretrained="mini_clip", image_size=96)  # fmt: skip
        config["prompts"]["templates"] = ("a photo of a {}.",)
    config["decoder"]["confidence"] = 0.1
    return build_model({**config, **changes}).eval()


@pytest.fixture(scope="module")
def model(folder):
    return method(folder)


def reference(official, image, names):
    """Scores (T, h, w) by whole forward passes of transformers, one for each name."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer(context_length=32)
    pixels = torch.nn.functional.interpolate(image[None] / 127.5 - 1, (112, 112), mode="bilinear")
    rows = []
    for name in names:
        ids = tokenizer([name])
        with torch.inference_mode():
            found = official(pixel_values=pixels, input_ids=ids, attention_mask=(ids != 0).long())
        presence = found.presence_logits.sigmoid()[0, 0]
        best = found.semantic_seg[0, 0].sigmoid()
        for mask, logit in zip(found.pred_masks[0], found.pred_logits[0], strict=True):
            score = logit.sigmoid() * presence
            if score > 0.1:
                best = torch.maximum(best, mask.sigmoid() * score)
        rows.append(presence * best)
    return torch.stack(rows)


def test_scores_equal_whole_passes_of_the_official_model(model, official):
    names = ("cat", "traffic light", "a very long name of several pieces")
    image = make_images(1, 120)[0][:, :, :90]
    scores = model.scores(image, model.encode_vocabulary(names))
    expected = reference(official, image, names)
    assert expected.std() > 0.01
    torch.testing.assert_close(scores.probs_BKHW[0], expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_model(model, law):
    law(model)
    model.eval()


def counted(model, monkeypatch):
    """Numbers of images and of categories that SAM 3 computes, filled by later calls."""
    passes, images = [], []
    detect, vision = type(model.decoder)._detect, model.encoder.sam.get_vision_features

    def count_passes(self, maps, tokens, mark):
        passes.append(len(tokens))
        return detect(self, maps, tokens, mark)

    def count_images(pixels):
        images.append(len(pixels))
        return vision(pixels)

    monkeypatch.setattr(type(model.decoder), "_detect", count_passes)
    monkeypatch.setattr(model.encoder.sam, "get_vision_features", count_images)
    return images, passes


def test_a_selector_reduces_the_passes_from_the_vocabulary_to_the_kept(folder, monkeypatch):
    image, names = make_images(1)[0], make_names(50)
    found = {}
    for name in ("sam3", "sam3_selected"):
        model = method(folder, name)
        with monkeypatch.context() as patch:
            images, passes = counted(model, patch)
            scores = model.scores(image, model.encode_vocabulary(names))
        assert images == [1]
        found[name] = sum(passes), scores
    assert [count for count, _ in found.values()] == [50, 16]
    kept = found["sam3_selected"][1]
    rows = kept.selection.category_N
    expected = found["sam3"][1].probs_BKHW[0][rows]
    torch.testing.assert_close(kept.probs_BKHW[0], expected, atol=1e-5, rtol=0)


def test_the_best_synonym_counts(model):
    image = make_images(1)[0]
    scores = model.scores(image, model.encode_vocabulary(("cat, dog", "bird")))
    assert scores.probs_BKHW.shape[1] == 3
    labels = model.label_map(scores, (48, 48))
    best = scores.probs_BKHW[0].flatten(1).argmax(0)
    assert set(labels.unique().tolist()) <= {0, 1}
    assert best.max() <= 2


def test_names_are_encoded_once_and_again_for_other_weights(folder):
    model = method(folder)
    first = model.encode_vocabulary(("cat", "dog")).levels[0]
    assert model.encode_vocabulary(("cat", "dog")).levels[0] is first
    with torch.no_grad():
        model.encoder.sam.text_projection.bias += 1
    assert not torch.allclose(model.encode_vocabulary(("cat", "dog")).levels[0], first)
    with pytest.raises(ValueError, match="tokens, but the text tower takes at most 32"):
        model.encode_vocabulary(("many " * 40,))


def test_shards_are_read(official, folder, tmp_path):
    official.save_pretrained(tmp_path, max_shard_size="2MB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    one, other = method(folder), method(tmp_path)
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_wrong_folders_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="which is not a folder"):
        method(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"config\.json does not exist"):
        method(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "sam2"}')
    with pytest.raises(ValueError, match="expected model_type sam3, got 'sam2'"):
        method(tmp_path)
    content = json.loads((folder / "config.json").read_text())
    content["detr_decoder_config"]["num_queries"] = 7
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(FileNotFoundError, match=r"neither model\.safetensors nor"):
        method(tmp_path)
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"2 of \d+ tensors are missing or of another shape"):
        method(tmp_path)


@pytest.mark.parametrize(("name", "total"), [("sam3", 832_292_918), ("sam3_selected", 981_913_655)])
def test_parameters_of_the_published_size(name, total):
    model = on_meta(load_config(name))
    assert sum(p.numel() for p in model.parameters()) == total
    assert not any(p.requires_grad for p in model.parameters())


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    config = load_config("sam3").model.to_dict()
    with pytest.raises(MissingExtraError, match=r"transformers.*pip install 'ovss\[sam3\]'"):
        build_model(config)
