"""GroupViT: sizes, conversion from Hugging Face, gate, background, training mode."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.groupvit import GroupHead, GroupViTEncoder
from ovss_plugins.groupvit.convert import convert
from ovss_plugins.groupvit.grouping import GroupingBlock

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.structures import ImageFeatures, Proposals, Selection, TextFeatures, Vocabulary

SMALL = dict(patch=16, grid=4, width=24, heads=2, depths=(2, 1, 1), groups=(6, 3), joint_dim=16,
             text_width=64, text_layers=2, text_heads=1, context_length=12,
             text_cache="off")  # fmt: skip


def test_parameters():
    """The published number counts one more, a factor that only training uses."""
    model = on_meta(load_config("groupvit_vit-s16"))
    count = {
        name: sum(p.numel() for p in module.parameters())
        for name, module in model.encoder.model.named_children()
    }
    text = count["text"] - 2_109_696
    assert (count["visual"], count["visual_projector"], text) == (28_837_136, 2_633_984, 22_145_792)
    assert sum(p.numel() for p in model.parameters()) == 55_726_609


def test_hugging_face_has_the_same_network():
    modeling = pytest.importorskip("transformers.models.groupvit.modeling_groupvit")
    from transformers import GroupViTConfig

    text = dict(vocab_size=49408, hidden_size=64, intermediate_size=256, num_hidden_layers=2,
                num_attention_heads=1, max_position_embeddings=12)  # fmt: skip
    vision = dict(
        hidden_size=24,
        intermediate_size=96,
        depths=[2, 1, 1],
        num_group_tokens=[6, 3, 0],
        num_output_groups=[6, 3, 0],
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
    )
    torch.manual_seed(0)
    config = GroupViTConfig(text_config=text, vision_config=vision, projection_dim=16)
    theirs = modeling.GroupViTModel(config).eval()
    encoder = GroupViTEncoder(**SMALL).eval()
    tensors = convert(theirs.state_dict()).tensors
    encoder.load_state_dict(
        {n.removeprefix("encoder."): t for n, t in tensors.items() if n.startswith("encoder.")}
    )
    pixels = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.get_image_features(pixel_values=pixels).pooler_output
        found = encoder.features(pixels).pooled_BC
    unit = F.normalize(expected, dim=-1)
    torch.testing.assert_close(F.normalize(found, dim=-1), unit, atol=1e-5, rtol=0)


def test_other_checkpoints_are_refused():
    with pytest.raises(CheckpointError, match=r"expected img_encoder\.pos_embed"):
        convert({"visual.proj": torch.zeros(1)})


def test_an_empty_group_weighs_nothing_and_soft_shares_sum_to_one():
    torch.manual_seed(0)
    block = GroupingBlock(8, 2, tokens=4, groups=3).eval()
    new, soft = block(torch.randn(2, 10, 8), torch.randn(2, 4, 8))
    assert new.shape == (2, 3, 8)
    torch.testing.assert_close(soft.sum(1), torch.ones(2, 10))
    block.train()(torch.randn(2, 10, 8), torch.randn(2, 4, 8))[0].sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in block.parameters())


def scene(count: int, groups: int = 3) -> tuple[ImageFeatures, TextFeatures]:
    torch.manual_seed(1)
    embed = torch.randn(1, groups, 1, 8)
    valid = torch.ones(1, groups, dtype=torch.bool)
    proposals = Proposals(torch.randn(1, groups, 4, 4), embed, valid)
    image = ImageFeatures(torch.randn(1, 8, 4, 4), torch.randn(1, 8), proposals=proposals)
    names = tuple(f"thing {i}" for i in range(count))
    text = F.normalize(torch.randn(count, 1, 8), dim=-1)
    return image, TextFeatures(text, vocabulary=Vocabulary(names))


def shares(head: GroupHead, image, text, selection=None) -> torch.Tensor:
    count = text.embeds_TPC.shape[0]
    with torch.no_grad():
        aligned = head.eval()(image, text, selection or Selection.everything(1, count))
    return aligned.logits_BKQ.exp()[0]


def test_share_is_the_product_of_two_softmaxes():
    image, text = scene(9)
    logits = F.normalize(image.proposals.embed_BQSC[0, :, 0], dim=1) @ text.embeds_TPC[:, 0].T
    logits = logits.T / 0.07
    best = (text.embeds_TPC[:, 0] @ image.pooled_BC[0]).topk(5).indices
    gated = torch.full_like(logits, -torch.inf)
    gated[best] = logits[best]
    expected = gated.softmax(0) * logits.softmax(0)
    torch.testing.assert_close(shares(GroupHead(8), image, text), expected)
    squared = logits.softmax(0).square()
    torch.testing.assert_close(shares(GroupHead(8, gate=0), image, text), squared)


def test_the_first_softmax_is_over_the_whole_vocabulary():
    image, text = scene(9)
    keep_1T = torch.zeros(1, 9, dtype=torch.bool)
    keep_1T[0, [1, 4, 6]] = True
    found = shares(GroupHead(8, gate=0), image, text, Selection.from_mask(keep_1T))
    logits = F.normalize(image.proposals.embed_BQSC[0, :, 0], dim=1) @ text.embeds_TPC[:, 0].T
    logits = logits.T / 0.07
    expected = logits.softmax(0)[keep_1T[0]] * logits[keep_1T[0]].softmax(0)
    torch.testing.assert_close(found, expected)


def test_background_takes_the_groups_below_the_threshold():
    image, text = scene(6)
    names = ("Background", *text.vocabulary.names[1:])
    text = TextFeatures(text.embeds_TPC, vocabulary=Vocabulary(names))
    best = shares(GroupHead(8, threshold=0.0), image, text)[1:].amax(0)
    limit = float(best.sort().values[1:].mean())
    found = shares(GroupHead(8, threshold=limit), image, text)
    assert torch.equal(found[0] == 1, best < limit)
    strict = shares(GroupHead(8, threshold=1.0), image, text)
    assert torch.equal(strict[0] == 1, best < best.max()), "the best group of an image stays"
    ignored = shares(GroupHead(8, background=""), image, text)
    assert (ignored[0] < 1).all()


def test_groups_own_pixels_of_the_input():
    encoder = GroupViTEncoder(**SMALL, image_size=64).eval()
    with torch.no_grad():
        proposals = encoder.encode_image(torch.rand(2, 3, 50, 70) * 255).proposals
    assert proposals.padding.padded == proposals.padding.image == (64, 64)
    assert proposals.valid_BQ.any(1).all()
