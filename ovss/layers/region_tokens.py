"""Region tokens: copies of the class token of a CLIP ViT, each of which describes one region.

A region token runs through the last blocks of the tower, or through all of them. In each block it
attends to the patches, with a bias that favours the patches of its region, and becomes an embedding
of the region in the joint space. Class token and patches never see the region tokens. Published
code appends the region tokens to the sequence and hides them with a mask of all pairs. Here the
ordinary pass stays as it is and the region tokens attend to its keys and values, which gives the
same results for less work, and the ordinary features on top.

====================  ==============  ===========  ==========  =====================
method                patches         class token  own token   queries
====================  ==============  ===========  ==========  =====================
SAN, EBSeg            bias per head   hidden       visible     CLIP's
MaskCLIP (ODISE)      inside region   visible      hidden      CLIP's
MasQCLIP              inside region   visible      hidden      a projection per block
====================  ==============  ===========  ==========  =====================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .linear import linear

__all__ = ["TokenSight", "project_tokens", "run_block", "run_with_regions"]


@dataclass(frozen=True)
class TokenSight:
    """Tokens that each region token attends to, in every block.

    Args:
        patches_BMQN: bias on the attention logits of the patches; or a boolean, True for the
            patches that the region token attends to. M is the number of heads, or 1 for all heads.
        sees_class: True if region tokens attend to the class token.
        sees_itself: True if each region token attends to itself.

    Raises:
        ValueError: a boolean that may leave a region token with nothing to attend to.
    """

    patches_BMQN: Tensor
    sees_class: bool
    sees_itself: bool

    def __post_init__(self) -> None:
        boolean = self.patches_BMQN.dtype == torch.bool
        if boolean and not (self.sees_class or self.sees_itself):
            raise ValueError(
                "TokenSight with boolean patches expects sees_class or sees_itself, because an "
                "empty region would attend to nothing. Set one of them."
            )

    def bias(self, dtype: torch.dtype) -> Tensor:
        """Bias or boolean for the keys that all region tokens share: class token, then patches."""
        bias_BMQN = self.patches_BMQN
        if bias_BMQN.dtype != torch.bool:
            bias_BMQN = bias_BMQN.to(dtype)
        if self.sees_class:  # True for a boolean, no bias for a number
            first = 1.0 if bias_BMQN.dtype == torch.bool else 0.0
            bias_BMQN = F.pad(bias_BMQN, (1, 0), value=first)
        return bias_BMQN


def run_block(block: Any, tokens_BND: Tensor) -> Tensor:
    """Output of an unchanged block for all tokens."""
    tokens_BND = tokens_BND + block.ls_1(block.attn(block.ln_1(tokens_BND)))
    return tokens_BND + block.ls_2(block.mlp(block.ln_2(tokens_BND)))


def run_with_regions(
    blocks: Any,
    tokens_BND: Tensor,
    region_BQD: Tensor,
    sight: TokenSight,
    queries: Sequence[nn.Linear] = (),
    finish: bool = True,
) -> tuple[Tensor | None, Tensor]:
    """Runs blocks of a tower with region tokens, which have no influence on the other tokens.

    Args:
        blocks: transformer blocks with split attention.
        tokens_BND: class token, then patches.
        region_BQD: region tokens.
        sight: tokens that the region tokens attend to.
        queries: linear maps, one for each block, that are added to the block's own projection for
            the queries of the region tokens; empty to use the block's own.
        finish: False to leave out the last block's output of the ordinary tokens.

    Returns:
        Ordinary tokens, or None with ``finish=False``; and region tokens.
    """
    output_BND: Tensor | None = tokens_BND
    for index, block in enumerate(blocks):
        assert output_BND is not None
        normed_BND, attn = block.ln_1(output_BND), block.attn
        key_BHNd = attn.split_heads(attn.key(normed_BND))
        value_BHNd = attn.split_heads(attn.value(normed_BND))
        extra = queries[index] if queries else None
        normed_BQD = block.ln_1(region_BQD)
        seen_BQD = _attend_to(attn, normed_BQD, key_BHNd, value_BHNd, sight, extra)
        region_BQD = _finish(block, region_BQD, seen_BQD)
        if index + 1 < len(blocks) or finish:
            query_BHNd = attn.split_heads(attn.query(normed_BND))
            seen_BND = attend(query_BHNd, key_BHNd, value_BHNd).transpose(1, 2).flatten(2)
            output_BND = _finish(block, output_BND, seen_BND)
        else:
            output_BND = None
    return output_BND, region_BQD


def project_tokens(visual: Any, tokens_BND: Tensor) -> Tensor:
    """Output tokens of the last block in the joint space, (B, N, C), not normalised."""
    return visual.ln_post(tokens_BND) @ visual.proj


def _attend_to(
    attn: Any,
    normed_BQD: Tensor,
    key_BHNd: Tensor,
    value_BHNd: Tensor,
    sight: TokenSight,
    extra: nn.Linear | None,
) -> Tensor:
    """Attention output (B, Q, D) of the region tokens, before the output projection."""
    query_BHQd = attn.split_heads(_query(attn, normed_BQD, extra))
    bias_BMQN = sight.bias(query_BHQd.dtype)
    first = 0 if sight.sees_class else 1
    key_BHNd, value_BHNd = key_BHNd[:, :, first:], value_BHNd[:, :, first:]
    if not sight.sees_itself:
        out_BHQd = F.scaled_dot_product_attention(query_BHQd, key_BHNd, value_BHNd, bias_BMQN)
        return out_BHQd.transpose(1, 2).flatten(2)
    query_BHQd = query_BHQd * query_BHQd.shape[-1] ** -0.5
    logits_BHQN = query_BHQd @ key_BHNd.transpose(-1, -2)
    if bias_BMQN.dtype == torch.bool:
        logits_BHQN = logits_BHQN.masked_fill(~bias_BMQN, -torch.inf)
    else:
        logits_BHQN = logits_BHQN + bias_BMQN
    own_key_BHQd = attn.split_heads(attn.key(normed_BQD))
    own_BHQ1 = (query_BHQd * own_key_BHQd).sum(-1, keepdim=True)
    weights_BHQM = torch.cat([own_BHQ1.to(logits_BHQN), logits_BHQN], dim=-1).softmax(-1)
    weights_BHQM = weights_BHQM.to(value_BHNd.dtype)
    own_value_BHQd = attn.split_heads(attn.value(normed_BQD))
    out_BHQd = weights_BHQM[..., 1:] @ value_BHNd + weights_BHQM[..., :1] * own_value_BHQd
    return out_BHQd.transpose(1, 2).flatten(2)


def _query(attn: Any, normed_BQD: Tensor, extra: nn.Linear | None) -> Tensor:
    """Queries of the region tokens."""
    if extra is None:
        return attn.query(normed_BQD)
    # one product with the sum of both matrices, because there are fewer tokens than channels
    weight_DD = attn.q_proj_weight + extra.weight
    return linear(normed_BQD, weight_DD, attn.in_proj_bias[: attn.width] + extra.bias)


def _finish(block: Any, tokens_BND: Tensor, seen_BND: Tensor) -> Tensor:
    """Residual of the attention output, and the second half of a block."""
    tokens_BND = tokens_BND + block.ls_1(block.attn.out_proj(seen_BND))
    return tokens_BND + block.ls_2(block.mlp(block.ln_2(tokens_BND)))
