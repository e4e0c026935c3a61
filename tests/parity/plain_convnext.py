"""CLIP's ConvNeXt the way timm runs it, for `plain_sed.predict`: plain linear maps and GELU.

Not the code under test and sharing none of it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

State = Mapping[str, Tensor]
_DEPTHWISE = 7


def dense_features(state: State, pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Dense embeddings (B, C, h, w), and the output (B, D, h', w') of each stage, shallow first.

    Args:
        state: tensors of the tower under the names of open_clip, without ``visual.``.
        pixels: (B, 3, H, W), normalised; H and W are multiples of 32.
    """
    x = _conv(state, "trunk.stem.0", pixels, stride=4)
    x = _norm(state, "trunk.stem.1", x)
    outputs: list[Tensor] = []
    while f"trunk.stages.{len(outputs)}.blocks.0.gamma" in state:
        stage = f"trunk.stages.{len(outputs)}."
        if stage + "downsample.1.weight" in state:
            x = _conv(state, stage + "downsample.1", _norm(state, stage + "downsample.0", x), 2)
        block = 0
        while f"{stage}blocks.{block}.gamma" in state:
            x = _block(state, f"{stage}blocks.{block}.", x)
            block += 1
        outputs.append(x)
    cells = _norm(state, "trunk.head.norm", x).permute(0, 2, 3, 1)
    return _head(state, cells).permute(0, 3, 1, 2), outputs


def _head(state: State, cells: Tensor) -> Tensor:
    """Projection of the smaller towers, MLP of the larger ones."""
    if "head.proj.weight" in state:
        return F.linear(cells, state["head.proj.weight"], state.get("head.proj.bias"))
    hidden = F.linear(cells, state["head.mlp.fc1.weight"], state.get("head.mlp.fc1.bias"))
    return F.linear(F.gelu(hidden), state["head.mlp.fc2.weight"], state.get("head.mlp.fc2.bias"))


def _block(state: State, name: str, x: Tensor) -> Tensor:
    weight, bias = state[name + "conv_dw.weight"], state[name + "conv_dw.bias"]
    y = F.conv2d(x, weight, bias, padding=_DEPTHWISE // 2, groups=x.shape[1]).permute(0, 2, 3, 1)
    norm = state[name + "norm.weight"], state[name + "norm.bias"]
    y = F.layer_norm(y, y.shape[-1:], *norm, eps=1e-6)
    y = F.gelu(F.linear(y, state[name + "mlp.fc1.weight"], state[name + "mlp.fc1.bias"]))
    y = F.linear(y, state[name + "mlp.fc2.weight"], state[name + "mlp.fc2.bias"])
    return x + (y * state[name + "gamma"]).permute(0, 3, 1, 2)


def _conv(state: State, name: str, x: Tensor, stride: int) -> Tensor:
    return F.conv2d(x, state[name + ".weight"], state[name + ".bias"], stride=stride)


def _norm(state: State, name: str, x: Tensor) -> Tensor:
    x = x.permute(0, 2, 3, 1)
    x = F.layer_norm(x, x.shape[-1:], state[name + ".weight"], state[name + ".bias"], eps=1e-6)
    return x.permute(0, 3, 1, 2)
