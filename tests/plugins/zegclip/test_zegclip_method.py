"""ZegCLIP at mini scale: laws, slow formulas of its parts, options and recipe."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.zegclip import DeepPromptEncoder, FocalDice, RelationshipHead

from ovss.benchmark.complexity import on_meta
from ovss.losses.mask_losses import dice_loss, focal_loss
from ovss.models.build import build_model
from ovss.models.configs import load_config
from ovss.ops import resize
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures, Vocabulary
from ovss.testing import LAWS
from ovss.testing.tiny import make_images, make_sample
from ovss.training.optim import NamedRules

SMALL = dict(model="mini_clip", pretrained="mini_clip", prompts=3, grid=None, text_cache="memory")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = build_model(
        dict(
            encoder=dict(type="DeepPromptEncoder", **SMALL),
            head=dict(type="RelationshipHead", joint_dim=128, layers=3, heads=4),
            decoder=dict(type="UpsampleDecoder", scale=1.0),
            criterion=dict(type="focal_dice"),
            inference=dict(size=96),
        )
    )
    return model.eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_encoder(model, law):
    law(model)
    model.eval()


def test_prompts_are_tokens_that_each_block_replaces(model):
    """Written with the whole sequence, in which prompts stand between class token and patches."""
    encoder, images = model.encoder, make_images(2)
    visual, prompts = encoder.clip.visual, encoder.prompts()
    pixels = (images - encoder.mean_311) / encoder.std_311
    grid = (12, 12)
    with torch.inference_mode():
        patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
        first = 2 * visual.class_embedding.expand(2, 1, -1)
        old = visual.positional_embedding
        places = F.interpolate(old[1:].T.unflatten(1, (8, 8))[None], size=grid, mode="bilinear")
        places = torch.cat([old[:1], places[0].flatten(1).T])
        x = visual.ln_pre(torch.cat([first, patches], dim=1) + places)
        for block, own in zip(visual.transformer.resblocks, prompts, strict=True):
            x = torch.cat([x[:, :1], own.expand(2, -1, -1), x[:, 1:]], dim=1)
            x = x + block.attn(block.ln_1(x))
            x = x + block.mlp(block.ln_2(x))
            x = torch.cat([x[:, :1], x[:, 4:]], dim=1)
        expected = visual.ln_post(encoder.prompts.norm(x)) @ visual.proj
        found = encoder.encode_image(images)
    torch.testing.assert_close(found.pooled_BC, expected[:, 0], atol=1e-5, rtol=0)
    dense = found.dense_BChw.flatten(2).transpose(1, 2)
    torch.testing.assert_close(dense, expected[:, 1:], atol=1e-5, rtol=0)


def test_positions_can_be_stored_for_another_grid():
    """From 8 x 8 to 12 x 12 once, not at every call: the parameter has the new size."""
    stored = DeepPromptEncoder(**{**SMALL, "grid": 12})
    assert stored.clip.visual.positional_embedding.shape == (145, 192)
    direct, images = DeepPromptEncoder(**SMALL), make_images(1)
    direct.prompts = stored.prompts.eval()
    with torch.inference_mode():
        one, other = (e.eval().encode_image(images).dense_BChw for e in (stored, direct))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_the_logits_are_the_mean_over_heads():
    torch.manual_seed(0)
    masks = RelationshipHead(joint_dim=12, layers=1, heads=3).masks
    queries, cells = torch.randn(2, 5, 12), torch.randn(2, 7, 12)
    query, key = (part.unflatten(2, (3, 4)) for part in (masks.query(queries), masks.key(cells)))
    expected = torch.einsum("bkhc,bnhc->bhkn", query, key).div(2).mean(1)
    torch.testing.assert_close(masks(queries, cells), expected)


def test_categories_do_not_see_each_other():
    torch.manual_seed(0)
    head = RelationshipHead(joint_dim=8, heads=2).eval()
    image = ImageFeatures(torch.randn(2, 8, 3, 4), torch.randn(2, 8))
    text = TextFeatures(F.normalize(torch.randn(6, 2, 8), dim=2))
    whole = head(image, text, Selection.everything(2, 6)).cost_BKDhw
    keep = torch.tensor([[1, 0, 0, 1, 0, 1], [0, 1, 0, 0, 0, 0]], dtype=torch.bool)
    some = head(image, text, Selection.from_mask(keep))
    torch.testing.assert_close(some.selection.pack(some.cost_BKDhw), whole[keep])


def test_a_scale_of_unit_vectors_is_one_of_weights():
    """The first matrices, divided by the scale, give the same volume."""
    torch.manual_seed(0)
    scaled, plain = RelationshipHead(8, heads=2, unit_scale=3.0), RelationshipHead(8, heads=2)
    state = scaled.state_dict()
    for name, value in state.items():
        if name == "describe.weight":
            state[name] = torch.cat([value[:, :8] * 9, value[:, 8:] * 3], dim=1)
        elif name.endswith(("key.weight", "value.weight")):
            state[name] = value * 3
    plain.load_state_dict(state)
    image = ImageFeatures(torch.randn(1, 8, 3, 4), torch.randn(1, 8))
    text = TextFeatures(F.normalize(torch.randn(5, 1, 8), dim=2))
    everything = Selection.everything(1, 5)
    one, other = (h.eval()(image, text, everything).cost_BKDhw for h in (scaled, plain))
    torch.testing.assert_close(one, other)


def case(seed: int = 0) -> tuple[Masks, torch.Tensor]:
    """Two images of which one keeps fewer categories, and labels with ignored pixels."""
    torch.manual_seed(seed)
    keep = torch.tensor([[1, 1, 0, 1, 1], [1, 1, 0, 0, 1]], dtype=torch.bool)
    selection = Selection.from_mask(keep)
    labels = torch.randint(-1, 2, (2, 8, 12))
    labels[0, :3] = 4
    return Masks(torch.randn(2, 4, 4, 6, requires_grad=True), selection), labels


def slow_losses(masks: Masks, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pair by pair, with one-hot targets."""
    focal, dice, present = [], [], 0
    logits_BKHW = resize(masks.logits_BKHW, (8, 12))
    for image in range(2):
        for slot, category in enumerate(masks.selection.index_BK[image].tolist()):
            if not masks.selection.valid_BK[image, slot]:
                continue
            target = (labels[image] == category).float().flatten()[None]
            logits = logits_BKHW[image, slot].flatten()[None]
            focal.append(focal_loss(logits, target))
            if target.any():
                dice.append(dice_loss(logits, target))
                present += 1
    return 100 * torch.cat(focal).sum() / present, torch.cat(dice).sum() / present


