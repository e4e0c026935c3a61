"""Protocols: named ones are pinned, shipped configs run what they name, changes are reported."""

from __future__ import annotations

import json

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from ovss.data.transforms import ShortestEdge
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config, shipped_configs, use_dataset
from ovss.protocols.named import find_protocol, named_protocols, protocol_name
from ovss.protocols.protocol import Protocol, ProtocolError
from ovss.protocols.read import protocol_of
from ovss.protocols.settled import settle_protocol

EDGE = dict(short=640, longest=2560, antialias=True, others=())
NO_EDGE = dict(short=None, longest=None, antialias=None, others=())
WHOLE = dict(mode="whole", window=None, stride=None, global_view=None, merge=None)
GRID = dict(mode="slide", window=384, stride=256, global_view=True, merge="probs")
CROPS = dict(mode="slide", window=224, stride=112, global_view=False, merge="logits")
WIDE = {**CROPS, "window": 336}
SPLICED = {**WIDE, "stride": 224, "merge": "features"}
WINDOWS = dict(mode="slide", window=512, stride=426, global_view=False, merge="probs")
SCALES = dict(mode="multi_scale", window=480, stride=320, global_view=None, merge="logits",
              scales=[0.5, 0.75, 1.0, 1.25, 1.5, 1.75], mirror=True)  # fmt: skip
MIOU, UNION = (dict(absent=a, seen_rule="any_synonym") for a in ("ground_truth", "union"))
MEAN, BEST = (("imagenet_80", 80, synonyms) for synonyms in ("average", "max"))

# name: hash of the fields, templates, P, synonyms, resize, canvas, kept ratio or longest side,
# views, activation, scores
# fmt: off
PINNED = {
    "cat_seg": ("7212d4ddd787", "cat_seg", 1, "first", EDGE, 640, False, GRID, "sigmoid", MIOU),
    "sed": ("c9a1c3ca8937", *MEAN, EDGE, 768, False, WHOLE, "sigmoid", MIOU),
    "dcp_clip": ("9f0c225cc82f", *MEAN, EDGE, 640, False, GRID, "sigmoid", MIOU),
    "dpseg": ("c9a1c3ca8937", *MEAN, EDGE, 768, False, WHOLE, "sigmoid", MIOU),
    "sclip": ("77256c0e1f90", *BEST, NO_EDGE, 336, 2048, CROPS, "softmax", UNION),
    "naclip": ("77256c0e1f90", *BEST, NO_EDGE, 336, 2048, CROPS, "softmax", UNION),
    "sc_clip": ("77256c0e1f90", *BEST, NO_EDGE, 336, 2048, CROPS, "softmax", UNION),
    "clearclip": ("8ab0a4bd25f0", *BEST, NO_EDGE, 448, 2048, {**CROPS, "window": 448,
        "stride": 224}, "softmax", UNION),
    "lposs": ("560c9af25902", *BEST, NO_EDGE, 448, 2048, CROPS, "softmax", UNION),
    "proxyclip": ("8e46a06b5430", *BEST, NO_EDGE, 336, 2048, WIDE, "softmax", UNION),
    "trident": ("1871d7e91036", *BEST, NO_EDGE, 448, 2048, SPLICED, "softmax", UNION),
    "radseg": ("7d87ee87115a", *BEST, NO_EDGE, 336, 2048, {**CROPS, "merge": "features"},
               "softmax", UNION),
    "dinotxt": ("9ac4c676a6f7", "imagenet_80", 80, "first", NO_EDGE, 512, True,
                {**GRID, "stride": 192, "global_view": False}, "softmax", UNION),
    "corrclip": ("8e46a06b5430", *BEST, NO_EDGE, 336, 2048, WIDE, "softmax", UNION),
    "corrclip_v2": ("8e46a06b5430", *BEST, NO_EDGE, 336, 2048, WIDE, "softmax", UNION),
    "sam3": ("07350052358c", "name", 1, "max", NO_EDGE, None, False, WHOLE, "sigmoid", UNION),
    "sam3_selected": ("88bdb6934ed4", *BEST, NO_EDGE, None, False, WHOLE, "sigmoid", UNION),
    "gem": ("e17a3790ef3c", *BEST, NO_EDGE, 448, False, WHOLE, "softmax", UNION),
    "clip_surgery": ("ddb99fa37e9c", *BEST, NO_EDGE, 512, False, WHOLE, "softmax", UNION),
    "san": ("f2d0f43f59f1", "vild_14", 14, "verbatim", EDGE, 640, 2560, WHOLE, "none", MIOU),
    "fc_clip": ("45bed6d43e10", "vild_14", 14, "max", {**EDGE, "short": 800, "longest": 1333}, 800,
        1333, WHOLE, "none", MIOU),
    "zegformer":
        ("2db84d226e89", "zegformer", 40, "average", EDGE, 640, 2560, WHOLE, "none", MIOU),
    "ovseg": ("e072c8c4e7e9", "vild_14", 14, "verbatim", {**EDGE, "short": 512, "longest": 2048},
        512, 2048, WHOLE, "none", MIOU),
    "zsseg": ("72307674c1e9", "'{}.'", 1, "verbatim", {**EDGE, "short": 512, "longest": 2048}, 512,
        2048, WHOLE, "none", MIOU),
    "groupvit": ("13384953cf50", "single", 1, "first", NO_EDGE, 448, 2048,
        dict(mode="slide", window=448, stride=224, global_view=False, merge="probs"), "none",
        MIOU),
    "zegclip": ("6284d15e722a", "zegclip", 15, "verbatim", NO_EDGE, 512, True, WINDOWS, "sigmoid",
        UNION),
    "zegclip_voc": ("c1015174f7d3", "'a photo of a {}'", 1, "verbatim", NO_EDGE, 512, True, WINDOWS,
        "sigmoid", UNION),
    "lseg": ("d6bf731f90df", "name", 1, "first", NO_EDGE, 520, False, SCALES, "softmax", MIOU),
    "spnet": ("0caf9a9fa39c", "name", 1, "first", NO_EDGE, 513, False, WHOLE, "softmax", MIOU),
    "mini_regions": ("cf2faa4a645e", "single", 1, "first", NO_EDGE, 96, False, WHOLE, "none", MIOU),
    "mini": ("03facd136bad", "single", 1, "first", NO_EDGE, 96, False, WHOLE, "sigmoid", MIOU),
    "mini_7":
        ("b7912a6d25cd", "imagenet_7", 7, "average", NO_EDGE, 96, False, WHOLE, "sigmoid", MIOU),
    "mini_training_free":
        ("ca20f971f923", "single", 1, "max", NO_EDGE, 96, False, WHOLE, "softmax", MIOU),
    "mini_camvid": ("aff200a7f889", "single", 1, "first", NO_EDGE, [240, 320], False,
        dict(mode="slide", window=192, stride=128, global_view=True, merge="probs"),
        "sigmoid", MIOU),
    "mini_web": ("222ff13362f0", "single", 1, "first", NO_EDGE, 80, False, WHOLE, "sigmoid", MIOU),
    "mini_web_7":
        ("9cb294fbbdcc", "imagenet_7", 7, "average", NO_EDGE, 80, False, WHOLE, "sigmoid", MIOU),
    "mini_web_training_free":
        ("369cf1fe9c46", "single", 1, "max", NO_EDGE, 80, False, WHOLE, "softmax", MIOU),
    "mini_web_regions":
        ("8944a0842aea", "single", 1, "first", NO_EDGE, 80, False, WHOLE, "none", MIOU),
}
# fmt: on


