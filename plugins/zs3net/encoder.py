"""Encoder of ZS3Net: DeepLab v3+ and a closed classifier, whose rows serve as text embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import Encoder
from ovss.io.excerpts import excerpt
from ovss.layers.pixels import prepare_pixels, register_pixel_statistics
from ovss.registry import ENCODERS
from ovss.structures import ImageFeatures, TextFeatures, Vocabulary
from ovss.vocabularies import load_names
from ovss.vocabularies.seen import category_key

from .deeplab import DeepLabV3Plus

__all__ = ["ClosedDeepLabEncoder"]


@ENCODERS.register_module()
class ClosedDeepLabEncoder(Encoder):
    """DeepLab v3+ with a closed classifier (ZS3Net), for evaluation.

    ZS3Net trains a classifier for unseen classes with generated features. Afterwards it is an
    ordinary closed network: only its own classes can be asked for. The row of a class, bias
    included, is its text embedding; `TextFeatures.levels` holds the length of the row. A dense
    token therefore has one more channel, which is 1. Nothing trains.

    Args:
        classes: names of the classes of the classifier, in its order, as a registered vocabulary, a
            text file or a list.
        pixel_mean: mean of the pixels in 0..255.
        pixel_std: standard deviation of the pixels in 0..255.

    Raises:
        ValueError: no classes.
    """

    text_level_dims = (1,)

    def __init__(
        self,
        classes: str | Sequence[str],
        pixel_mean: Sequence[float] = (123.675, 116.28, 103.53),
        pixel_std: Sequence[float] = (58.395, 57.12, 57.375),
    ) -> None:
        super().__init__()
        self.classes = load_names(classes)
        self.network = DeepLabV3Plus()
        self.classifier = nn.Linear(self.network.dim, len(self.classes))
        self.joint_dim = self.network.dim + 1
        self.requires_grad_(False)
        register_pixel_statistics(self, (pixel_mean, pixel_std))

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the input of the classifier, with one channel for its bias.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.

        Raises:
            ValueError: a tensor that is not (B, 3, H, W).
        """
        pixels_B3HW = prepare_pixels(image_B3HW, self.mean_311, self.std_311, None, (1, 1))
        dense_BChw = self.network(pixels_B3HW.to(self.classifier.weight.dtype))
        dense_BChw = F.pad(dense_BChw, (0, 0, 0, 0, 0, 1), value=1.0)
        return ImageFeatures(dense_BChw, dense_BChw.mean((2, 3)))

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Rows of the classifier (T, P, C), normalised, the same for each of the P templates.

        Raises:
            ValueError: a category that is not a class of the classifier.
        """
        keys = [category_key(name) for name in self.classes]
        rows = []
        for name in vocabulary.names:
            own = category_key(name)
            row = next((i for i, key in enumerate(keys) if key & own), None)
            if row is None:
                raise ValueError(
                    f"ZS3Net cannot segment {excerpt(name)}, because it is a closed network. Its "
                    f"classes are {', '.join(self.classes)}. Use one of them, or another method."
                )
            rows.append(row)
        row_TC = torch.cat([self.classifier.weight, self.classifier.bias[:, None]], dim=1)[rows]
        length_T1 = row_TC.norm(dim=1, keepdim=True)
        embeds_TPC = (row_TC / length_T1)[:, None].repeat(1, len(vocabulary.templates), 1)
        return TextFeatures(embeds_TPC, (length_T1,), vocabulary)
