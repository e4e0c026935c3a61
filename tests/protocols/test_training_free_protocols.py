"""Protocols of training-free methods: numbers on each dataset, names, and the rule for pixels."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from ovss.inference import InferenceConfig, label_map, merged_scores
from ovss.models.configs import load_config, use_dataset
from ovss.postprocessors import Background
from ovss.protocols.settled import settle_protocol
from ovss.selection import Selection
from ovss.structures import ImageFeatures, Masks, TextFeatures, Vocabulary

SETS = (
    "pascal_voc_21", "pascal_context_60", "coco_object", "pascal_voc_20", "pascal_context_59",
    "coco_stuff_171", "cityscapes", "ade20k_150",
)  # fmt: skip

# short side, window / stride, threshold / factor / area on each of SETS
# fmt: off
NUMBERS = {
    "sclip": (
        (336, 336, 336, 336, 336, 448, 560, 336), ("224/112",) * 8,
        ((0.1, 65, 0.1), (0.1, 50, 0), (0.1, 50, 0))),
    "naclip": (
        (336, 336, 336, 336, 336, 448, 560, 336),
        ("whole", "224/112", "224/112", "whole", *("224/112",) * 4),
        ((0.1, 40, 0), (0.1, 40, 0), (0.1, 40, 0))),
    "clearclip": (
        (448,) * 8, (*("448/224",) * 6, "224/224", "448/224"),
        ((0.5, 50, 0), (0.15, 50, 0), (0.4, 50, 0))),
    "sc_clip": (
        (336, 336, 336, 336, 336, 336, 560, 336), ("224/112",) * 8,
        ((0.15, 50, 0.1), (0.15, 40, 0), (0.35, 55, 0))),
    "proxyclip": (
        (336, 336, 336, 336, 336, 336, 448, 448), (*("336/112",) * 6, "224/112", "336/112"),
        ((0.2, 40, 0), (0.15, 40, 0), (0.25, 40, 0))),
    "trident": (
        (448, 576, 448, 448, 576, 448, 688, 576), ("336/224",) * 8,
        ((0.2, 40, 0), (0.15, 40, 0), (0.25, 40, 0))),
    "corrclip": (
        (336, 336, 336, 336, 336, 336, 448, 448), (*("336/112",) * 6, "224/112", "336/112"),
        ((0.2, 40, 0), (0.15, 40, 0), (0.25, 40, 0))),
    "corrclip_v2": (
        (336, 336, 336, 336, 336, 336, 784, 448), (*("336/112",) * 6, "224/112", "336/112"),
        ((0.2, 40, 0), (0.15, 40, 0), (0.25, 40, 0))),
}
PINNED = {
    "sclip": "696aa45556b5 28527721bee4 ee684565d545 bc096f3805cc 7fe6e7bfe5ed cd554460c38e "
             "2d4d6ce0b235 c8af534bf696",
    "naclip": "8248c0f0b98b 518d344daefa 68f5777115f7 835641511e74 7fe6e7bfe5ed cd554460c38e "
              "2d4d6ce0b235 c8af534bf696",
    "clearclip": "7c25659eb7db 5296d9e1a7f4 74cd1a397fb1 9527e7475358 d93c8d4a427c 5834f0ea4807 "
                 "2a9dbb807023 5aa66166111d",
    "sc_clip": "c01b16e29538 d77365c513f2 8de442875f40 bc096f3805cc 7fe6e7bfe5ed f20681468560 "
               "2d4d6ce0b235 c8af534bf696",
    "proxyclip": "99f25a4f67e8 63425cd4ef18 30b8c3848df4 c082adb61374 4171c42dff3b 202c340b6023 "
                 "e71347004564 46569fbcde18",
    "trident": "7e2228d07771 062707b086bb 69c2f8ff2535 6cbc661f4148 ccca8650f90b 84fb230f8399 "
               "79a60bb24e61 8bdd19cfe4ca",
    "corrclip": "a0b82ee73c40 c7ef6265454b fcb7a16d60c3 273e17ddac58 bacb05bf644f fcb096c5fb01 "
                "5df940859fda 5518c2bf1708",
    "corrclip_v2": "a0b82ee73c40 c7ef6265454b fcb7a16d60c3 273e17ddac58 bacb05bf644f fcb096c5fb01 "
                   "e8bd2f93a08e 5518c2bf1708",
}
# fmt: on


def settled(protocol: str, data: str, config: str = "sclip_vit-b16"):
    loaded = load_config(config)
    use_dataset(loaded, data)
    return loaded, settle_protocol(loaded, protocol)


@pytest.mark.parametrize("protocol", NUMBERS)
def test_numbers_on_each_dataset(protocol):
    sizes, windows, grounds = NUMBERS[protocol]
    for place, data in enumerate(SETS):
        config, run = settled(protocol, data)
        assert run.name == protocol
        how, inference = run.protocol.how, InferenceConfig(**config.model.inference)
        assert (inference.size, inference.longest, inference.keep_ratio) == (
            sizes[place],
            2048,
            True,
        )
        views = f"{inference.window}/{inference.stride}"
        assert (views if inference.mode == "slide" else inference.mode) == windows[place]
        assert (inference.activate_at, inference.activation) == ("image", "softmax")
        assert run.full_hash == PINNED[protocol].split()[place]
        rule = how.background
        if place >= 3:
            assert rule.name is None
            continue
        assert (rule.threshold, rule.scale, rule.area) == grounds[place]
        assert config.model.decoder.scale == rule.scale
        step = config.model.post_processor
        assert (step.type, step.threshold) == ("Background", rule.threshold)


def test_names_that_the_codes_query():
    _, voc = settled("sclip", "pascal_voc_21")
    words = dict(zip(voc.protocol.data.classes, voc.protocol.data.words, strict=True))
    assert words["background"].count(",") == 25
    assert words["person"].count(",") == 6
    assert words["boat"] == "ship"
    assert words["cow"] == "cow"
    _, plain = settled("clearclip", "pascal_voc_21")
    assert plain.protocol.data.words[:5] == ("background", "aeroplane", "bicycle", "bird", "ship")
    _, streets = settled("corrclip", "cityscapes")
    assert {"trafficlight", "trafficsign", "people"} < set(streets.protocol.data.words)
    config, things = settled("proxyclip", "coco_object")
    assert things.protocol.data.words[0].count(",") == 16
    assert things.protocol.data.words[60] == "bed"  # and one of the names of background
    assert config.model.post_processor.name == "sky"


def test_a_dataset_that_lists_names_in_another_form_keeps_them():
    config = load_config("sclip_vit-b16")
    use_dataset(config, "pascal_voc_20b")
    before = config.test_dataloader.dataset["words"]
    settle_protocol(config)
    assert config.test_dataloader.dataset["words"] == before


def test_a_scale_needs_a_decoder_that_has_one():
    from ovss.protocols.protocol import ProtocolError

    config = load_config("cat_seg_vit-b16", {"model.prompts.templates": "imagenet_80"})
    config.model.head = dict(type="CosineHead", ensemble=True)
    use_dataset(config, "pascal_voc_21")
    with pytest.raises(ProtocolError, match=r"background\.scale needs a decoder|cannot run"):
        settle_protocol(config, "sclip")


NAMES = ("sky, wall, bed", "cat, kitten", "bed", "dog")
QUERIES = ("sky", "wall", "bed", "cat", "kitten", "bed", "dog")


def slow_labels(logits_QHW, threshold, area):
    """The rule of SCLIP's code on cosines times the factor, at the size of the image."""
    owner = [0, 0, 0, 1, 1, 2, 3]
    probs = logits_QHW.softmax(0)
    maps = torch.stack([probs[[q for q in range(7) if owner[q] == c]].amax(0) for c in range(4)])
    labels = maps.max(0).indices
    front = int((labels > 0).sum())
    for c in range(1, 4):
        if area and int((labels == c).sum()) <= area * front:
            maps[c] = 0
    best, labels = maps.max(0)
    return torch.where(best < threshold, 0, labels)


