"""PCA-Seg's aggregator, through the converter, against what the authors' code computes.

The authors' modules ran at a small size with random weights. The fusion of the two streams, with
its weights, is in ``data/``; ``OVSS_GOLDEN`` may name the folder with the whole case.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.cat_seg.volume import EmbeddedVolume
from ovss_plugins.pca_seg import PCADecoder
from ovss_plugins.pca_seg.convert import AGGREGATOR, aggregator_names, finish
from ovss_plugins.pca_seg.decoder import overlap
from ovss_plugins.pca_seg.fusion import ExpertFusion
from torch import Tensor

from ovss.heads.cosine import CosineHead
from ovss.models.conversion import Conversion, rename
from ovss.structures import ImageFeatures, Selection, TextFeatures

STORED = Path(__file__).parent / "data" / "pca_seg_fusion.npz"
WHOLE = Path(os.environ.get("OVSS_GOLDEN", "absent")) / "pca_seg_small" / "outputs.npz"


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Published state dict, and inputs and outputs."""
    with np.load(path) as file:
        arrays = {name: torch.from_numpy(np.array(file[name])) for name in file.files}
    start = "state/"
    state = {f"{AGGREGATOR}.{n[6:]}": t for n, t in arrays.items() if n.startswith(start)}
    return state, {name: t for name, t in arrays.items() if not name.startswith(start)}


def channels_last(x_BcThw: Tensor) -> Tensor:
    return x_BcThw.permute(0, 2, 3, 4, 1)


def test_fusion():
    state, case = read(STORED)
    table = {name: ours for name, ours in aggregator_names().items() if name in state}
    conversion = rename(state, table)
    finish(conversion)
    fusion = ExpertFusion(32, experts=4, gate=8).eval()
    start = "decoder.layers.0.fusion."
    fusion.load_state_dict({n.removeprefix(start): t for n, t in conversion.tensors.items()})
    both = torch.cat([channels_last(case[name]) for name in ("epl_s", "epl_c")], dim=-1)
    with torch.no_grad():
        found = fusion(both.flatten(0, 1))
    expected = channels_last(case["epl_out"]).flatten(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def decoder_of(state: dict[str, Tensor]) -> tuple[PCADecoder, Conversion]:
    """Decoder that enlarges levels by moving channels into space, which the inputs undo."""
    for index, (size, scale) in enumerate(((12, 2), (10, 4))):
        weight = torch.eye(size * scale**2).view(-1, size, scale, scale)
        state |= {f"upsample{index + 1}.weight": weight}
        state |= {f"upsample{index + 1}.bias": torch.zeros(size)}
    drops = dict.fromkeys((name for name in state if name.endswith("attn_mask")), "computed")
    conversion = rename(state, aggregator_names(), drops)
    finish(conversion)
    decoder = PCADecoder(
        20, (48, 160), dim=32, guide_dim=16, heads=4, window=4, pool=(2, 2), pad_length=6,
        level_middle=(12, 10), level_guides=(8, 4), stage_dims=(32, 16), gate_dim=8,
    )  # fmt: skip
    own = {name.removeprefix("decoder."): t for name, t in conversion.tensors.items()}
    decoder.load_state_dict(own)
    return decoder.eval(), conversion


@pytest.mark.skipif(not WHOLE.is_file(), reason="OVSS_GOLDEN does not name the cases")
def test_whole_aggregator():
    state, case = read(WHOLE)
    decoder, _ = decoder_of(state)
    with torch.no_grad():
        for image in range(2):
            one = slice(image, image + 1)
            levels = (F.pixel_unshuffle(case["app1"][one], 2),
                      F.pixel_unshuffle(case["app2"][one], 4))  # fmt: skip
            features = ImageFeatures(case["img"][one], case["img"][one].mean((2, 3)), levels)
            text = TextFeatures(F.normalize(case["text"][image], dim=-1))
            aligned = CosineHead()(features, text, Selection.everything(1, 4))
            guided = replace(features, dense_BChw=case["app0"][one])
            found = decoder(replace(aligned, features=guided)).logits_BKHW
            torch.testing.assert_close(found, case["logits"][one], atol=1e-5, rtol=0)
        volumes = [
            EmbeddedVolume(*parts)
            for parts in zip(
                channels_last(case["layer_in"]),
                case["layer_appearance"].permute(0, 2, 3, 1),
                case["layer_text"],
                strict=True,
            )
        ]
        overlaps = []
        for block in decoder.layers[:2]:
            volumes, both = block(volumes, 2, 8)
            overlaps.append(overlap(both))
    found = torch.stack([volume.x_Khwc for volume in volumes])
    torch.testing.assert_close(found, channels_last(case["layer_out"]), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.stack(overlaps).mean(), case["layer_fod"], atol=1e-6, rtol=0)
