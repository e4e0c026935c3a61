"""Multi-head self-attention with separate query, key and value matrices.

CLIP's own attention keeps the three in one fused matrix. Here they are three parameters, because
fine-tuning may train only some of them, and because dense tokens may need only some of them in the
last block of a vision tower.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ovss.layers.attention import attend, attend_with_weights, mean_weights
from ovss.layers.linear import Linear, linear

__all__ = ["Attention", "split_attention"]


class Attention(nn.Module):
    """Self-attention over tokens (B, N, D) with the same results as `nn.MultiheadAttention`.

    The parameters are ``q_proj_weight``, ``k_proj_weight`` and ``v_proj_weight`` (each (D, D)), the
    shared ``in_proj_bias`` (3 D: query, key, value), and ``out_proj``. A fused ``in_proj_weight``
    (3 D, D) in a state dict is split when it is loaded.

    Args:
        width: D, the number of channels of a token.
        heads: number of attention heads.

    Raises:
        ValueError: a width that is not divisible by the number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"The width of an attention layer must be divisible by its number of heads, got "
                f"width={width} and heads={heads}."
            )
        self.width, self.heads = width, heads
        self.q_proj_weight = nn.Parameter(torch.empty(width, width))
        self.k_proj_weight = nn.Parameter(torch.empty(width, width))
        self.v_proj_weight = nn.Parameter(torch.empty(width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = Linear(width, width)
        if self.q_proj_weight.is_meta:  # nothing to fill, and torch would import its compiler
            return
        for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            nn.init.normal_(weight, std=width**-0.5)

    def query(self, x_BND: Tensor) -> Tensor:
        """Queries of all heads, (B, N, D)."""
        return linear(x_BND, self.q_proj_weight, self.in_proj_bias[: self.width])

    def key(self, x_BND: Tensor) -> Tensor:
        """Keys of all heads, (B, N, D)."""
        return linear(x_BND, self.k_proj_weight, self.in_proj_bias[self.width : -self.width])

    def value(self, x_BND: Tensor) -> Tensor:
        """Values of all heads, (B, N, D)."""
        return linear(x_BND, self.v_proj_weight, self.in_proj_bias[-self.width :])

    def split_heads(self, x_BND: Tensor) -> Tensor:
        """(B, N, D) to (B, heads, N, D / heads)."""
        return x_BND.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def forward(self, x_BND: Tensor, causal: bool = False) -> Tensor:
        """Attention through the backend's fused kernel; `causal` hides later tokens."""
        q, k, v = (self.split_heads(part(x_BND)) for part in (self.query, self.key, self.value))
        return self.out_proj(attend(q, k, v, causal).transpose(1, 2).flatten(2))

    def weights(self, query_BND: Tensor, key_BND: Tensor) -> Tensor:
        """Attention weights of every head, (B, heads, N, N); each row sums to 1."""
        q, k = self.split_heads(query_BND), self.split_heads(key_BND)
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(-1)

    def forward_with_weights(self, x_BND: Tensor) -> tuple[Tensor, Tensor]:
        """Attention, and its weights averaged over heads, (B, N, N). Training keeps all weights."""
        q, k, v = (self.split_heads(part(x_BND)) for part in (self.query, self.key, self.value))
        out, weights_BNN = attend_with_weights(q, k, v)
        return self.out_proj(out.transpose(1, 2).flatten(2)), weights_BNN

    def forward_with_detached_weights(self, x_BND: Tensor) -> tuple[Tensor, Tensor]:
        """Attention, and its weights averaged over heads, without gradient through the weights.

        Training needs less memory than with `forward_with_weights`, because the fused kernel
        computes the attention and the weights are computed separately without gradients. Inference
        computes the weights once, for both.
        """
        if not torch.is_grad_enabled():
            return self.forward_with_weights(x_BND)
        q, k, v = (self.split_heads(part(x_BND)) for part in (self.query, self.key, self.value))
        with torch.no_grad():
            weights_BNN = mean_weights(q, k)
        return self.out_proj(attend(q, k, v).transpose(1, 2).flatten(2)), weights_BNN

    def weights_from_first(self, x_BND: Tensor) -> Tensor:
        """Attention weights of the first token, the class token, (B, heads, N).

        Since ``q . (W_k x + b_k) = (W_k' q) . x + const``, the key matrix is applied to one query
        and not to N tokens. The constant has no effect on the softmax.
        """
        query_BHd = self.query(x_BND[:, 0]).unflatten(-1, (self.heads, -1))
        key_HdD = self.k_proj_weight.unflatten(0, (self.heads, -1))
        back_BHD = torch.einsum("bhd,hde->bhe", query_BHd, key_HdD) * query_BHd.shape[-1] ** -0.5
        return (back_BHD @ x_BND.transpose(1, 2)).softmax(-1)

    def attend_from_first(self, x_BND: Tensor, value_BND: Tensor) -> Tensor:
        """Attention output of the first token, the class token, (B, D)."""
        weights_BHN = self.weights_from_first(x_BND)
        out_BH1d = weights_BHN.unsqueeze(2) @ self.split_heads(value_BND)
        return self.out_proj(out_BH1d.flatten(1))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        fused = state_dict.pop(prefix + "in_proj_weight", None)
        if fused is not None:
            for name, part in zip("qkv", fused.chunk(3), strict=True):
                state_dict[f"{prefix}{name}_proj_weight"] = part
        super()._load_from_state_dict(state_dict, prefix, *args)


def split_attention(blocks: nn.ModuleList) -> None:
    """Replaces the fused attention of every block by `Attention` with the same weights."""
    for block in blocks:
        fused = block.attn
        with torch.device("meta"):
            split = Attention(fused.embed_dim, fused.num_heads)
        split.load_state_dict(fused.state_dict(), assign=True)
        for parameter in split.parameters():
            parameter.data = parameter.data.clone()  # own storage, not views of the fused matrix
        block.attn = split
