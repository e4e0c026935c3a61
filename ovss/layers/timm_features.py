"""Vision transformers of timm as sources of frozen feature maps, such as DINO and C-RADIO."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.io.excerpts import excerpt

from .patches import check_positions, resize_positions, tokens_as_map
from .pixels import prepare_pixels, register_pixel_statistics

__all__ = ["FEATURES", "TimmFeatures"]

FEATURES = {
    "tokens": "output tokens of the patches after the final norm",
    "query_key": "sum of queries and keys of the last block, all heads in a row",
}
"""Kinds of features."""


class TimmFeatures(nn.Module):
    """Vision transformer of timm that gives one feature map of an image.

    Images keep their size, rounded to whole patches. The weights stay frozen.

    Args:
        model: timm model with its tag, such as ``vit_base_patch8_224.dino``. The tag sets the
            statistics of the pixels.
        features: key of `FEATURES`.
        positions: rule for resizing position embeddings, a key of `patches.POSITION_RULES`; or
            ``"square"``, the rule of C-RADIO: bilinear to a square of the longer side of the grid,
            then cropped at the top left.
        image_size: side of the images to which the position embeddings belong; None for that of the
            model.

    Attributes:
        patch: side of a patch in pixels.
        dim: number of channels.

    Raises:
        ValueError: a model that is not a plain vision transformer, or an unknown option.
    """

    trunk: Any
    mean_311: Tensor
    std_311: Tensor

    def __init__(
        self,
        model: str,
        features: str = "tokens",
        positions: str = "scale_factor",
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        import timm
        from timm.models.vision_transformer import VisionTransformer

        self.timm_options: dict[str, Any] = {} if image_size is None else {"img_size": image_size}
        trunk: Any = None
        if timm.is_model(model):
            trunk = timm.create_model(model, num_classes=0, **self.timm_options)
        is_plain = isinstance(trunk, VisionTransformer)
        if not is_plain or trunk.pos_embed is None:
            raise ValueError(
                f"Expected a plain vision transformer of timm, got {excerpt(model)}. Choose "
                f"another model, such as vit_base_patch8_224.dino."
            )
        if features not in FEATURES:
            raise ValueError(
                f"TimmFeatures.features must be {' or '.join(FEATURES)}, got {excerpt(features)}."
            )
        if positions != "square":
            check_positions("TimmFeatures", positions)
        self.features, self.positions = features, positions
        if features == "query_key":
            trunk.norm = nn.Identity()
        trunk.fc_norm = trunk.head_drop = trunk.head = nn.Identity()
        self.trunk = trunk.requires_grad_(False)
        self.patch: int = trunk.patch_embed.patch_size[0]
        self.dim: int = trunk.embed_dim
        known_as = trunk.pretrained_cfg
        pixels = [[255 * value for value in known_as[key]] for key in ("mean", "std")]
        register_pixel_statistics(self, pixels)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        """Feature map (B, D, h, w).

        Args:
            image_B3HW: RGB in 0..255, of any size.
        """
        cell = (self.patch, self.patch)
        pixels_B3HW = prepare_pixels(image_B3HW, self.mean_311, self.std_311, None, cell)
        trunk = self.trunk
        patches_BDhw = trunk.patch_embed.proj(pixels_B3HW)
        grid = (patches_BDhw.shape[2], patches_BDhw.shape[3])
        x_BND = trunk.norm_pre(self._with_positions(patches_BDhw, grid))
        first = trunk.num_prefix_tokens
        *blocks, last = trunk.blocks
        for block in blocks:
            x_BND = block(x_BND)
        if self.features == "tokens":
            return tokens_as_map(trunk.norm(last(x_BND))[:, first:], grid)
        normed_BMD = last.norm1(x_BND)[:, first:]
        query_BMD, key_BMD, _ = last.attn.qkv(normed_BMD).chunk(3, dim=2)
        return tokens_as_map(query_BMD + key_BMD, grid)

    def _with_positions(self, patches_BDhw: Tensor, grid: tuple[int, int]) -> Tensor:
        """Class token, registers and patches with their positions."""
        trunk = self.trunk
        table_ND = trunk.pos_embed[0]
        own = 0 if trunk.no_embed_class else trunk.num_prefix_tokens
        old = trunk.patch_embed.grid_size
        if self.positions == "square":
            table_ND = square_positions(table_ND, old, grid, own)
        else:
            table_ND = resize_positions(table_ND, old, grid, self.positions, own)
        patches_BMD = patches_BDhw.flatten(2).transpose(1, 2)
        prefix = [token for token in (trunk.cls_token, trunk.reg_token) if token is not None]
        before_BPD = [token.expand(len(patches_BMD), -1, -1) for token in prefix]
        if own:
            return torch.cat([*before_BPD, patches_BMD], dim=1) + table_ND
        return torch.cat([*before_BPD, patches_BMD + table_ND], dim=1)

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights of timm; those that the features do not need are left out."""
        unused = ["head.", "fc_norm.", "pre_logits."] + ["norm."] * (self.features == "query_key")
        return {
            f"trunk.{name}": value
            for name, value in tensors.items()
            if not name.startswith(tuple(unused))
        }


def square_positions(
    positions_ND: Tensor, old: tuple[int, int], new: tuple[int, int], prefix: int
) -> Tensor:
    """Position embeddings resized to a square of the longer side, of which the top left is used.

    Args:
        positions_ND: prefix + old height * old width rows.
        old: current grid (height, width).
        new: requested grid (height, width).
        prefix: number of tokens before the patches, whose embeddings are unchanged.
    """
    map_1Dhw = positions_ND[prefix:].T.unflatten(1, old)[None]
    map_1Dhw = F.interpolate(map_1Dhw, (max(new), max(new)), mode="bilinear")
    rows_ND = map_1Dhw[0, :, : new[0], : new[1]].flatten(1).T
    return torch.cat([positions_ND[:prefix], rows_ND])