def test_every_named_protocol_is_pinned():
    assert PINNED.keys() == named_protocols().keys()


@pytest.mark.parametrize("name", PINNED)
def test_fields_and_hash_of_a_named_protocol(name):
    digits, templates, count, synonyms, resize, size, ratio, views, activation, scores = PINNED[
        name
    ]
    longest = {} if isinstance(ratio, bool) else {"longest": ratio}
    protocol = Protocol(find_protocol(name).template.plain())
    content = protocol.as_dict()
    assert content["prompts"].pop("sha256")
    assert content == dict(
        version=1,
        prompts=dict(templates=templates, count=count, synonyms=synonyms),
        resize={**resize, "others": []},
        canvas=dict(size=size, keep_ratio=None if size is None else bool(ratio), **longest),
        views={**views, "activation": activation},
        accumulation="float32",
        background=dict(name=None, words=[], threshold=0.0, own_word=True),
        scores=scores,
        data=None,
    )
    assert protocol.full_hash == digits
    assert json.loads(json.dumps(protocol.as_dict())) == protocol.as_dict()


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_a_shipped_config_runs_the_protocol_that_it_names(name):
    config = load_config(name)
    named, before = config.protocol, config.model.to_dict()
    if "test_dataloader" not in config:
        use_dataset(config, "ade20k_847")
    assert settle_protocol(config).chosen == named
    protocol = protocol_of(config)
    assert protocol_name(protocol, named) == named
    here = find_protocol(named)
    expected = Protocol(here.fields_on(protocol.data).plain(), protocol.data)
    assert protocol.diff(expected).keys() <= {"prompts.synonyms"}  # irrelevant without synonyms
    if protocol.data.dataset not in here.on:
        assert config.model.to_dict() == before, "the blocks of the model agree with it already"
    assert "protocol" not in config


