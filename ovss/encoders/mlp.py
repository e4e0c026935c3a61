"""Faster versions of the layers in open_clip's MLPs, with the same parameters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ovss.layers.linear import Linear

__all__ = ["QuickGELU", "speed_up_mlp"]


_SLOPE = -1.702 * math.log2(math.e)


class QuickGELU(nn.Module):
    """CLIP's approximation of GELU, ``x sigmoid(1.702 x)``.

    Without gradients it allocates only one tensor.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            return x * torch.sigmoid(1.702 * x)
        # x / (1 + exp(-1.702 x)): powers of two are the fastest exponential of most processors
        powers = (x * _SLOPE).exp2_().add_(1)
        return torch.div(x, powers, out=powers)


def speed_up_mlp(blocks: nn.ModuleList) -> None:
    """Replaces the layers in the MLP of every block by faster ones. State dicts keep their keys."""
    from open_clip.transformer import QuickGELU as OpenCLIPQuickGELU

    for block in blocks:
        for name, part in block.mlp.named_children():
            if type(part) is nn.Linear:
                with torch.device("meta"):
                    own = Linear(part.in_features, part.out_features, part.bias is not None)
                own.weight, own.bias = part.weight, part.bias
                block.mlp.register_module(name, own)
            elif isinstance(part, OpenCLIPQuickGELU):
                block.mlp.register_module(name, QuickGELU())
