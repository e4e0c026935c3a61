"""Hashes by their documented definition, and the background rule as it is written into configs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from mmengine.config import Config

from ovss.protocols.named import find_protocol, method_hash, named_protocols
from ovss.protocols.protocol import BackgroundRule, DataRules, Protocol, ProtocolTemplate
from ovss.protocols.write_parts import write_background, write_words

DATA = DataRules(
    classes=("background", "cat", "dog, hound"),
    seen=("cat",),
    words=("background", "wall", "cat", "dog, hound"),
    word_class=(0, 0, 1, 2),
    ignored=(255,),
    label_map=((0, 0), (7, 1)),
    limit=10,
)


def digits(content: Any) -> str:
    """First twelve digits of the SHA-256 of JSON with sorted keys, as docs/protocols.md says."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@pytest.mark.parametrize("name", named_protocols())
def test_hashes_are_the_sha256_of_the_fields(name):
    protocol = Protocol(find_protocol(name).template.plain(), DATA)
    fields = protocol.as_dict()
    assert protocol.full_hash == digits(fields)
    assert method_hash(fields, name) == digits({**fields, "data": None})
    assert fields["prompts"]["sha256"] == digits(list(protocol.how.prompts.templates))
    assert fields["prompts"]["count"] == len(protocol.how.prompts.templates)
    assert fields["data"]["classes_sha256"] == digits(list(DATA.classes))
    assert fields["data"]["seen_sha256"] == digits(list(DATA.seen))
    assert fields["data"]["label_map_sha256"] == digits([[0, 0], [7, 1]])
    reduction = [list(DATA.words), list(DATA.word_class)]
    assert fields["data"]["reduction_sha256"] == digits(reduction)


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ("background", "dog, hound", "cat")},
        {"seen": ("cat", "dog")},
        {"seen": ("dog",)},
        {"words": ("background", "floor", "cat", "dog, hound")},
        {"word_class": (0, 1, 1, 2)},
        {"word_class": None},
        {"ignored": (0,)},
        {"ignored": ()},
        {"label_map": ((0, 0), (8, 1))},
        {"label_map": None},
        {"label_format": "coco"},
        {"limit": 11},
        {"limit": None},
    ],
    ids=str,
)
def test_every_field_of_the_dataset_changes_the_full_hash_alone(change):
    how = find_protocol("sclip").template.plain()
    one, other = Protocol(how, DATA), Protocol(how, replace(DATA, **change))
    assert one.full_hash != other.full_hash
    assert method_hash(one.as_dict(), "sclip") == method_hash(other.as_dict(), "sclip")
    assert all(key.startswith("data.") for key in one.diff(other))


OTHER = {
    "prompts.templates": ("a drawing of a {}.",),
    "prompts.synonyms": "first",
    "resize.short": 333,
    "resize.longest": 999,
    "resize.antialias": False,
    "resize.others": ("{}",),
    "canvas.size": (200, 300),
    "canvas.keep_ratio": False,
    "canvas.longest": 900,
    "views.mode": "whole",
    "views.window": 111,
    "views.stride": 55,
    "views.global_view": True,
    "views.merge": "probs",
    "views.activation": "sigmoid",
    "views.scales": (0.5, 1.0),
    "views.mirror": True,
    "views.activate_at": "image",
    "accumulation": "autocast",
    "background.name": "ground",
    "background.words": ("sky",),
    "background.threshold": 0.25,
    "background.own_word": False,
    "background.area": 0.2,
    "background.scale": 55.0,
    "scores.absent": "ground_truth",
    "scores.seen_rule": "exact",
}


def rich(field: str = "") -> ProtocolTemplate:
    """Protocol in which a field has an effect."""
    template = find_protocol("sclip").template.changed(
        {"resize.short": 640, "resize.longest": 2560, "background.name": "background"}
    )
    if field in ("views.scales", "views.mirror"):
        return template.changed({"views.mode": "multi_scale", "views.scales": (1.0,)})
    return template


def test_there_is_another_value_for_every_field():
    assert OTHER.keys() == rich().flat().keys()


@pytest.mark.parametrize("field", OTHER)
def test_every_field_of_the_method_changes_both_hashes(field):
    one, other = (
        Protocol(t.plain(), DATA) for t in (rich(field), rich(field).changed({field: OTHER[field]}))
    )
    assert one.full_hash != other.full_hash
    assert method_hash(one.as_dict(), "x") != method_hash(other.as_dict(), "x")


def test_lists_of_as_many_templates_differ():
    base = find_protocol("mini_7").template.plain()
    lists = [tuple(f"{word} {{}} {i}" for i in range(7)) for word in ("a", "the")]
    hashes = {Protocol(base.changed({"prompts.templates": each})).full_hash for each in lists}
    assert len(hashes) == 2


@pytest.mark.parametrize("steps", [[], [{"type": "PAMR"}], [{"type": "PAMR"}, {"type": "Other"}]])
def test_the_background_comes_last(steps):
    block = {"type": "Chain", "steps": steps} if len(steps) > 1 else (steps or [None])[0]
    config = Config({"model": {"post_processor": block}})
    write_background(config, BackgroundRule("background", ("sky",), 0.5))
    written = config.model.post_processor
    last = written.steps[-1] if steps else written
    assert (last.type, last.threshold, list(last["words"])) == ("Background", 0.5, ["sky"])
    kinds = [step.type for step in written.steps[:-1]] if steps else []
    assert kinds == [step["type"] for step in steps]
    write_background(config, BackgroundRule())
    assert config.model.post_processor.type == (steps[0]["type"] if len(steps) == 1 else
                                                "Chain" if steps else "Identity")  # fmt: skip


def test_background_names_that_are_queried_already_are_not_queried_twice():
    rule = BackgroundRule("background", ("Cat", "sky", "dog"), 0.0)
    template = replace(find_protocol("sclip").template, background=rule)
    classes = ("cat", "background", "dog, hound")
    data = DataRules(classes, classes, classes)
    dataset: dict[str, Any] = {"type": "ImageMaskDataset"}
    write_words(dataset, template, data)
    assert dataset["words"] == {
        "cat": ("cat",),
        "background": ("background", "sky"),
        "dog, hound": ("dog, hound",),
    }
