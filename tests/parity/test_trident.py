"""Trident's splice and aggregation, against what the authors' code computes.

SAM's attention and values follow from a formula.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.proxyclip.sam_attention import merged_attention
from ovss_plugins.proxyclip.trident import TridentEncoder
from test_proxyclip import build, image_of, read
from torch import Tensor, nn

from ovss.layers.splice import splice

pytestmark = pytest.mark.slow  # 108 million parameters


def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)


def sam_case() -> tuple[Tensor, Tensor]:
    """Attention (12, 240, 240) and values (12, 240, 64)."""
    attention = torch.from_numpy(noise("sam_attn", (1, 12, 240, 240)).astype(np.float32))
    value = noise("sam_v", (1, 12, 12, 20, 64)).astype(np.float32)
    blocks = noise("sam_v_blocks", (1, 12, 3, 5, 64)).astype(np.float32)
    value = value + blocks.repeat(4, axis=2).repeat(4, axis=3)
    return attention[0].softmax(-1), torch.from_numpy(value[0]).flatten(1, 2)


@torch.inference_mode()
def test_canvas_and_aggregated_tokens(tmp_path):
    case, expected = read("trident")
    encoder = TridentEncoder.__new__(TridentEncoder)  # SAM's 89 million parameters are not needed
    nn.Module.__init__(encoder)
    model = "vit_small_patch8_224.dino"
    case["parameters"]["mean"] = "batch"
    encoder.proxy = build(case, model, tmp_path, multiple=56)
    image = image_of(case)
    windows = encoder.encode_windows(torch.stack([image[..., :336], image[..., 224:560]]))
    canvas = splice([windows], [(0, 0), (0, 224)], (336, 336), (336, 560)).maps[0][0]
    found = canvas[::3, ::6, ::10]
    torch.testing.assert_close(found, expected["canvas"], atol=5e-5, rtol=0)
    attention, value = sam_case()
    for name, run in case["runs"].items():
        weights = merged_attention(attention, value, run["cos_fac"], run["refine_neg_cos"])
        dense = encoder.aggregate(canvas, weights.unflatten(0, (12, 20)))
        found = dense[::3, ::2, ::2]
        torch.testing.assert_close(found, expected[f"{name}_dense"], atol=5e-5, rtol=0)
        rows = expected[f"{name}_text_rows"]
        cosines = torch.einsum("tc,chw->thw", rows, F.normalize(dense, dim=0))
        torch.testing.assert_close(cosines, expected[f"{name}_cosines"], atol=5e-6, rtol=0)