def test_a_test_set_brings_no_sizes_and_a_method_its_own():
    """CAT-Seg on ADE20K: short side 640 smoothly, then squashed to 640; SED to 768; SCLIP 336."""
    found = {}
    for name in ("cat_seg_vit-b16", "sed_convnext-b", "sclip_vit-b16"):
        config = load_config(name)
        use_dataset(config, "ade20k_150")
        assert [step.type for step in config.test_dataloader.dataset.pipeline] == ["PackSample"]
        settle_protocol(config)
        found[name] = config
    edge = dict(type="ShortestEdge", size=640, max_size=2560, labels=False)
    for name, size in (("cat_seg_vit-b16", 640), ("sed_convnext-b", 768)):
        config = found[name]
        assert config.test_dataloader.dataset.pipeline[0].to_dict() == edge
        assert config.model.inference.size == size
    assert len(found["sclip_vit-b16"].test_dataloader.dataset.pipeline) == 1
    assert found["sclip_vit-b16"].test_evaluator.absent == "union"
    assert "absent" not in found["sed_convnext-b"].test_evaluator


def test_validation_during_training_is_under_the_protocol_too():
    config = load_config("cat_seg_vit-b16")
    settle_protocol(config)
    for part in ("val", "test"):
        first = config[f"{part}_dataloader"].dataset.pipeline[0]
        assert (first.type, first.size, first["labels"]) == ("ShortestEdge", 640, False)
    before = config.to_dict()
    settle_protocol(config)
    assert config.to_dict() == before, "once is enough"


def test_cityscapes_has_its_own_size_under_sclip():
    config = load_config("sclip_vit-b16")
    use_dataset(config, "cityscapes")
    settle_protocol(config)
    assert config.model.inference.size == 560
    assert protocol_name(protocol_of(config), "sclip") == "sclip"


def test_another_protocol_replaces_every_field_and_options_are_reported():
    config = load_config("sclip_vit-b16")
    use_dataset(config, "ade20k_150")
    settle_protocol(config, "cat_seg", {"views.stride": 192, "resize.short": None})
    inference = config.model.inference
    assert (inference.size, inference.window, inference.stride) == (640, 384, 192)
    assert (inference["merge"], inference.activation) == ("probs", "sigmoid")
    assert inference.keep_ratio is False
    assert config.model.prompts.templates == "cat_seg"
    protocol = protocol_of(config)
    name = protocol_name(protocol, "cat_seg")
    assert name == "cat_seg with resize.short=None, views.stride=192"
    plain = load_config("sclip_vit-b16")
    use_dataset(plain, "ade20k_150")
    settle_protocol(plain, "cat_seg")
    assert protocol_name(protocol_of(plain), "cat_seg") == "cat_seg"
    assert protocol.full_hash != protocol_of(plain).full_hash
    assert protocol.diff(protocol_of(plain)) == {
        "resize.antialias": (None, True),
        "resize.longest": (None, 2560),
        "resize.short": (None, 640),
        "views.stride": (192, 256),
    }


def test_settings_of_a_config_win_over_its_protocol_and_are_reported():
    config = load_config("cat_seg_vit-b16", {"model.inference.stride": 128})
    settle_protocol(config)
    assert config.model.inference.stride == 128
    assert protocol_name(protocol_of(config), "cat_seg") == "cat_seg with views.stride=128"


def test_a_config_that_names_none_is_left_alone_and_called_by_what_it_does():
    config = load_config("sed_convnext-b")
    config.pop("protocol")
    before = config.to_dict()
    assert settle_protocol(config).chosen is None
    assert config.to_dict() == before
    assert protocol_name(protocol_of(config)) == "sed with resize.short=None"


def test_other_steps_of_a_pipeline_are_part_of_the_protocol():
    flip = [dict(type="RandomFlip", prob=1.0), dict(type="PackSample")]
    config = load_config("cat_seg_mini", {"test_dataloader.dataset.pipeline": flip})
    settle_protocol(config)
    assert protocol_name(protocol_of(config), "mini").startswith("mini with resize.others=")