def test_losses_pair_by_pair():
    masks, labels = case()
    losses = FocalDice()(masks, labels)
    for found, expected in zip(losses.values(), slow_losses(masks, labels), strict=True):
        torch.testing.assert_close(found, expected)
    empty = FocalDice()(masks, torch.full_like(labels, -1))
    assert torch.isfinite(empty["loss_mask"])
    assert empty["loss_dice"] == 0


def test_unlabelled_categories_label_themselves():
    """Pixels of categories 1 and 4 get the better of the two, other pixels keep their label."""
    masks, labels = case(1)
    loss = FocalDice(seen=["a", "c", "d"])
    losses = loss(replace(masks, vocabulary=Vocabulary(("a", "b", "c", "d", "e"))), labels)
    logits_BTHW = masks.selection.scatter(resize(masks.logits_BKHW, (8, 12)), fill=-1e9).detach()
    best = torch.where(logits_BTHW[:, 1] >= logits_BTHW[:, 4], 1, 4)
    own = torch.where((labels == 1) | (labels == 4), best, labels)
    assert (own != labels).any()
    for found, expected in zip(losses.values(), slow_losses(masks, own), strict=True):
        torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match=r"expects Masks\.vocabulary"):
        loss(masks, labels)


def test_every_trained_parameter_gets_a_gradient(model):
    losses = model.train()(make_images(2), [make_sample(3), make_sample(3)], mode="loss")
    sum(losses.values()).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    frozen = {n.split(".")[1] for n, p in model.named_parameters() if not p.requires_grad}
    model.zero_grad()
    model.eval()
    assert without == []
    assert frozen == {"clip"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DeepPromptEncoder(**{**SMALL, "prompts": 0}), "prompts must be at least 1"),
        (lambda: DeepPromptEncoder(**{**SMALL, "dropout": 2.0}), "dropout must be 0 to 1"),
        (lambda: DeepPromptEncoder(**{**SMALL, "grid": 0}), "grid must be at least 1"),
        (lambda: DeepPromptEncoder(**SMALL, pixel_mean=(1.0,)), "3 channels, got 1 values"),
        (lambda: DeepPromptEncoder("RN50"), "ResNet"),
        (lambda: RelationshipHead(joint_dim=10, heads=4), "heads that divide joint_dim"),
        (lambda: RelationshipHead(joint_dim=8, layers=0), "layers must be at least 1"),
        (lambda: RelationshipHead(joint_dim=8, unit_scale=0.0), "unit_scale must be above 0"),
        (lambda: FocalDice(focal_weight=-1.0), "weights of at least 0"),
    ],
)
def test_options_that_do_not_fit_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_everything_that_trains_has_one_rate_and_decays():
    config = load_config("zegclip_vit-b16_voc")
    wrapper = dict(config.optim_wrapper)
    groups = NamedRules(wrapper, dict(wrapper.pop("paramwise_cfg"))).groups(on_meta(config))
    assert {(group["lr"], group["weight_decay"]) for group in groups} == {(2e-4, 0.01)}
    assert config.train_cfg.max_iters == 20000
    assert "clip_grad" not in config.optim_wrapper
