"""The converter knows the names of all official layouts, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from ovss_plugins.two_stage.backbone_names import backbone_names
from ovss_plugins.two_stage.convert import convert, proposer_names
from torch import Tensor

from ovss.benchmark.complexity import on_meta
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.swin_names import swin_places

CASE = Path(__file__).parents[2] / "parity" / "data" / "ovseg_r101c.json"
PREDICTOR, ADAPTER = "sem_seg_head.predictor", "clip_adapter"
CLIP = "encoder.encoder.clip."
MARKS = {
    "zegformer_r101": ("stem.conv1.weight", (64, 3, 7, 7), f"{PREDICTOR}.projection_layer.weight"),
    "zsseg_r101c": ("stem.conv1.weight", (64, 3, 3, 3), ""),
    "ovseg_swin-b": ("patch_embed.proj.weight", (128, 3, 4, 4), ""),
}
"""Config -> tensor of the backbone, its shape, a further name."""


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def own_state(config: str) -> dict[str, Tensor]:
    return on_meta(load_config(config)).state_dict()


def published(config: str, with_clip: bool = True) -> dict[str, Tensor]:
    """Official state dict of the method, without memory."""
    own, (mark, shape, more) = own_state(config), MARKS[config]
    state = {f"backbone.{mark}": meta(*shape)}
    if "r101" in config:
        state["backbone.res4.22.conv1.weight"] = meta(256, 1024, 1, 1)
    if more:
        state[more] = meta(512, 256)
    names = [(f"backbone.{n}", f"backbone.{o}") for n, o in backbone_names(state)]
    state = {n: own[f"encoder.proposer.{o}"] for n, o in [*names, *proposer_names(state)]}
    is_zegformer = config.startswith("zegformer")
    clip = f"{PREDICTOR if is_zegformer else ADAPTER}.clip_model"
    for name, value in own.items() if with_clip else ():
        if name.startswith(CLIP) and not name.endswith(("k_proj_weight", "v_proj_weight")):
            value = value.repeat(3, 1) if name.endswith("q_proj_weight") else value
            name = name.removeprefix(CLIP).replace("q_proj_weight", "in_proj_weight")
            state[f"{clip}.{name}"] = value
    void = f"{PREDICTOR}.bg_feature" if is_zegformer else f"{ADAPTER}.non_object_embedding"
    state[void] = own["head.void"][None]
    extra = {
        "zegformer_r101": {f"{PREDICTOR}.logit_scale": meta(1)},
        "zsseg_r101c": {
            f"{ADAPTER}.prompt_learner.prefix_prompt": own.get("encoder.encoder.context_MD"),
            **{
                f"{ADAPTER}.prompt_learner.{part}_signal": meta(1, 512)
                for part in ("start", "dot", "end", "pad")
            },
        },
        "ovseg_swin-b": {
            f"{ADAPTER}.clip_model.visual.mask_embedding": own.get(
                "encoder.embedders.0.prompt_LND"
            ),
            **dict.fromkeys(swin_places("backbone"), meta(144, 144)),
        },
    }
    return {**state, **extra[config]}


@pytest.mark.parametrize("config", MARKS)
def test_every_name_of_a_method(config):
    state, own = published(config), own_state(config)
    found = convert(state)
    assert set(found.source.values()) | set(found.dropped) == set(state)
    assert {n: v.shape for n, v in found.tensors.items()} == {n: v.shape for n, v in own.items()}


def test_zegformer_without_clip():
    found = convert(published("zegformer_r101", with_clip=False))
    assert not any(name.startswith(CLIP) for name in found.tensors)


def test_the_official_names_of_ovseg_and_their_older_layout():
    shapes = json.loads(CASE.read_text())["state_dict"]
    state = {name: meta(*shape) for name, shape in shapes.items()}
    found = convert(state)
    assert set(found.source.values()) | set(found.dropped) == set(state)
    older = {name.replace("pixel_decoder.", ""): value for name, value in state.items()}
    assert older.keys() != state.keys()
    again = convert(older)
    assert again.tensors.keys() == found.tensors.keys()
    assert set(again.source.values()) | set(again.dropped) == set(older)


def test_unknown_missing_and_foreign_names():
    state = published("zsseg_r101c")
    with pytest.raises(CheckpointError, match="1 names not known: more"):
        convert({**state, "more": meta(1)})
    gone = "sem_seg_head.pixel_decoder.layer_4.weight"
    with pytest.raises(CheckpointError, match=f"1 names missing: {gone}"):
        convert({name: value for name, value in state.items() if name != gone})
    with pytest.raises(CheckpointError, match=r"expected backbone\.stem\.conv1\.weight"):
        convert({"net.weight": meta(1)})
    narrow = {f"{ADAPTER}.clip_model.visual.proj": meta(640, 512)}
    with pytest.raises(CheckpointError, match="768 or 1024 rows, found 640 rows"):
        convert({**state, **narrow})
