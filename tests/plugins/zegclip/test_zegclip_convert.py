"""The converter of ZegCLIP knows every name of both published sizes, and nothing else."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from ovss_plugins.zegclip.convert import convert
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible

CASE = Path(__file__).parents[2] / "parity" / "data" / "zegclip_vit-b16.json"
UNUSED = 5_782_016
"""Parameters that the authors train without a gradient."""


@cache
def shapes() -> dict[str, list[int]]:
    return json.loads(CASE.read_text())["state_dict"]


def published(prompts: int = 10) -> dict[str, Tensor]:
    """Every name of a checkpoint, without memory."""
    state = {name: torch.empty(shape, device="meta") for name, shape in shapes().items()}
    for name in ("prompt_embeddings", "deep_prompt_embeddings"):
        rows, _, width = state[f"backbone.{name}"].shape
        state[f"backbone.{name}"] = torch.empty(rows, prompts, width, device="meta")
    return state


@pytest.mark.parametrize(
    ("name", "prompts", "total", "trained"),
    [("voc", 10, 164_077_824, 13_821_184), ("coco", 100, 164_907_264, 14_650_624)],
)
def test_every_name_and_parameter_of_both_sizes(name, prompts, total, trained):
    state = published(prompts)
    conversion = convert(state)
    assert len(state) == 376
    assert set(conversion.source.values()) | set(conversion.dropped) == set(state)
    model = on_meta(load_config(f"zegclip_vit-b16_{name}"))
    assert {name: value.shape for name, value in conversion.tensors.items()} == {
        name: value.shape for name, value in model.state_dict().items()
    }
    assert sum(p.numel() for p in model.parameters()) == total - UNUSED
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == trained - UNUSED


def test_unknown_missing_and_other_tensors_are_listed():
    assert "zegclip" in convertible()
    state = published()
    with pytest.raises(CheckpointError, match=r"1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    state.pop("decode_head.decoder_1.layers.2.multihead_attn.k.bias")
    with pytest.raises(CheckpointError, match=r"1 names missing: .*layers\.2.*k\.bias"):
        convert(state)
    with pytest.raises(CheckpointError, match="with 11 rows, found no such tensor"):
        convert({"backbone.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match=r"found shape \(2, 1, 1\)"):
        convert({"backbone.deep_prompt_embeddings": torch.zeros(2, 1, 1)})
