"""The converter knows every name of both ConvNeXt sizes, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from ovss_plugins.fc_clip.convert import convert, head_table, proposer_table
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

CLIP = "backbone.clip_model."
OURS = "encoder.encoder.clip."


def published(own: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every name of a checkpoint; without memory, but for CLIP's factor."""
    clip = {}
    for name, value in own.items():
        if name.startswith(OURS) and not name.endswith(("k_proj_weight", "v_proj_weight")):
            value = value.repeat(3, 1) if name.endswith("q_proj_weight") else value
            name = name.replace("q_proj_weight", "in_proj_weight")
            clip[CLIP + name.removeprefix(OURS)] = value
    tables = proposer_table() | head_table()
    state = clip | {name: own[ours] for name, ours in tables.items()}
    state["void_embedding.weight"] = state["void_embedding.weight"][None]
    state[f"{CLIP}logit_scale"] = torch.tensor(math.log(100))
    return state | {"criterion.empty_weight": torch.ones(134)}


@pytest.fixture(scope="module", params=["b", "l"])
def own(request) -> dict[str, Tensor]:
    return on_meta(load_config(f"fc_clip_convnext-{request.param}")).state_dict()


def test_every_name_of_both_sizes(own):
    state = published(own)
    found = convert(state)
    assert {*found.source.values(), *found.dropped} == set(state)
    assert set(found.dropped) == {"criterion.empty_weight"}
    assert {name: value.shape for name, value in found.tensors.items()} == {
        name: value.shape for name, value in own.items()
    }


def test_unknown_and_missing_names_are_listed(own):
    state = published(own)
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    gone = "sem_seg_head.predictor.transformer_ffn_layers.8.norm.bias"
    state.pop(gone)
    with pytest.raises(CheckpointError, match=rf"1 names missing: {gone}"):
        convert(state)


def test_another_factor_of_clip_is_refused(own):
    scale = {f"{CLIP}logit_scale": torch.tensor(math.log(50))}
    with pytest.raises(CheckpointError, match=r"to be 100, .* found 50"):
        convert(published(own) | scale)
    above = {f"{CLIP}logit_scale": torch.tensor(4.7)}  # CLIP's factor is at most 100
    assert convert(published(own) | above)


def test_other_models_are_refused():
    assert "fc_clip" in convertible()
    with pytest.raises(CheckpointError, match=r"found no such tensor; only ConvNeXt models"):
        convert({f"{CLIP}visual.conv1.weight": torch.zeros(32, 3, 3, 3)})
    with pytest.raises(CheckpointError, match="128 or 192 rows, found 96 rows"):
        convert({f"{CLIP}visual.trunk.stem.0.weight": torch.zeros(96, 3, 4, 4)})
