"""The converter knows every name of both published sizes, and nothing else."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.sed.convert import convert, decoder_table, own_before_guide
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

CLIP = "sem_seg_head.predictor.clip_model."


def published(size: str) -> dict[str, Tensor]:
    """Every name of a checkpoint, without memory."""
    own = on_meta(load_config(f"sed_convnext-{size}")).state_dict()
    clip = {}
    for name, value in own.items():
        if name.startswith("encoder.clip.") and not name.endswith(
            ("k_proj_weight", "v_proj_weight")
        ):
            value = value.repeat(3, 1) if name.endswith("q_proj_weight") else value
            name = name.replace("q_proj_weight", "in_proj_weight")
            clip[CLIP + name.removeprefix("encoder.clip.")] = value
    return clip | {name: own[ours] for name, ours in decoder_table().items()}


@pytest.mark.parametrize(("size", "names"), [("b", 608), ("l", 658)])
def test_every_name_of_both_sizes(size, names):
    state = published(size)
    found = convert(state)
    assert len(state) == names
    assert set(found.source.values()) == set(state)
    assert not found.dropped
    own = on_meta(load_config(f"sed_convnext-{size}")).state_dict()
    assert {name: value.shape for name, value in found.tensors.items()} == {
        name: value.shape for name, value in own.items()
    }


def test_unknown_and_missing_names_are_listed():
    state = published("b")
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    gone = CLIP + "visual.trunk.stages.2.blocks.26.gamma"
    state.pop(gone)
    with pytest.raises(CheckpointError, match=rf"1 names missing: {gone}"):
        convert(state)


def test_other_models_are_refused():
    assert "sed" in convertible()
    with pytest.raises(CheckpointError, match="found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})
    stem = CLIP + "visual.trunk.stem.0.weight"
    with pytest.raises(CheckpointError, match="128 or 192 rows, found 96 rows"):
        convert({stem: torch.zeros(96, 3, 4, 4)})


def test_the_image_guidance_of_a_kernel_goes_last():
    weight = torch.arange(7.0).view(1, 7, 1, 1).expand(4, 7, 3, 3)
    assert own_before_guide(weight, 2)[0, :, 0, 0].tolist() == [0, 1, 2, 5, 6, 3, 4]