def test_scores_at_a_reduced_size_are_reported():
    """Resizing that includes the labels belongs to the dataset, not to the protocol."""
    edge = dict(type="ShortestEdge", size=640, max_size=2560)
    config = load_config("cat_seg_vit-b16")
    use_dataset(config, "ade20k_150")
    config.test_dataloader.dataset.pipeline = [edge, dict(type="PackSample")]
    settle_protocol(config)
    assert config.test_dataloader.dataset.pipeline[1].to_dict() == edge
    assert protocol_name(protocol_of(config), "cat_seg").startswith("cat_seg with resize.others=")


def test_the_dataset_is_in_the_hash():
    hashes, rules = set(), {}
    for name in ("ade20k_150", "ade20k_847", "pascal_context_59", "pascal_voc_20b", "coco_object"):
        config = load_config("cat_seg_vit-b16")
        use_dataset(config, name)
        settle_protocol(config)
        protocol = protocol_of(config)
        assert protocol_name(protocol, "cat_seg") == "cat_seg"
        hashes.add(protocol.full_hash)
        rules[name] = protocol.as_dict()["data"]
    assert len(hashes) == 5
    assert rules["pascal_voc_20b"]["classes"] == 21
    assert rules["pascal_voc_20b"]["words"] == 59
    assert rules["pascal_voc_20b"]["vocabulary"] == "pascal_voc_20b"
    assert rules["ade20k_847"]["ignored"] == [65535]
    assert rules["ade20k_150"]["seen"] == "coco_stuff_171"


@pytest.mark.parametrize(
    ("method", "data", "digits"),
    [
        ("cat_seg_vit-b16", "ade20k_150", "1525e6d5a1a4"),
        ("cat_seg_vit-b16", "ade20k_847", "8e156911c5ae"),
        ("cat_seg_vit-l14", "pascal_context_459", "27eba3ea5441"),
        ("sed_convnext-b", "pascal_context_59", "4c0b9feecb78"),
        ("dcp_clip_vit-b16", "pascal_voc_20", "4684faeb04b1"),
        ("cat_seg_vit-b16", "pascal_voc_20b", "1ca9eae01e4b"),
        ("sclip_vit-b16", "coco_object", "ee684565d545"),
        ("sclip_vit-b16", "cityscapes", "2d4d6ce0b235"),
    ],
)
def test_whole_protocols_are_pinned(method, data, digits):
    """Full hashes, which change with the class list, the label rules or the seen classes."""
    config = load_config(method)
    use_dataset(config, data)
    settle_protocol(config)
    assert protocol_of(config).full_hash == digits


def test_synonyms_are_queries_of_their_own_if_the_protocol_says_so():
    config = load_config("sclip_vit-b16")
    use_dataset(config, "ade20k_847")
    settle_protocol(config)
    protocol = protocol_of(config)
    assert protocol.how.prompts.synonyms == config.model.prompts.synonyms == "max"
    assert len(protocol.data.words) == len(protocol.data.classes) == 847
    assert protocol_name(protocol, "sclip") == "sclip"
    averaged = load_config("sclip_vit-b16")
    use_dataset(averaged, "ade20k_847")
    settle_protocol(averaged, None, {"prompts.synonyms": "average"})
    name = protocol_name(protocol_of(averaged), "sclip")
    assert name == "sclip with prompts.synonyms=average"


def test_dataset_of_single_synonyms_is_the_rule_max():
    """`words="each synonym"` of a dataset and `synonyms="max"` of a model are one protocol."""
    plain, split = load_config("sclip_vit-b16"), load_config("sclip_vit-b16")
    for config in (plain, split):
        use_dataset(config, "ade20k_847")
    split.test_dataloader.dataset["words"] = "each synonym"
    assert settle_protocol(split).protocol == settle_protocol(plain).protocol


