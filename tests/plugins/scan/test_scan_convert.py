"""The converter of SCAN knows every name of both sizes, and nothing else."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.scan.convert import convert, official_table
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

BLOCKS = {"b16": 12, "l14": 24}
DROPPED = {
    "criterion.empty_weight",
    "clip_adapter.pixel_mean",
    "clip_adapter.pixel_std",
    *(
        f"backbone.layers.{stage}.blocks.{block}.attn.relative_position_index"
        for stage, depth in enumerate((2, 2, 18, 2))
        for block in range(depth)
    ),
}


def published(size: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, without memory."""
    own = on_meta(load_config(f"scan_vit-{size}")).state_dict()
    found = {}
    for name, ours in official_table(BLOCKS[size]).items():
        if ours.endswith(".attn.in_proj_weight"):
            value = own[ours.replace("in_proj", "q_proj")].repeat(3, 1)
        elif ours == "head.void":
            value = own[ours][None]
        else:
            value = own[ours]
            if name.startswith("LFM") and value.ndim == 2:
                value = value[..., None, None]
        found[name] = value
    return found | {name: torch.empty(1, device="meta") for name in DROPPED}


@pytest.mark.parametrize(
    ("size", "names", "total", "trained"),
    [("b16", 1224, 371_461_178, 135_647_801), ("l14", 1512, 890_254_394, 158_671_673)],
)
def test_every_name_and_parameter_of_both_sizes(size, names, total, trained):
    state = published(size)
    conversion = convert(state)
    assert len(state) == names
    assert set(conversion.dropped) == DROPPED
    assert set(conversion.source.values()) | DROPPED == set(state)
    model = on_meta(load_config(f"scan_vit-{size}"))
    assert {name: value.shape for name, value in conversion.tensors.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert sum(p.numel() for p in model.parameters()) == total
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained


def test_unknown_and_missing_names_are_listed():
    state = published("b16")
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    state.pop("learnable_weight")
    with pytest.raises(CheckpointError, match=r"1 names missing: learnable_weight"):
        convert(state)


def test_other_models_are_refused():
    assert "scan" in convertible()
    with pytest.raises(CheckpointError, match="768 or 1024 values, found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})


def test_the_published_recipe():
    for size, threshold, weight in (("b16", 0.4, 0.7), ("l14", 0.55, 0.75)):
        config = load_config(f"scan_vit-{size}")
        assert config.model.encoder.regions.threshold == threshold
        assert config.model.encoder.regions.ratio == 0.05
        assert config.model.head.ensemble.seen[1] == config.model.head.ensemble.unseen[1] == weight
        assert config.optim_wrapper.optimizer.lr == 6e-5
        assert config.optim_wrapper.optimizer.weight_decay == 0.01
        assert [s.end for s in config.param_scheduler] == [1500, 120000]
