"""Plain vision transformers of timm as backbones, with the outputs of inner blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from ovss.io.excerpts import excerpt

from .patches import check_positions
from .timm_tokens import tower_input

__all__ = ["TimmViT"]


class TimmViT(nn.Module):
    """Vision transformer of timm that gives the tokens after some of its blocks.

    The tokens are those between two blocks, without the final norm, which is left out like the
    classifier. Positions are resized to the grid of the image.

    Args:
        model: timm model such as ``vit_large_patch16_384``.
        blocks: 0-based blocks whose outputs are given, ascending.
        positions: rule for resizing position embeddings, a key of `patches.POSITION_RULES`.

    Attributes:
        patch: side of a patch in pixels.
        dims: number of channels of each output.

    Raises:
        ValueError: a model that is not a vision transformer with class token, or blocks that it
            does not have.
    """

    trunk: Any

    def __init__(self, model: str, blocks: Sequence[int], positions: str = "bilinear") -> None:
        super().__init__()
        self.positions = check_positions("TimmViT", positions)
        import timm
        from timm.models.vision_transformer import VisionTransformer

        trunk = timm.create_model(model, num_classes=0) if timm.is_model(model) else None
        if not isinstance(trunk, VisionTransformer) or trunk.num_prefix_tokens != 1:
            raise ValueError(
                f"Expected a vision transformer of timm with one class token, got {excerpt(model)}."
                f" Choose another model, such as vit_large_patch16_384."
            )
        depth = len(trunk.blocks)
        is_ascending = bool(blocks) and list(blocks) == sorted({*blocks})
        if not is_ascending or not 0 <= blocks[0] <= blocks[-1] < depth:
            raise ValueError(
                f"Expected ascending blocks between 0 and {depth - 1}, got {list(blocks)}."
            )
        trunk.norm = nn.Identity()
        self.trunk, self.blocks = trunk, tuple(blocks)
        self.patch: int = trunk.patch_embed.patch_size[0]
        self.dims = (trunk.embed_dim,) * len(self.blocks)

    def forward(self, image_B3HW: Tensor) -> tuple[list[Tensor], tuple[int, int]]:
        """Tokens (B, 1 + h * w, D) after each block, class token first, and the grid (h, w).

        Args:
            image_B3HW: normalised pixels; H and W are multiples of the patch size.
        """
        trunk = self.trunk
        x_BND, grid = tower_input(trunk, image_B3HW, self.positions)
        outputs = []
        for index, block in enumerate(trunk.blocks[: self.blocks[-1] + 1]):
            x_BND = block(x_BND)
            if index in self.blocks:
                outputs.append(x_BND)
        return outputs, grid

    def from_published(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames weights of timm; final norm and classifier are left out."""
        unused = ("norm.", "head.", "fc_norm.", "pre_logits.")
        return {
            f"trunk.{name}": value for name, value in tensors.items() if not name.startswith(unused)
        }
