"""Features of an open_clip vision transformer, for images of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ovss.layers.patches import embed_patches, tokens_as_map
from ovss.layers.region_tokens import run_block
from ovss.structures import ImageFeatures

from .dense import DenseMode, LastBlock

__all__ = ["image_features", "last_block", "pooled_embedding", "to_joint_space"]


def image_features(
    visual: nn.Module,
    image_B3HW: Tensor,
    dense: DenseMode,
    levels: tuple[int, ...] = (),
    attention: tuple[int, ...] = (),
    class_attention: tuple[int, ...] = (),
    attention_gradient: bool = True,
    stride: int | None = None,
    positions: str = "bicubic",
) -> ImageFeatures:
    """Computes the features of a batch of images in one pass.

    Args:
        visual: open_clip's VisionTransformer with `attention.Attention` in its blocks.
        image_B3HW: normalised pixels; H and W are multiples of the patch size.
        dense: dense mode, which computes dense tokens from the last block, or from the last
            `dense.depth` blocks.
        levels: 0-based blocks whose outputs become `ImageFeatures.levels`.
        attention: 0-based blocks whose patch-to-patch attention is averaged; empty for none.
        class_attention: 0-based blocks whose attention from the class token is returned.
        attention_gradient: True to let gradients flow through the weights of `attention`.
        stride: distance between patches, see `embed_patches`.
        positions: rule for position embeddings, see `embed_patches`.
    """
    tokens_BND, grid = embed_patches(visual, image_B3HW, stride, positions)
    *blocks, last_block = visual.transformer.resblocks
    outputs, weights_BNN, class_BHN = {}, [], {}
    before: list[LastBlock] = []
    for index, block in enumerate(blocks):
        if index > len(blocks) - dense.depth:
            before.append(LastBlock(block, tokens_BND, grid))
        normed_BND = block.ln_1(tokens_BND)
        if index in class_attention:
            class_BHN[index] = block.attn.weights_from_first(normed_BND)[..., 1:]
        if index in attention:
            attend = block.attn.forward_with_weights
            if torch.is_grad_enabled() and not attention_gradient:
                attend = block.attn.forward_with_detached_weights
            output_BND, weight_BNN = attend(normed_BND)
            weights_BNN.append(weight_BNN[:, 1:, 1:])
        else:
            output_BND = block.attn(normed_BND)
        tokens_BND = tokens_BND + block.ls_1(output_BND)
        tokens_BND = tokens_BND + block.ls_2(block.mlp(block.ln_2(tokens_BND)))
        if index in levels:
            outputs[index] = tokens_as_map(tokens_BND[:, 1:], grid)
    last = LastBlock(last_block, tokens_BND, grid, tuple(before))
    if len(blocks) in levels:
        outputs[len(blocks)] = tokens_as_map(last.ordinary_BND[:, 1:], grid)
    if len(blocks) in attention:
        weights_BNN.append(last.attention_BNN()[:, 1:, 1:])
    if len(blocks) in class_attention:
        class_BHN[len(blocks)] = last_block.attn.weights_from_first(last.normed_BND)[..., 1:]
    class_maps = [class_BHN[index].unflatten(2, grid) for index in class_attention]
    return ImageFeatures(
        dense_BChw=tokens_as_map(to_joint_space(visual, dense(last)), grid),
        pooled_BC=pooled_embedding(visual, last),
        levels=tuple(outputs[index] for index in levels),
        attention_BNN=torch.stack(weights_BNN).mean(0) if weights_BNN else None,
        class_attention_BMhw=torch.cat(class_maps, dim=1) if class_maps else None,
    )


def last_block(visual: nn.Module, image_B3HW: Tensor, positions: str = "bicubic") -> LastBlock:
    """Runs all blocks but the last one.

    Args:
        visual: open_clip's VisionTransformer with `attention.Attention` in its blocks.
        image_B3HW: normalised pixels; H and W are multiples of the patch size.
        positions: rule for position embeddings, see `embed_patches`.
    """
    tokens_BND, grid = embed_patches(visual, image_B3HW, None, positions)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        tokens_BND = run_block(block, tokens_BND)
    return LastBlock(last, tokens_BND, grid)


def to_joint_space(visual: nn.Module, tokens_BND: Tensor) -> Tensor:
    """Tokens after the final norm and the projection, (B, N, C)."""
    return visual.ln_post(tokens_BND) @ visual.proj


def pooled_embedding(visual: nn.Module, last: LastBlock) -> Tensor:
    """Image embedding of pre-training: the class token's output, or the mean over patches."""
    if visual.pool_type == "tok":
        return visual.ln_post(last.class_token_BD()) @ visual.proj
    patches_BND = last.ordinary_BND[:, 1:]
    if visual.final_ln_after_pool:
        return visual.ln_post(patches_BND.mean(1)) @ visual.proj
    return visual.ln_post(patches_BND).mean(1) @ visual.proj
