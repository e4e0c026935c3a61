"""Config files of small methods with random weights: every plugin without a bundled model."""

from __future__ import annotations

from pathlib import Path
from pprint import pformat
from typing import Any

_SAM = dict(width=32, depth=4, heads=2, image_size=64, window=3, whole=(0, 1, 2, 3))
_BATCH = dict(queries=5, dim=64, heads=4, pixel_layers=1, pixel_feedforward=64, feedforward=64)
_REGIONS = dict(replaced=(1, 3), threshold=0.5, ratio=0.4)
_CLIP = dict(type="OpenCLIPEncoder", model="mini_clip", pretrained="mini_clip", image_size=96)
_SWIN = dict(type="Swin", dim=16, depths=(1, 2, 1, 1), heads=(1, 2, 2, 2), window=4)
_RESNET = dict(type="ResNet", depth=50, output_stride=8, stride_first=True)
_WHOLE = dict(mode="whole", size=64)
_GROUPS = dict(patch=16, grid=4, width=24, heads=2, depths=(2, 1, 1), groups=(6, 3), joint_dim=16,
               text_width=64, text_layers=2, text_heads=1, context_length=12)  # fmt: skip


def _region_head(sources: int, **more: Any) -> dict[str, Any]:
    return dict(type="RegionHead", joint_dim=128, scales=(100.0,) * sources, **more)


BLOCKS: dict[str, dict[str, Any]] = {
    "ebseg": dict(
        encoder=dict(
            type="EBSegEncoder", model="mini_clip", sam=_SAM, split=4, surgery=1, taps=(1, 2, 4),
            layers=3, **_BATCH,
        ),
        head=_region_head(3, normalize=(False,), trained=2, seen=("plain red star",),
                          ensemble=dict(seen=(0.2, 0.7, 0.1), unseen=(0.0, 0.7, 0.3))),
        decoder=dict(type="ComposeDecoder"),
        inference=dict(activation="none"),
    ),
    "scan": dict(
        encoder=dict(
            type="SCANEncoder", model="mini_clip", backbone=_SWIN, taps=(2, 4, 6), layers=4,
            supervised=3, hidden=32, regions=_REGIONS,
            context=dict(layers=2, heads=4, feedforward=32), **_BATCH,
        ),
        head=_region_head(2, ensemble=dict(seen=(0.3, 0.7), unseen=(0.3, 0.7),
                                           softmax=("void", "categories"), renormalize=False,
                                           empty="one")),
        decoder=dict(type="ComposeDecoder", merge_at_input=True),
        inference=dict(activation="none"),
    ),
    "groupvit": dict(
        encoder=dict(type="GroupViTEncoder", **_GROUPS),
        head=dict(type="GroupHead", joint_dim=16),
        decoder=dict(type="ComposeDecoder"),
        inference=dict(mode="whole", size=64, activation="none"),
    ),
    "openseg_like": dict(
        encoder=dict(
            type="WithProposals",
            encoder=dict(_CLIP, levels=(1, 3)),
            proposer=dict(type="PooledQueryProposer", joint_dim=128, level_dims=(192, 192), dim=16,
                          queries=5, layers=2, heads=2, feedforward=32),
        ),
        head=_region_head(1, void="none"),
        decoder=dict(type="ComposeDecoder", ownership="softmax"),
        inference=dict(mode="whole", size=96, activation="none"),
    ),
    "spnet": dict(
        encoder=dict(type="WordVectorEncoder", vectors=None, dims=12, backbone=_RESNET,
                     dilations=(1, 2), image_size=33),
        head=dict(type="DotProductHead", joint_dim=12, levels=2),
        decoder=dict(type="ScaleMaxDecoder", cost_dim=3),
        inference=dict(mode="whole", size=33, activation="softmax"),
    ),
    "zs3net": dict(
        encoder=dict(type="ClosedDeepLabEncoder",
                     classes=("plain red star", "plain blue circle", "grass", "brick wall")),
        head=dict(type="DotProductHead", joint_dim=257, lengths=True),
        decoder=dict(type="UpsampleDecoder", scale=1.0),
        inference=dict(mode="whole", size=33, activation="softmax"),
    ),
}  # fmt: skip
"""Plugin -> ``model`` block."""

CONFIGS = {
    "cat_seg": "cat_seg_mini",
    "corrclip": "corrclip_mini",
    "dcp_clip": "dcp_clip_mini",
    "dpseg": "dpseg_mini",
    "fc_clip": "fc_clip_mini",
    "lseg": "lseg_mini",
    "pacl": "pacl_mini",
    "pca_seg": "pca_seg_mini",
    "proxyclip": "proxyclip_mini",
    "san": "san_mini",
    "sed": "sed_mini",
    "training_free": "lposs_plus_mini",
    "two_stage": "two_stage_mini",
    "zegclip": "zegclip_mini",
}
"""Plugin -> config at mini scale."""

OTHERWISE = {
    "radseg": "its image tower has one size, a giant of timm; see test_a_giant_tower",
    "sam3": "it needs the extra sam3, see tests/plugins/sam3",
}
"""Plugin -> reason why it has neither."""


def write_config(plugin: str, folder: Path) -> Path:
    """Writes the config of a plugin's block and returns its path."""
    path = folder / f"{plugin}_small.py"
    block = dict(type="OpenVocabSegmentor", prompts=dict(templates="single"), **BLOCKS[plugin])
    path.write_text(
        f"custom_imports = dict(imports=['ovss_plugins.{plugin}'])\nmodel = {pformat(block)}\n"
    )
    return path
