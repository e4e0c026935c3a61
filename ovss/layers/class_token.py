"""Image embedding of an open_clip vision transformer, optionally blind to some patches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .region_tokens import run_block

__all__ = ["embed_with_mask_prompts"]


def embed_with_mask_prompts(
    visual: Any,
    image_B3HW: Tensor,
    visible_BN: Tensor | None = None,
    prompt_LND: Tensor | None = None,
) -> Tensor:
    """Embeddings (B, C) of images as in pre-training, not normalised.

    With mask prompts, hidden patches are replaced by learned vectors: before the class token and
    the positions are added, and after each of the first L - 1 blocks (OVSeg, CVPR 2023, section
    3.3). The class token of the last block is all that is computed there.

    Args:
        visual: open_clip's VisionTransformer with split attention in its blocks.
        image_B3HW: normalised pixels of the size of pre-training.
        visible_BN: 1 for patches to keep, 0 for those to replace; with `prompt_LND` only.
        prompt_LND: vector of each patch at each depth.
    """
    patch_BND = visual.conv1(image_B3HW.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
    prompts: tuple[Tensor, ...] = ()
    if prompt_LND is not None and visible_BN is not None:
        prompts, seen_BN1 = prompt_LND.unbind(0), visible_BN[:, :, None].to(patch_BND)
        patch_BND = _hide(patch_BND, seen_BN1, prompts[0])
    class_B1D = visual.class_embedding.to(patch_BND).expand(patch_BND.shape[0], 1, -1)
    x_BLD = torch.cat([class_B1D, patch_BND], dim=1) + visual.positional_embedding.to(patch_BND)
    x_BLD = visual.ln_pre(x_BLD)
    *blocks, last = visual.transformer.resblocks
    for index, block in enumerate(blocks, 1):
        x_BLD = run_block(block, x_BLD)
        if index < len(prompts):
            hidden_BND = _hide(x_BLD[:, 1:], seen_BN1, prompts[index])
            x_BLD = torch.cat([x_BLD[:, :1], hidden_BND], dim=1)
    normed_BLD = last.ln_1(x_BLD)
    x_BD = last.attn.attend_from_first(normed_BLD, last.attn.value(normed_BLD))
    x_BD = x_BLD[:, 0] + last.ls_1(x_BD)
    x_BD = x_BD + last.ls_2(last.mlp(last.ln_2(x_BD)))
    return visual.ln_post(x_BD) @ visual.proj


def _hide(patch_BND: Tensor, seen_BN1: Tensor, prompt_ND: Tensor) -> Tensor:
    """Replaces patches that are not seen."""
    return patch_BND * seen_BN1 + prompt_ND.to(patch_BND) * (1 - seen_BN1)
