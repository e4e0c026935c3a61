"""GroupViT, through the converter, against what the authors' code computes.

The authors' modules ran at a small size with random weights; weights of the image tower and outputs
are in ``data/``. The two projectors and the text tower are too large to store: their outputs are
given to the head, and ``OVSS_GOLDEN`` may name the folder with the whole case.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.groupvit import GroupHead, GroupViTEncoder
from ovss_plugins.groupvit.convert import convert
from torch import Tensor, nn

from ovss.decoders import ComposeDecoder
from ovss.encoders.open_clip_text import TextRules, embed_prompts
from ovss.layers.region_maps import region_maps
from ovss.structures import Padding, Selection, TextFeatures, Vocabulary

STORED = Path(__file__).parent / "data" / "groupvit_small.npz"
WHOLE = Path(os.environ.get("OVSS_GOLDEN", "absent")) / "groupvit_small" / "outputs.npz"


def read(path: Path) -> dict[str, Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(np.array(file[name])) for name in file.files}


CASE = read(STORED)


def small() -> GroupViTEncoder:
    torch.manual_seed(0)
    encoder = GroupViTEncoder(
        patch=16, grid=4, width=24, heads=2, depths=(2, 1, 1), groups=(6, 3), joint_dim=16,
        text_width=64, text_layers=2, text_heads=1, context_length=12, text_cache="off",
    )  # fmt: skip
    encoder.model.text.token_embedding = nn.Embedding(50, 64)
    return encoder.eval()


def load(module: nn.Module, tensors: dict[str, Tensor], prefix: str) -> None:
    start = f"{prefix}."
    module.load_state_dict(
        {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
    )


@pytest.fixture(scope="module")
def encoder() -> GroupViTEncoder:
    """Image tower with the authors' weights, renamed by the converter."""
    encoder = small()
    own = encoder.model.state_dict()
    published = {n.removeprefix("state/"): t for n, t in CASE.items() if n.startswith("state/")}
    for name, side in (("img_projector", "visual_projector"), ("text_projector", None)):
        module = f"{side}." if side else "text.text_projection."
        for official, part in (
            ("linear_hidden.0", "0"),
            ("linear_hidden.1", "1"),
            ("linear_out", "3"),
        ):
            leaves = ("weight", "bias")
            if part == "1":
                leaves += ("running_mean", "running_var", "num_batches_tracked")
            for leaf in leaves:
                published[f"{name}.{official}.{leaf}"] = own[f"{module}{part}.{leaf}"]
    for name, value in own.items():
        if name.startswith("text.") and "text_projection" not in name:
            if ".attn.k_proj" in name or ".attn.v_proj" in name:
                continue
            if ".attn.q_proj_weight" in name:
                name, value = name.replace("q_proj", "in_proj"), value.repeat(3, 1)
            published[f"text_encoder.{name.removeprefix('text.')}"] = value
    published["logit_scale"] = CASE["logit_scale"]
    load(encoder, convert(published).tensors, "encoder")
    return encoder


def test_tokens_and_assignments(encoder):
    with torch.no_grad():
        grouped = encoder.model.visual(CASE["image"])
    torch.testing.assert_close(grouped.tokens_BQD, CASE["tokens"], atol=1e-5, rtol=0)
    assigned_QN = CASE["soft1"][0, 0] @ CASE["soft0"][0, 0]
    found_QN = grouped.assigned_BQhw.flatten(2)[0]
    torch.testing.assert_close(found_QN, assigned_QN, atol=1e-5, rtol=0)


@pytest.mark.parametrize("background", [0, 1])
def test_scores(encoder, background):
    """Gate, product of two softmaxes, ownership of pixels, and threshold of the background."""
    text = CASE["text"]
    names = tuple(f"thing {i}" for i in range(7))
    if background:
        names, text = ("background", *names), torch.cat([-text[:1], text])
    head = GroupHead(16, threshold=float(CASE["bg_thresh"]))
    head.load_state_dict({"log_scale": CASE["logit_scale"]})
    with torch.no_grad():
        features = encoder.features(CASE["image"])
        embed_BQSC = CASE["group_embeds"][:, :, None]
        proposals = replace(features.proposals, embed_BQSC=embed_BQSC)
        features = replace(features, pooled_BC=CASE["pooled"], proposals=proposals)
        texts = TextFeatures(text[:, None], vocabulary=Vocabulary(names))
        aligned = head.eval()(features, texts, Selection.everything(1, len(names)))
        masks = ComposeDecoder(merge_at_input=True, ownership="hard")(aligned)
    assert masks.padding == Padding((64, 96), (64, 96))
    maps_KHW = region_maps(masks, (64, 96))[0]
    expected = CASE[f"scores_bg{background}"]
    torch.testing.assert_close(maps_KHW[:, ::4, ::4], expected, atol=1e-5, rtol=0)


@pytest.mark.skipif(not WHOLE.is_file(), reason="OVSS_GOLDEN does not name the cases")
def test_whole_case():
    case = read(WHOLE)
    encoder = small()
    published = {n.removeprefix("state/"): t for n, t in case.items() if n.startswith("state/")}
    conversion = convert(published)
    assert set(conversion.dropped) == {"multi_label_logit_scale"}
    load(encoder, conversion.tensors, "encoder")
    with torch.no_grad():
        features = encoder.features(case["image"])
        rules = TextRules(causal=True, pool="argmax", eos_id=2, context_length=12)
        text = F.normalize(embed_prompts(encoder.model.text, rules, case["ids"]), dim=-1)
    for found, name in (
        (features.proposals.embed_BQSC[:, :, 0], "group_embeds"),
        (features.pooled_BC, "pooled"),
        (text, "text"),
    ):
        unit = F.normalize(found, dim=-1)
        torch.testing.assert_close(unit, F.normalize(case[name], dim=-1), atol=2e-6, rtol=0)