@pytest.fixture
def with_background(tmp_path) -> str:
    """Config of a test dataset with the classes cat, dog and background."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images" / "a.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "masks" / "a.png")
    path = tmp_path / "three.py"
    path.write_text(
        f"test_dataloader = dict(batch_size=1, dataset=dict(type='ImageMaskDataset', "
        f"images={str(tmp_path / 'images')!r}, masks={str(tmp_path / 'masks')!r}, "
        f"vocabulary=['background', 'cat', 'dog'], pipeline=[dict(type='PackSample')]))\n"
        f"test_evaluator = dict(type='OpenVocabIoU')\n"
    )
    return str(path)


def test_background_by_threshold_and_by_words(with_background):
    config = load_config("sclip_vit-b16")
    use_dataset(config, with_background)
    options = {"background.threshold": 0.3, "background.words": ["sky", "wall"]}
    settle_protocol(config, None, options)
    rule = config.model.post_processor
    assert (rule.type, rule.threshold, rule["words"]) == ("Background", 0.3, ["sky", "wall"])
    protocol = protocol_of(config)
    assert protocol.data.words == ("background", "sky", "wall", "cat", "dog")
    assert protocol.data.word_class == (0, 0, 0, 1, 2)
    name = protocol_name(protocol, "sclip")
    assert "background.name=background" in name
    assert "background.threshold=0.3" in name
    behind = load_config("naclip_pamr_vit-b16")
    use_dataset(behind, with_background)
    settle_protocol(behind, None, {"background.threshold": 0.3})
    steps = [step["type"] for step in behind.model.post_processor.steps]
    assert steps == ["PAMR", "Background"]
    settle_protocol(behind, "sclip")
    assert behind.model.post_processor.type == "PAMR"


def test_a_background_that_is_not_there_is_refused():
    config = load_config("sclip_vit-b16")
    use_dataset(config, "ade20k_150")
    with pytest.raises(ProtocolError, match="needs a class 'background'"):
        settle_protocol(config, None, {"background.threshold": 0.3})


def test_a_threshold_where_the_background_has_other_names():
    """The rule names the class, and the post-processor the names that are queried for it."""
    config = load_config("cat_seg_vit-b16")
    use_dataset(config, "coco_object")
    settle_protocol(config, None, {"background.threshold": 0.3})
    step = config.model.post_processor
    assert (step.type, step.name, len(step["words"])) == ("Background", "sky", 24)
    rule = protocol_of(config).how.background
    assert (rule.name, rule.words, rule.threshold) == ("background", (), 0.3)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cat_seq", {}, r"Unknown protocol 'cat_seq'\. Did you mean cat_seg\?"),
        (None, {"views.windows": 512}, r"Unknown field 'views.windows'\. Did you mean views.w"),
        (None, {"views": 512}, "Unknown field 'views'"),
        (
            None,
            {"views.mode": "tiles"},
            "views.mode must be one of whole, slide, multi_scale",
        ),
        (None, {"views.window": 1000, "views.mode": "slide"}, "do not fit together"),
        (None, {"canvas.size": -1}, "canvas.size must be a positive number of pixels"),
        (None, {"resize.short": 640}, "needs resize.longest"),
        (None, {"prompts.templates": "imagenet_8"}, "prompts.templates: .*'imagenet_8'"),
        (None, {"scores.absent": "both"}, "scores.absent must be one of ground_truth, union"),
        (None, {"resize.others": ["x"]}, "resize.others is read-only"),
        ("sed", {}, r"protocol sed cannot run with this method.*num_templates=1.*num_templates=80"),
    ],
)
def test_bad_input_is_named(name, options, message):
    with pytest.raises(ProtocolError, match=message):
        settle_protocol(load_config("cat_seg_mini"), name, options)


def test_a_method_that_needs_the_whole_view_refuses_windows_without_it():
    config = load_config("dcp_clip_vit-b16")
    with pytest.raises(ProtocolError, match="whole_view"):
        settle_protocol(config, "sclip")
    with pytest.raises(ProtocolError, match=r"Choose one that can: sed, dcp_clip, dpseg"):
        settle_protocol(load_config("dcp_clip_vit-b16"), "cat_seg")


def test_a_protocol_of_as_many_prompts_runs(tmp_path):
    config = load_config("cat_seg_mini")
    settle_protocol(config, "mini", {"prompts.templates": "a {}, drawn"})
    assert protocol_name(protocol_of(config), "mini") == "mini with prompts.templates='a {}, drawn'"
    assert build_segmentor(config).prompts.templates == ["a {}, drawn"]


def test_half_precision_is_reported():
    config = load_config("cat_seg_mini")
    settle_protocol(config, None, {"accumulation": "autocast"})
    assert config.test_cfg.fp16 is True
    assert protocol_name(protocol_of(config), "mini") == "mini with accumulation=autocast"


def test_the_hash_does_not_depend_on_how_a_config_is_written():
    plain = Config(dict(model=dict(prompts=dict(templates="single"), inference=dict(size=96))))
    other = dict(prompts=dict(templates=["a photo of a {}."]), inference=dict(size=96, window=7))
    assert protocol_of(plain).full_hash == protocol_of(Config(dict(model=other))).full_hash


def test_shrinking_without_smoothing_gives_another_image():
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3)).astype(np.uint8)
    shrunk = {
        smooth: ShortestEdge(16, 100, labels=False, antialias=smooth).transform(
            {"img": image.copy(), "seg_fields": []}
        )["img"]
        for smooth in (True, False)
    }
    assert shrunk[True].shape == shrunk[False].shape == (16, 24, 3)
    assert shrunk[True].std() < 0.5 * shrunk[False].std()
