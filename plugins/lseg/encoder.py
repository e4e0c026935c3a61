"""Encoder of LSeg: a trained image tower with DPT, and a frozen text tower of CLIP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ovss.encoders.text_only import build_text_only
from ovss.interfaces import Encoder
from ovss.io.option_values import check_range
from ovss.layers.dpt import FeatureFusion
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary

from .towers import LevelTower

__all__ = ["LSegEncoder"]


@ENCODERS.register_module()
class LSegEncoder(Encoder):
    """Trained image tower with DPT's decoder, in the joint space of a frozen text tower of CLIP.

    The dense tokens are twice as fine as the finest level. The tower has no
    image embedding in this space; `ImageFeatures.pooled_BC` is the mean of the dense tokens, for
    selectors.

    Args:
        model: open_clip architecture whose text tower is used, or bundled config (``mini_clip``).
        pretrained: open_clip tag such as ``openai``, path of a weight file, ``mini_clip``, or None
            for random weights, of the text tower.
        backbone: backbone, see `towers.LevelTower`.
        level_dims: number of channels of each of four levels of a transformer, fine first; None for
            a ResNet.
        level_scales_of_patches: size of each level relative to the grid of patches, such as ``(4,
            2, 1, 0.5)``; None for a ResNet.
        dim: number of channels of DPT's decoder.
        pixel_mean: mean of the pixels in 0..255.
        pixel_std: standard deviation of the pixels in 0..255.
        train_backbone: False to freeze the backbone.
        text_cache: cache for text embeddings: ``disk`` (which includes memory), ``memory`` or
            ``off``.

    Raises:
        ValueError: an unknown name, or values that do not fit together.
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights that cannot be downloaded, are corrupt, or belong to another
            architecture.
    """

    learned = ("fusion", "project")
    checkpointed = ("vision.backbone.trunk.blocks.*", "fusion.refine.*")
    compiled = ("vision.backbone.trunk.blocks.*",)

    def __init__(
        self,
        model: str,
        pretrained: str | None,
        backbone: dict[str, Any],
        level_dims: Sequence[int] | None = None,
        level_scales_of_patches: Sequence[float] | None = None,
        dim: int = 256,
        pixel_mean: Sequence[float] = (127.5, 127.5, 127.5),
        pixel_std: Sequence[float] = (127.5, 127.5, 127.5),
        train_backbone: bool = True,
        text_cache: str = "disk",
    ) -> None:
        super().__init__()
        check_range("LSegEncoder", 1, dim=dim)
        if not len(pixel_mean) == len(pixel_std) == 3 or min(pixel_std) <= 0:
            raise ValueError(
                f"LSegEncoder expects a mean and a standard deviation above 0 for red, green and "
                f"blue, got {list(pixel_mean)} and {list(pixel_std)}."
            )
        self.clip, self._encode_vocabulary, self.joint_dim = build_text_only(
            model, pretrained, text_cache
        )
        self.vision = LevelTower(backbone, level_dims, level_scales_of_patches)
        self.vision.backbone.requires_grad_(train_backbone)
        self.fusion = FeatureFusion(self.vision.dims, dim)
        self.project = nn.Conv2d(dim, self.joint_dim, 1)
        register_pixel_statistics(self, (pixel_mean, pixel_std))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes dense tokens, not normalised.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type. Sides that are not a multiple of
                the coarsest cell are resized to the nearest one.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        cell = (self.vision.divisor,) * 2
        pixels_B3HW = prepare_pixels(image_B3HW, self.mean_311, self.std_311, None, cell)
        dense_BChw = self.project(self.fusion(self.vision(pixels_B3HW.to(self.project.weight))))
        return ImageFeatures(dense_BChw, dense_BChw.mean((2, 3)))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template: (T, P, C) float32, L2-normalised.

        Raises:
            ValueError: a blank name, or a prompt that is too long for the text tower. The message
                names the category.
        """
        return self._encode_vocabulary(self.clip, vocabulary)
