"""The converter of SAN knows every name of both published sizes, and nothing else."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.san.convert import convert, official_table
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

BLOCKS = {"b16": (9, 12), "l14": (18, 24)}
DROPPED = ("criterion.empty_weight", "ov_classifier.attn_mask")
ONE_BY_ONE = ("input_proj.1.weight", *(f"{name}_mlp.layers.{i}.weight"
              for name in ("pix", "attn") for i in range(3)))  # fmt: skip


def published(size: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, almost without memory."""
    own = on_meta(load_config(f"san_vit-{size}")).state_dict()
    found = {}
    for name, ours in official_table(*BLOCKS[size]).items():
        if ours.endswith("in_proj_weight"):
            value = own[ours.replace("in_proj", "q_proj")].repeat(3, 1)
        else:
            value = own[ours]
        if name.endswith(("query_embed", "query_pos_embed", "vit_model.pos_embed", "bg_embed")):
            value = value[None]
        found[name] = value[..., None, None] if name.endswith(ONE_BY_ONE) else value
    found["ov_classifier.logit_scale"] = torch.tensor(4.6052)
    return found | {name: torch.empty(1, device="meta") for name in DROPPED}


@pytest.mark.parametrize(
    ("size", "names", "total", "trained"),
    [("b16", 442, 157_840_307, 8_370_866), ("l14", 586, 436_674_995, 9_321_650)],
)
def test_every_name_and_parameter_of_both_sizes(size, names, total, trained):
    state = published(size)
    conversion = convert(state)
    assert len(state) == names
    assert set(conversion.source.values()) == set(state) - {*DROPPED}
    assert set(conversion.dropped) == {*DROPPED}
    model = on_meta(load_config(f"san_vit-{size}"))
    assert {name: value.shape for name, value in conversion.tensors.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_unknown_and_missing_names_are_listed():
    state = published("b16")
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    gone = "clip_rec_head.resblocks.2.mlp.c_fc.bias"
    state.pop(gone)
    with pytest.raises(CheckpointError, match=rf"1 names missing: {gone}"):
        convert(state)


def test_another_factor_from_cosines_to_logits_is_refused():
    """The head has CLIP's own factor of 100 as an option, not as a tensor."""
    state = published("b16") | {"ov_classifier.logit_scale": torch.tensor(2.66)}
    with pytest.raises(CheckpointError, match=r"log\(100\) = 4.605, found 2.66"):
        convert(state)


def test_other_models_are_refused():
    assert "san" in convertible()
    with pytest.raises(CheckpointError, match="found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})
    name = "clip_visual_extractor.class_embedding"
    with pytest.raises(CheckpointError, match="768 or 1024 values, found 512 values"):
        convert({name: torch.zeros(512)})
