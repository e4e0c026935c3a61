"""Image towers of LSeg: a backbone, and levels of it on four grids."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from ovss.encoders.architecture import build_clip, check_architecture, read_model_config
from ovss.encoders.vit import embed_patches
from ovss.encoders.weights import find_pretrained, load_pretrained
from ovss.io.option_values import check_values
from ovss.layers.backbones import build_backbone
from ovss.layers.dpt import Reassemble
from ovss.layers.region_tokens import run_block
from ovss.layers.timm_vit import TimmViT

__all__ = ["ClipViT", "LevelTower"]


class ClipViT(nn.Module):
    """Image tower of open_clip that gives the tokens after some of its blocks.

    Args:
        model: open_clip architecture with a ViT, or bundled config (``mini_clip``).
        blocks: 0-based blocks whose outputs are given, ascending.
        pretrained: open_clip tag, path of a weight file, ``mini_clip``, or None.

    Raises:
        ValueError: an unsupported architecture, or blocks that it does not have.
    """

    def __init__(self, model: str, blocks: Sequence[int], pretrained: str | None = None) -> None:
        super().__init__()
        config = read_model_config(model)
        check_architecture(model, config)
        weights = find_pretrained(model, config, pretrained)
        clip = build_clip(config, fill=weights is None)
        if weights is not None:
            load_pretrained(clip, model, weights)
        visual = clip.visual
        depth = len(visual.transformer.resblocks)
        is_ascending = bool(blocks) and list(blocks) == sorted({*blocks})
        if not is_ascending or not 0 <= blocks[0] <= blocks[-1] < depth:
            raise ValueError(
                f"Expected ascending blocks between 0 and {depth - 1}, got {list(blocks)}."
            )
        visual.proj, visual.ln_post = None, nn.Identity()
        del visual.transformer.resblocks[blocks[-1] + 1 :]
        self.visual, self.blocks = visual, tuple(blocks)
        self.patch: int = visual.patch_size[0]
        self.dims = (visual.transformer.width,) * len(self.blocks)

    def forward(self, image_B3HW: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Tokens (B, 1 + h * w, D) after each block, class token first, and the grid (h, w)."""
        tokens_BND, grid = embed_patches(self.visual, image_B3HW)
        outputs = []
        for index, block in enumerate(self.visual.transformer.resblocks):
            tokens_BND = run_block(block, tokens_BND)
            if index in self.blocks:
                outputs.append(tokens_BND)
        return outputs, grid


class LevelTower(nn.Module):
    """Backbone whose outputs lie on four grids, each twice as fine as the next.

    Args:
        backbone: arguments of `ovss.layers.backbones.build_backbone`, or of `ClipViT` with the type
            ``ClipViT``.
        dims: number of channels of each level of a transformer, fine first; None for a ResNet.
        scales: size of each level of a transformer relative to its grid of patches.

    Attributes:
        dims: number of channels of each level, fine first.
        divisor: multiple of pixels that the sides of an image must have.

    Raises:
        ValueError: another number of levels than four, or levels for a ResNet.
    """

    def __init__(
        self, backbone: dict[str, Any], dims: Sequence[int] | None, scales: Sequence[float] | None
    ) -> None:
        super().__init__()
        options = dict(backbone)
        if options.get("type") == "ClipViT":
            options.pop("type")
            check_values(ClipViT, options, "backbone ClipViT")
            self.backbone = ClipViT(**options)
        else:
            self.backbone = build_backbone(options)
        self.levels = nn.ModuleList()
        self.is_transformer = isinstance(self.backbone, ClipViT | TimmViT)
        if self.is_transformer != (dims is not None) or (dims is None) != (scales is None):
            raise ValueError(
                "LSegEncoder expects level_dims and level_scales_of_patches for a transformer, and "
                "neither for another backbone. Set both or none."
            )
        if not self.is_transformer or dims is None or scales is None:
            self.dims, self.divisor = tuple(self.backbone.dims), 32
            return
        widths = self.backbone.dims
        if not len(widths) == len(dims) == len(scales) == 4:
            raise ValueError(
                f"LSegEncoder expects four blocks, level_dims and level_scales_of_patches, got "
                f"{len(widths)}, {len(dims)} and {len(scales)}."
            )
        if any(fine != 2 * coarse for fine, coarse in pairwise(scales)):
            raise ValueError(
                f"LSegEncoder expects level_scales_of_patches that halve from one to the next, got "
                f"{list(scales)}."
            )
        self.dims = tuple(dims)
        self.divisor = round(self.backbone.patch / min(*scales, 1))
        for width, dim, scale in zip(widths, dims, scales):
            self.levels.append(Reassemble(width, dim, scale))

    def forward(self, pixels_B3HW: Tensor) -> list[Tensor]:
        """Computes the levels, fine first.

        Args:
            pixels_B3HW: normalised pixels; H and W are multiples of `divisor`.
        """
        if not self.is_transformer:
            return self.backbone(pixels_B3HW)
        tokens, grid = self.backbone(pixels_B3HW)
        return [level(each, grid) for level, each in zip(self.levels, tokens, strict=True)]
