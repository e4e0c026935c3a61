"""CLIP's ViT-B/16 with weights by formula, for the cases of training-free methods."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from official_case import official_weights
from torch import Tensor

from ovss.encoders import OpenCLIPEncoder
from ovss.io.shapes_only import shapes_only

MEAN = (122.771, 116.746, 104.094)
STD = (68.501, 66.632, 70.323)


def clip_encoder(case: dict, options: dict[str, Any]) -> OpenCLIPEncoder:
    """Encoder of a config whose image tower has the weights of a case; without its text tower.

    Args:
        case: description, whose state dict has OpenAI's names.
        options: arguments of the encoder.
    """
    options = {key: value for key, value in options.items() if key != "type"}
    with shapes_only():
        encoder = OpenCLIPEncoder(**{**options, "pretrained": None})
    weights = official_weights(case)
    tensors = {name.removeprefix("visual."): value for name, value in weights.items()}
    encoder.clip.visual.load_state_dict(tensors, assign=True)
    encoder.mean_311, encoder.std_311 = (torch.tensor(row).view(3, 1, 1) for row in (MEAN, STD))
    return encoder.eval()


def cosines(dense_BChw: Tensor, rows_TC: Tensor) -> Tensor:
    """Cosines (T, h, w) of the cells of one image with unit rows of text."""
    return torch.einsum("chw,tc->thw", F.normalize(dense_BChw[0], dim=0), rows_TC)
