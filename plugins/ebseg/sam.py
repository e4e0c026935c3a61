"""Image encoder of Segment Anything, as a pyramid of four feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from ovss.encoders.mlp import speed_up_mlp
from ovss.io.deferred import weights_are_deferred
from ovss.io.weight_files import read_weights

__all__ = ["SAMPyramid", "load_sam"]

SCALES = (4.0, 2.0, 1.0, 0.5)
"""Factors by which the four levels are finer than the token grid."""

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""Statistics of the pixels in SAM's pre-training, RGB in 0..255."""

_PREFIX, _NECK = "image_encoder.", "neck."
_LEAVES = {".mlp.lin1.": ".mlp.fc1.", ".mlp.lin2.": ".mlp.fc2."}


class SAMPyramid(nn.Module):
    """Vision transformer of Segment Anything (ICCV 2023) without its neck.

    Four blocks attend over the whole image, the others in windows. The outputs of the four become
    the levels of a pyramid, fine to coarse, with the strides 4, 8, 16 and 32 for a patch of 16.
    Modules and parameters are those of timm's ``samvit``. Only the positions train. They and the
    relative positions are resized to the grid of the image.

    Args:
        width: number of channels.
        depth: number of blocks.
        heads: number of attention heads.
        image_size: side of the images of pre-training, to which the positions belong.
        patch: side of a patch in pixels.
        window: side of a window in patches.
        whole: 0-based blocks that attend over the whole image, four of them.

    Raises:
        ValueError: a number of blocks in `whole` other than four, or blocks that do not exist.
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        image_size: int = 1024,
        patch: int = 16,
        window: int = 14,
        whole: Sequence[int] = (2, 5, 8, 11),
    ) -> None:
        super().__init__()
        from timm.models.vision_transformer_sam import VisionTransformerSAM

        if len(whole) != len(SCALES) or not 0 <= min(whole) <= max(whole) < depth:
            raise ValueError(
                f"SAM's `whole` expects {len(SCALES)} blocks of 0..{depth - 1}, got {tuple(whole)}."
            )
        self.width, self.whole = width, tuple(whole)
        self.trunk = VisionTransformerSAM(
            img_size=image_size,
            patch_size=patch,
            num_classes=0,
            embed_dim=width,
            depth=depth,
            num_heads=heads,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=window,
            global_attn_indexes=self.whole,
            neck_chans=0,
        )
        self.trunk.neck = nn.Identity()
        speed_up_mlp(self.trunk.blocks)
        for name, parameter in self.trunk.named_parameters():
            parameter.requires_grad_(name == "pos_embed")
        nn.init.trunc_normal_(self.trunk.pos_embed, std=0.02)

    def forward(self, image_B3HW: Tensor) -> list[Tensor]:
        """Computes the levels (B, D, h_i, w_i), fine to coarse.

        Args:
            image_B3HW: RGB normalised with `MEAN` and `STD`; H and W are multiples of the patch.
        """
        x_BhwD = self.trunk.patch_embed(image_B3HW)
        x_BhwD = x_BhwD + self._positions((x_BhwD.shape[1], x_BhwD.shape[2]))
        levels = []
        for index, block in enumerate(self.trunk.blocks):
            x_BhwD = block(x_BhwD)
            if index in self.whole:
                levels.append(x_BhwD.permute(0, 3, 1, 2))
        return [
            level if scale == 1 else F.interpolate(level, scale_factor=scale, mode="bilinear")
            for level, scale in zip(levels, SCALES, strict=True)
        ]

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        """Positions (1, h, w, D) on a grid: bicubic, without antialiasing."""
        position_1hwD = self.trunk.pos_embed
        if tuple(position_1hwD.shape[1:3]) == grid:
            return position_1hwD
        position_1Dhw = position_1hwD.permute(0, 3, 1, 2).float()
        resized_1Dhw = F.interpolate(position_1Dhw, size=grid, mode="bicubic")
        return resized_1Dhw.permute(0, 2, 3, 1).to(position_1hwD.dtype)


def load_sam(sam: SAMPyramid, pretrained: str | None) -> None:
    """Loads the image encoder of a published SAM checkpoint, such as ``sam_vit_b_01ec64.pth``.

    Nothing is loaded without a file, or where the weights of the whole model come later.

    Raises:
        FileNotFoundError: a file that does not exist.
        RuntimeError: a file that cannot be read, or that lacks this image encoder.
        ValueError: a name that is not that of a weight file.
    """
    if pretrained is None or weights_are_deferred():
        return
    if Path(pretrained).suffix not in (".pth", ".pt", ".safetensors"):
        raise ValueError(
            f"Weights of SAM are a .pth, .pt or .safetensors file, got {pretrained!r}. Download "
            f"sam_vit_b_01ec64.pth and give its path."
        )
    if not Path(pretrained).is_file():
        raise FileNotFoundError(
            f"Weight file {pretrained} of SAM does not exist. Download the published ViT-B and set "
            f"model.encoder.sam.pretrained to its path."
        )
    tensors = {sam_name(name): value for name, value in read_weights(pretrained)[0].items()}
    expected = sam.trunk.state_dict()
    found = {name: tensors[name] for name in expected if name in tensors}
    wrong = [n for n, v in expected.items() if n not in found or found[n].shape != v.shape]
    if wrong:
        raise RuntimeError(
            f"The weights in {pretrained} do not fit this SAM encoder: {len(wrong)} of "
            f"{len(expected)} tensors are missing or of another shape, such as {wrong[0]}. Use "
            f"SAM's ViT-B file."
        )
    sam.trunk.load_state_dict(found)


def sam_name(name: str) -> str:
    """Name of a tensor of SAM's image encoder in timm's layout.

    >>> sam_name("image_encoder.blocks.3.mlp.lin1.weight")
    'blocks.3.mlp.fc1.weight'
    """
    name = name.removeprefix(_PREFIX)
    for theirs, ours in _LEAVES.items():
        name = name.replace(theirs, ours)
    return name
