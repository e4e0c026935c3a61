"""Encoder of SPNet: DeepLab v2, whose output lies in the space of word vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Encoder
from ovss.io.option_values import check_range
from ovss.layers.backbones import build_backbone
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics, whole_cells
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary
from ovss.vocabularies.prompts import names_by_category

from .words import WordVectors, made_up_vector

__all__ = ["WordVectorEncoder"]


@ENCODERS.register_module()
class WordVectorEncoder(Encoder):
    """DeepLab v2 that projects pixels into the space of fixed word vectors.

    The dense tokens are the sum of dilated convolutions of the last stage. With `scales`, the image
    is also seen at smaller scales, whose tokens become `ImageFeatures.levels`, resized to the grid
    of the first. The pooled embedding is the mean of the dense tokens, for selectors. Prompt
    templates have no influence, because a word has one vector.

    Args:
        vectors: text file of word vectors, or several whose vectors are concatenated, such as those
            of fastText and word2vec. None draws vectors from the names, for tests and dry runs.
        dims: C, the number of dimensions of all files together.
        backbone: arguments of `ovss.layers.backbones.build_backbone`; the last of its maps is used.
        dilations: dilation of each convolution.
        scales: further scales at which the image is seen.
        image_size: side to which images are squashed; None keeps their size.
        pixel_mean: mean of the pixels in 0..255.
        pixel_std: standard deviation of the pixels in 0..255.

    Raises:
        ValueError: an unknown backbone, or a value out of range.
        FileNotFoundError: a file that does not exist.
    """

    external = ("vectors",)
    carried = ("vectors",)
    learned = ("project",)
    checkpointed = ("backbone.stages.*.*",)

    def __init__(
        self,
        vectors: str | Sequence[str] | None,
        dims: int,
        backbone: dict[str, Any],
        dilations: Sequence[int] = (6, 12, 18, 24),
        scales: Sequence[float] = (0.75, 0.5),
        image_size: int | None = None,
        pixel_mean: Sequence[float] = (122.675, 116.669, 104.008),
        pixel_std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> None:
        super().__init__()
        check_range("WordVectorEncoder", 1, dims=dims, dilations=min(dilations, default=0))
        if any(not scale > 0 for scale in scales):
            raise ValueError(
                f"WordVectorEncoder expects scales above 0, got {list(scales)}. Correct them."
            )
        files = [vectors] if isinstance(vectors, str) else vectors
        self.words = None if files is None else WordVectors(files, dims)
        self.backbone = build_backbone(backbone)
        self.project = nn.ModuleList(
            nn.Conv2d(self.backbone.dims[-1], dims, 3, padding=rate, dilation=rate)
            for rate in dilations
        )
        for layer in self.project:
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
        self.scales, self.image_size = tuple(scales), whole_cells(image_size, (1, 1))
        self.joint_dim = dims
        self.level_dims = (dims,) * len(self.scales)
        register_pixel_statistics(self, (pixel_mean, pixel_std))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes dense tokens and levels, not normalised.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        pixels_B3HW = prepare_pixels(
            image_B3HW, self.mean_311, self.std_311, self.image_size, (1, 1)
        ).to(self.project[0].weight.dtype)
        dense_BChw, levels = self._project(pixels_B3HW), []
        grid = (dense_BChw.shape[2], dense_BChw.shape[3])
        for scale in self.scales:
            size = [max(int(side * scale), 1) for side in pixels_B3HW.shape[2:]]
            small_B3HW = F.interpolate(pixels_B3HW, size=size, mode="bilinear", align_corners=False)
            level_BChw = self._project(small_B3HW)
            levels.append(
                F.interpolate(level_BChw, size=grid, mode="bilinear", align_corners=False)
            )
        return ImageFeatures(dense_BChw, dense_BChw.mean((2, 3)), tuple(levels))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Unit word vectors (T, P, C), the same for each of the P templates.

        With ``synonyms="average"`` the vectors of the synonyms are averaged and normalised.

        Raises:
            ValueError: a name without a vector. The message names it and the file.
        """
        groups = names_by_category(vocabulary)
        names = list(dict.fromkeys(name for group in groups for name in group))
        if self.words is None:
            table_NC = np.stack([made_up_vector(name, self.joint_dim) for name in names])
        else:
            table_NC = self.words.vectors(names)
        row = dict(zip(names, torch.from_numpy(table_NC)))
        means = [torch.stack([row[name] for name in group]).mean(0) for group in groups]
        unit_TC = F.normalize(torch.stack(means), dim=1).to(self.mean_311)
        embeds_TPC = unit_TC[:, None].expand(-1, len(vocabulary.templates), -1).contiguous()
        return TextFeatures(embeds_TPC, vocabulary=vocabulary)

    def _project(self, pixels_B3HW: Tensor) -> Tensor:
        """Tokens (B, C, h, w) of normalised pixels."""
        last_BDhw = self.backbone(pixels_B3HW)[-1]
        total_BChw = self.project[0](last_BDhw)
        for layer in list(self.project)[1:]:
            total_BChw = total_BChw + layer(last_BDhw)
        return total_BChw
