"""Textual guidance (eq. 7): text embeddings of the kept categories, adapted to the image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.layers.linear import Linear, linear

INTERACTIONS = ("hadamard", "logit", "none")
SCALES = ("sqrt_d", "one", "ln")
PROMPTS = ("channel_shared", "extra_tokens", "none")


class TextGuidance(nn.Module):
    """Guidance G = W [T; p; r] + b from embedding T, prompt p and image interaction r.

    The prompt is the same for all categories. Its part of the linear map is therefore one vector,
    which is computed once and added as a bias.

    Args:
        joint_dim: C of the encoder.
        interaction: definition of r. ``hadamard`` is the channelwise product of text and image
            embedding (ZegCLIP), ``logit`` is their cosine times `temperature` in one channel,
            ``none`` leaves r out.
        scale: scale of the Hadamard product, whose channels are of the order 1 / C. ``sqrt_d``
            multiplies by sqrt(C), ``one`` does nothing, ``ln`` applies a layer norm.
        temperature: factor of the cosine in ``logit``.
        prompt: form of p. ``channel_shared`` concatenates one learnable vector, ``extra_tokens``
            appends learnable vectors to the categories as additional keys, ``none`` leaves p out.
        prompt_dim: channels of the shared vector.
        prompt_tokens: number of extra vectors.
        out: channels of the guidance.
    """

    def __init__(
        self,
        joint_dim: int,
        interaction: str,
        scale: str,
        temperature: float,
        prompt: str,
        prompt_dim: int,
        prompt_tokens: int,
        out: int,
    ) -> None:
        super().__init__()
        self.interaction, self.temperature = interaction, temperature
        self.scale = joint_dim**0.5 if scale == "sqrt_d" else 1.0
        normed = interaction == "hadamard" and scale == "ln"
        self.norm = nn.LayerNorm(joint_dim) if normed else None
        shared = prompt == "channel_shared"
        self.prompt = nn.Parameter(torch.randn(prompt_dim) * 0.02) if shared else None
        extra = prompt == "extra_tokens"
        self.tokens = nn.Parameter(torch.randn(prompt_tokens, out) * 0.02) if extra else None
        widths = {"hadamard": joint_dim, "logit": 1, "none": 0}
        self.widths = [joint_dim, prompt_dim if shared else 0, widths[interaction]]
        self.project = Linear(sum(self.widths), out)

    def forward(self, text_BKC: Tensor, pooled_BC: Tensor) -> Tensor:
        """Computes the guidance (B, K, out).

        Args:
            text_BKC: embeddings of the kept categories with norm 1.
            pooled_BC: image embeddings with any norm.
        """
        text_weight, prompt_weight, image_weight = self.project.weight.split(self.widths, dim=1)
        bias = self.project.bias
        if self.prompt is not None:
            bias = bias + prompt_weight @ self.prompt
        if self.interaction == "none":
            return linear(text_BKC, text_weight, bias)
        interaction_BKR = self._interaction(text_BKC, F.normalize(pooled_BC, dim=-1)[:, None])
        weight = torch.cat([text_weight, image_weight], dim=1)
        return linear(torch.cat([text_BKC, interaction_BKR], dim=-1), weight, bias)

    def _interaction(self, text_BKC: Tensor, unit_B1C: Tensor) -> Tensor:
        product_BKC = text_BKC * unit_B1C
        if self.interaction == "logit":
            return self.temperature * product_BKC.sum(-1, keepdim=True)
        return product_BKC * self.scale if self.norm is None else self.norm(product_BKC)
