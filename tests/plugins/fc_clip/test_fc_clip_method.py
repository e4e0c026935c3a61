"""FC-CLIP: sizes, recipe, and the whole method around a tiny CLIP."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from ovss.benchmark.complexity import complexity, on_meta
from ovss.inference import dense_scores
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.protocols.named import find_protocol
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Selection
from ovss.testing import LAWS
from ovss.testing.tiny import make_sample
from ovss.training.optim import NamedRules, _trainable

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"timm_model_name": "test_convnext", "timm_model_pretrained": False,
                   "timm_pool": "", "timm_proj": "linear", "image_size": 32},
    "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 24, "heads": 2, "layers": 2},
}  # fmt: skip


@pytest.mark.parametrize(
    ("size", "total", "trained"),
    [("b", 199_751_362, 20_366_017), ("l", 372_494_210, 20_721_601)],
)
def test_numbers_of_parameters(size, total, trained):
    model = on_meta(load_config(f"fc_clip_convnext-{size}"))
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_which_parameters_decay():
    config = load_config("fc_clip_convnext-b")
    model = on_meta(config)
    wrapper = dict(config.optim_wrapper)
    rules = dict(wrapper.pop("paramwise_cfg"))
    groups = NamedRules(wrapper, rules).groups(model)
    decay = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {group["lr"] for group in groups} == {1e-4}
    queries = "encoder.proposer.queries."
    free = {f"{queries}{name}.weight" for name in ("content", "position", "level")}
    for name, parameter, is_exempt in _trainable(model):
        expected = 0.0 if is_exempt or name == "head.void" else 0.05
        assert decay[id(parameter)] == expected, name
        assert is_exempt or name not in free
    assert decay[id(model.head.log_scale)] == 0.05
    assert decay[id(model.encoder.proposer.pixels.level_LD)] == 0.05


def test_steps_and_crops():
    config = load_config("fc_clip_convnext-l")
    flip, jitter, crop, pad, _ = config.train_dataloader.dataset.pipeline
    assert flip == dict(type="RandomFlip", prob=0.5)
    assert jitter == dict(type="ScaleJitter", size=1024, ratio=(0.1, 2.0))
    assert crop == dict(type="RandomCrop", crop_size=(1024, 1024))
    assert pad == dict(type="Pad", size=(1024, 1024), pad_val=dict(img=128, seg=-1))
    assert (config.train_dataloader.batch_size, config.train_cfg.max_iters) == (16, 368750)
    (schedule,) = config.param_scheduler
    assert (schedule.milestones, schedule.gamma) == ([327778, 355092], 0.1)
    assert config.optim_wrapper.clip_grad == dict(max_norm=0.01, norm_type=2)


def test_prompts_and_inference_are_those_of_the_protocol():
    config = load_config("fc_clip_convnext-b")
    template = find_protocol("fc_clip").template
    assert config.model.prompts.synonyms == template.prompts.synonyms == "max"
    inference = config.model.inference
    assert (inference.size, inference.longest) == (template.canvas.size, template.canvas.longest)


@pytest.fixture(scope="module")
def small_config(tmp_path_factory) -> Config:
    """The whole method around a tiny ConvNeXt CLIP, with random weights."""
    path = tmp_path_factory.mktemp("clip") / "tiny.json"
    path.write_text(json.dumps(TINY_CLIP))
    proposer = dict(level_dims=(24, 32, 48, 64), joint_dim=16, queries=9, dim=32, heads=4,
                    layers=4, pixel_layers=2, pixel_feedforward=32, feedforward=48)  # fmt: skip
    overrides = {
        "model.encoder.encoder": dict(model=str(path), pretrained=None, text_cache="off"),
        "model.encoder.proposer": proposer,
        "model.head": dict(joint_dim=16, seen=["thing 1", "thing 4"]),
        "model.inference": dict(size=96, longest=160),
    }
    config = load_config("fc_clip_convnext-b")
    for key, changes in overrides.items():
        block = config
        for part in key.split("."):
            block = block[part]
        block.update(changes)
    return config


@pytest.fixture(scope="module")
def small(small_config) -> OpenVocabSegmentor:
    torch.manual_seed(0)
    return build_model(small_config.model.to_dict()).eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_of_the_whole_method(small, law):
    law(small)


def test_sides_that_are_no_multiples_of_cells(small):
    text = small.encode_vocabulary(("cat, kitten", "grass", "thing 4"))
    image = 255 * torch.rand(3, 70, 101)
    scores = small.scores(image, text)
    assert (scores.padding.padded, scores.padding.image) == ((96, 160), (96, 139))
    assert scores.share_BKQ.shape == (1, 3, 9)
    labels = small.label_map(scores, (70, 101))
    assert labels.shape == (70, 101)
    assert set(labels.unique().tolist()) <= {0, 1, 2}


def test_both_orders_of_merging_are_close_but_differ(small):
    text, image = small.encode_vocabulary(("cat", "grass")), 255 * torch.rand(3, 70, 101)
    scores = small.scores(image, text)
    sums = [
        dense_scores(replace(scores, merge_at_input=first), (200, 300)).probs_BKHW
        for first in (False, True)
    ]
    assert 0 < (sums[0] - sums[1]).abs().max() < 0.1 * sums[0].max()


def test_clip_alone_classifies_if_the_trained_source_has_no_weight(small):
    names = ("cat", "grass", "sea")
    text, image = small.encode_vocabulary(names), 255 * torch.rand(1, 3, 64, 96)
    features = small.encoder.encode_image(image)
    head = copy.deepcopy(small.head)
    head.ensemble = replace(head.ensemble, seen=(0.0, 1.0), unseen=(0.0, 1.0), renormalize=False)
    aligned = head(features, text, Selection.everything(1, 3))
    unit = F.normalize(features.proposals.embed_BQSC[:, :, 1], dim=2)
    expected = (100 * unit @ F.normalize(text.mean_TC, dim=1).T).softmax(2).transpose(1, 2)
    torch.testing.assert_close(aligned.logits_BKQ.exp(), expected)


def test_flops_count_the_proposer_and_names_with_synonyms(small_config):
    joint, apart = (
        complexity(small_config, names, image_size=(64, 96)).stages
        for names in (("cat, kitten", "dog"), ("cat", "kitten", "dog"))
    )
    assert joint["encoder"] == apart["encoder"]
    assert joint["head"] == apart["head"]
    assert 0 < joint["decoder"].per_view * 3 == apart["decoder"].per_view * 2
    small_config = copy.deepcopy(small_config)
    small_config.model.encoder.proposer.layers = 1
    fewer = complexity(small_config, ("dog",), image_size=(64, 96)).stages["encoder"]
    assert fewer.per_view < joint["encoder"].per_view


def test_only_the_proposer_and_the_head_learn(small):
    model = copy.deepcopy(small).train()
    losses = model(255 * torch.rand(2, 3, 64, 64), [make_sample(5, 64)] * 2, mode="loss")
    assert len(losses) == 3 * 5, "three losses for each of four layers and for the queries"
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        learns = not name.startswith("encoder.encoder.")
        assert (parameter.grad is not None) == learns == parameter.requires_grad, name
