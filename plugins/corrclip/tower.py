"""CLIP's image tower as CorrCLIP runs it: tokens of regions, and the value path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ovss.encoders.last_block import LastBlock
from ovss.layers.current_view import nearest
from ovss.layers.patches import tokens_as_map
from ovss.layers.region_tokens import TokenSight, run_block, run_with_regions
from ovss.ops import resize

__all__ = ["Passed", "attended", "run_tower", "spread_tokens"]


@dataclass(frozen=True)
class Passed:
    """Results of the blocks of a tower.

    Args:
        inputs: patches before the last block, and after each of some blocks before it.
        region_BKD: class token of each region after the last block.
        last: last block.
    """

    inputs: tuple[Tensor, ...]
    region_BKD: Tensor
    last: LastBlock


def run_tower(
    visual: Any,
    tokens_BND: Tensor,
    region_Bgg: Tensor,
    most: int,
    spatial: int,
    with_regions: bool,
) -> Passed:
    """Runs the blocks of a tower, with a class token for each region.

    A region's token is a copy of the class token. It attends to the class token and to the patches
    of its region, and no other token sees it.

    Args:
        visual: image tower.
        tokens_BND: input of the first block, class token first.
        region_Bgg: region of each patch, 0..most - 1.
        most: number of regions.
        spatial: number of outputs to return, below the input of the last block.
        with_regions: False to leave out the tokens of the regions.
    """
    *blocks, last_block = visual.transformer.resblocks
    slot_K = torch.arange(most, device=region_Bgg.device)[:, None]
    inside_B1KN = (region_Bgg.flatten(1)[:, None] == slot_K)[:, None]
    sight = TokenSight(inside_B1KN, sees_class=True, sees_itself=False)
    region_BKD = tokens_BND[:, :1].expand(-1, most, -1)
    inputs: list[Tensor] = []
    for block in blocks:
        if with_regions:
            ordinary, region_BKD = run_with_regions([block], tokens_BND, region_BKD, sight)
            assert ordinary is not None
            tokens_BND = ordinary
        else:
            tokens_BND = run_block(block, tokens_BND)
        inputs = [tokens_BND[:, 1:], *inputs[:spatial]]
    if with_regions:
        last = [last_block]
        _, region_BKD = run_with_regions(last, tokens_BND, region_BKD, sight, finish=False)
    grid = (region_Bgg.shape[1], region_Bgg.shape[2])
    return Passed(tuple(inputs), region_BKD, LastBlock(last_block, tokens_BND, grid))


def attended(
    last: LastBlock, tokens_BND: Tensor, weights_BMM: Tensor, cells: tuple[int, int]
) -> Tensor:
    """Value path of the last block on a finer grid (B, M, D), without residual and MLP."""
    block = last.block
    value_BDhw = tokens_as_map(block.attn.value(block.ln_1(tokens_BND)), last.grid)
    value_BMD = resize(value_BDhw, cells).flatten(2).transpose(1, 2)
    return last.project(weights_BMM @ value_BMD)


def spread_tokens(region_BKD: Tensor, region_Bgg: Tensor, cells: tuple[int, int]) -> Tensor:
    """Token of the region of each cell, (B, M, D)."""
    fine_Bhw = torch.stack([nearest(region_gg, cells) for region_gg in region_Bgg])
    index_BM1 = fine_Bhw.flatten(1)[:, :, None]
    return region_BKD.gather(1, index_BM1.expand(-1, -1, region_BKD.shape[2]))
