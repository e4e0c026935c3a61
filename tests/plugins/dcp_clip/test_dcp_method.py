"""DCP-CLIP as a whole: sizes, batches of unequal images and ablations."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.dcp_clip import DynamicCategorySelector

from ovss.benchmark.complexity import complexity, count_parameters, on_meta
from ovss.models.configs import load_config
from ovss.models.parts import without_pretrained
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Selection
from ovss.testing import make_images, make_names, with_tiny_encoder

LARGE = {"model.encoder.trainable_text": "qv"}


@pytest.mark.parametrize(
    ("name", "options", "total", "learnable"),
    [
        ("dcp_clip_vit-b16", {}, 159_543_186, 24_078_225),
        ("dcp_clip_vit-l14", {}, 444_194_706, 66_582_161),
        ("dcp_clip_vit-l14", LARGE, 444_194_706, 80_737_937),
    ],
)
def test_sizes(name, options, total, learnable):
    assert count_parameters(on_meta(load_config(name, options))) == (total, learnable)


def test_sizes_are_within_one_percent_of_the_published():
    """443.6 M and 80.3 M (Table II), queries and values of both towers counted as learnable."""
    total, learnable = count_parameters(on_meta(load_config("dcp_clip_vit-l14", LARGE)))
    assert total == pytest.approx(443.6e6, rel=0.01)
    assert learnable == pytest.approx(80.3e6, rel=0.01)


def test_cost_follows_what_is_kept():
    config = load_config("dcp_clip_vit-b16", {"model.prompts.templates": ["{}"] * 80})
    few, many = (complexity(config, make_names(40), kept=kept) for kept in (5, 20))
    assert many.stages["encoder"] == few.stages["encoder"]
    for stage in ("head", "decoder"):
        per_pair = (many.stages[stage].per_view - few.stages[stage].per_view) / 15
        constant = few.stages[stage].per_view - 5 * per_pair
        assert 0 < constant < 12e9, "guidance of an image, whatever it keeps"
    per_pair = sum(many.stages[s].per_view - few.stages[s].per_view for s in ("head", "decoder"))
    assert per_pair / 15 < 2 * 1.97e9, "GMACs for each pair"


@torch.no_grad()
def test_images_of_7_and_30_categories_in_one_batch_equal_the_two_alone():
    model = with_tiny_encoder(load_config("dcp_clip_mini"))
    text = model.encode_vocabulary(make_names(40))
    keep = torch.zeros(2, 40, dtype=torch.bool)
    keep[0, 3:10], keep[1, 5:35] = True, True
    images = make_images(2)

    def logits(part: slice):
        image = model.encoder.encode_image(images[part])
        masks = model.decoder(model.head(image, text, Selection.from_mask(keep[part])))
        return masks.selection.scatter(masks.logits_BKHW)

    together = logits(slice(0, 2))
    for i in range(2):
        alone = logits(slice(i, i + 1))
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-5, rtol=0)


ABLATIONS = {
    "baseline": {"model.decoder": dict(type="UpsampleDecoder")},
    "no cross": {"model.head.cross_attention": False},
    "no self": {"model.head.self_attention": False},
    "no interaction": {"model.head.interaction": "none"},
    "no prompt": {"model.head.interaction": "none", "model.head.prompt": "none"},
    "no windows": {"model.decoder.spatial": False},
    "one layer": {"model.decoder.layers": 1},
    "no layer": {"model.decoder.layers": 0},
    "no sources": {"model.decoder.sources": []},
    "levels": {"model.decoder.sources": ["levels"]},
    "levels and cost": {"model.decoder.sources": ["levels", "cost"]},
    "threshold 0.2": {"model.selector.threshold": 0.2},
    "threshold 0": {"model.selector.threshold": 0.0},
    "no validation": {"model.post_processor": dict(type="Identity")},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablations_are_a_config_away(name):
    changes = {
        key: {**value, "_delete_": True} if isinstance(value, dict) else value
        for key, value in ABLATIONS[name].items()
    }
    model = with_tiny_encoder(load_config("dcp_clip_mini", changes))
    text = model.encode_vocabulary(make_names(9))
    scores = model.scores(make_images(1)[0], text)
    assert model.label_map(scores, (30, 40)).shape == (30, 40)


@pytest.mark.parametrize("layers", [(0, 2), (1,)])
def test_class_attention_of_the_real_encoder(layers):
    config = load_config("dcp_clip_mini").model.to_dict()
    config.pop("type")
    config["encoder"] = without_pretrained(config["encoder"]) | dict(
        attention=False, class_attention=layers, text_cache="off"
    )
    config["decoder"] |= dict(attn_mode="cls", attn_channels=6 * len(layers))
    model = OpenVocabSegmentor(**config).eval()
    with torch.no_grad():
        scores = model.scores(make_images(1)[0], model.encode_vocabulary(("cat", "dog")))
    assert torch.isfinite(scores.probs_BKHW).all()


def test_selection_of_the_full_size_config():
    selector = on_meta(load_config("dcp_clip_vit-b16")).selector
    assert isinstance(selector, DynamicCategorySelector)
    assert (selector.threshold, selector.suppress, selector.temperature) == (0.5, "one_minus", 100)
