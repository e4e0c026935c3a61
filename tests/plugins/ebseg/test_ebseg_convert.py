"""The converter of EBSeg knows every name of both published sizes, and nothing else."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.ebseg.convert import convert, official_names
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

SIZES = {"b16": (2, 9, 12), "l14": (4, 18, 24)}
SECOND = "clip_visual_extractor."


def published(size: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, without memory."""
    own = on_meta(load_config(f"ebseg_vit-{size}")).state_dict()
    found = {}
    for name, ours in official_names(*SIZES[size]).items():
        if ours.endswith("in_proj_weight"):
            value = own[ours.replace("in_proj", "q_proj")].repeat(3, 1)
        elif ours == "head.void":
            value = own[ours][None]
        else:
            value = own[ours]
            if ours.startswith("encoder.fusion.projections") and value.ndim == 2:
                value = value[..., None, None]
        found[name] = value
    twice = ("proj", "ln_post.weight", "ln_post.bias")
    found |= {SECOND + name: found[f"clip_rec_head.{name}"] for name in twice}
    dropped = ("criterion.empty_weight", "ov_classifier.attn_mask")
    return found | {name: torch.empty(1, device="meta") for name in dropped}


@pytest.mark.parametrize(
    ("size", "names", "total", "trained"),
    [("b16", 800, 261_829_572, 26_622_403), ("l14", 944, 541_073_604, 27_982_531)],
)
def test_every_name_and_parameter_of_both_sizes(size, names, total, trained):
    state = published(size)
    conversion = convert(state)
    assert len(state) == names
    assert set(conversion.source.values()) | set(conversion.dropped) == set(state)
    model = on_meta(load_config(f"ebseg_vit-{size}"))
    assert {name: value.shape for name, value in conversion.tensors.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_unknown_and_missing_names_are_listed():
    state = published("b16")
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    state.pop("backbone.blocks.11.attn.rel_pos_w")
    with pytest.raises(CheckpointError, match=r"1 names missing: backbone\.blocks\.11\.attn\.rel"):
        convert(state)


def test_other_models_are_refused():
    assert "ebseg" in convertible()
    with pytest.raises(CheckpointError, match="768 or 1024 values, found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})
    state = published("b16") | {"ov_classifier.logit_scale": torch.tensor(1.0)}
    with pytest.raises(CheckpointError, match=r"log\(100\) = 4\.605, found 1"):
        convert(state)


def test_the_published_recipe():
    for size, rate in (("b16", 1e-4), ("l14", 8e-5)):
        config = load_config(f"ebseg_vit-{size}")
        assert config.optim_wrapper.optimizer.lr == rate
        assert config.optim_wrapper.optimizer.weight_decay == 0.05
        assert config.train_cfg.max_iters == config.param_scheduler[0].end == 120000
        ensemble = config.model.head.ensemble
        assert all(abs(sum(ensemble[name]) - 1) < 1e-9 for name in ("seen", "unseen"))
        assert ensemble.unseen[0] == 0