@pytest.mark.parametrize("area", [0.0, 0.3])
@pytest.mark.parametrize("mode", ["slide", "whole"])
def test_pixels_follow_the_rule_of_the_codes(mode, area):
    """Cosines to the window, mean, to the image, softmax, best query, area, threshold."""
    torch.manual_seed(3)
    vocabulary = Vocabulary(NAMES, synonyms="max").queries()
    assert vocabulary.names == QUERIES
    text = TextFeatures(torch.randn(7, 1, 4), vocabulary=vocabulary)
    config = InferenceConfig(
        mode, 24, keep_ratio=True, window=16, stride=8, global_view=False, merge="logits",
        activation="softmax", activate_at="image",
    )  # fmt: skip
    drawn = []

    def segment(views_V3HW):
        grid = (len(views_V3HW), 7, views_V3HW.shape[2] // 4, views_V3HW.shape[3] // 4)
        logits = 3 * torch.randn(grid)
        logits[:, 5] = logits[:, 2]  # "bed" twice
        drawn.extend(logits)
        image = ImageFeatures(torch.zeros(grid[0], 4, *grid[2:]), torch.zeros(grid[0], 4))
        return image, Masks(logits, Selection.everything(grid[0], 7))

    scores = merged_scores(torch.rand(3, 45, 60), text, segment, config)
    assert scores.probs_BKHW.shape[2:] == (45, 60)
    scores = Background(name="sky", threshold=0.35, area=area)(scores)
    found = text.categories(label_map(scores, (45, 60)))[0]

    def resized(x, size):
        return F.interpolate(x[None], size, mode="bilinear", align_corners=False)[0]

    total, count = torch.zeros(7, 24, 32), torch.zeros(24, 32)
    starts = [(y, x) for y in (0, 8) for x in (0, 8, 16)] if mode == "slide" else [(0, 0)]
    side = (16, 16) if mode == "slide" else (24, 32)
    for logits, (y, x) in zip(drawn, starts, strict=True):
        total[:, y : y + side[0], x : x + side[1]] += resized(logits, side)
        count[y : y + side[0], x : x + side[1]] += 1
    expected = slow_labels(resized(total / count, (45, 60)), 0.35, area)
    assert len(expected.unique()) >= 3
    assert not (expected == 2).any()
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "options",
    [
        dict(mode="slide", size=32, window=16, stride=8, merge="probs"),
        dict(mode="multi_scale", size=32, window=16, stride=8, scales=(1.0,)),
    ],
)
def test_probabilities_that_are_merged_cannot_be_computed_at_the_image(options):
    with pytest.raises(ValueError, match="activate_at='image' needs one view"):
        InferenceConfig(activate_at="image", **options)
