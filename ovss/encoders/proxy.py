"""Encoder whose last block attends as the features of a second, vision-only model say."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from ovss.interfaces import Encoder
from ovss.io.option_values import check_range
from ovss.layers.patches import tokens_as_map
from ovss.layers.pixels import nearest_cells, normalize_pixels
from ovss.ops import resize
from ovss.registry import ENCODERS, check_arguments
from ovss.structures import ImageFeatures, Padding, TextFeatures, Vocabulary

from .open_clip import OpenCLIPEncoder
from .proxy_attention import ProxyOptions, proxy_tokens, proxy_weights
from .timm_clip import TimmCLIPEncoder
from .vision_model import build_vision_model

__all__ = ["ProxyEncoder", "centred_padding", "pad_with_colour"]


@ENCODERS.register_module()
class ProxyEncoder(Encoder):
    """CLIP whose last block takes its attention weights from a vision foundation model (ProxyCLIP).

    ProxyCLIP, ECCV 2024, arXiv 2408.04883. The values of the last block are resized to the grid of
    the other model, which is finer than CLIP's if its patches are smaller, and averaged with
    weights from its features, see `proxy_attention.proxy_weights`. There is neither a residual nor
    an MLP. Dense tokens lie on the grid of the other model. The pooled embedding is CLIP's own.

    Args:
        clip: config of an encoder of CLIP, `OpenCLIPEncoder` or `TimmCLIPEncoder`. Its `dense` and
            `levels` are not used.
        vfm: arguments of `vision_model.VisionModel`, the other model, which never trains. It gets
            the same pixels, normalised with its own statistics. A config of an `OpenCLIPEncoder`
            also works; the last of its levels is used.
        proxy: arguments of `proxy_attention.ProxyOptions`: ``beta``, ``gamma``, ``mean``.
        multiple: number of pixels; images are padded on all sides, with the mean colour of CLIP,
            until their sides are multiples of it and of both patch sizes. Published: 56. None:
            images are resized to whole patches of both models.

    Raises:
        TypeError: an argument that one of the parts does not have.
        ValueError: a value out of range, or an encoder that is not one of CLIP.
    """

    def __init__(
        self, clip: dict, vfm: dict, proxy: dict | None = None, multiple: int | None = None
    ) -> None:
        super().__init__()
        self.encoder = build_clip_encoder(clip, "ProxyEncoder")
        self.vfm = build_vision_model(vfm)
        check_arguments(ProxyOptions, dict(proxy or {}))
        self.proxy = ProxyOptions(**(proxy or {}))
        if multiple is not None:
            check_range("ProxyEncoder", 1, multiple=multiple)
        patches = (self.encoder.patch_size, (1, 1) if self.vfm.size else self.vfm.patch)
        rows, columns = (math.lcm(multiple or 1, *sides) for sides in zip(*patches, strict=True))
        self.cell, self.multiple = (rows, columns), multiple
        size = self.encoder.image_size
        if size is not None and (size[0] % rows or size[1] % columns or multiple):
            raise ValueError(
                f"ProxyEncoder expects the image_size of its `clip` to be None, or a multiple of "
                f"{self.cell} without `multiple`, got {size} with multiple={multiple}. Correct it."
            )
        self.joint_dim = self.encoder.joint_dim

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        """Computes the features of a batch of images.

        Args:
            image_B3HW: RGB in 0..255, of any size and number type.
        """
        image_B3HW, padding = self.fitted(image_B3HW)
        tokens_BMD, grid, pooled_BC = self.attend(image_B3HW)
        dense_BMC = self.encoder.to_joint_space(tokens_BMD)
        return ImageFeatures(tokens_as_map(dense_BMC, grid), pooled_BC, padding=padding)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        """Computes one embedding per category and template, see the encoder of CLIP."""
        return self.encoder.encode_text(vocabulary)

    def fitted(self, image_B3HW: Tensor) -> tuple[Tensor, Padding | None]:
        """Images with whole patches of both models, padded or resized, and their place in it."""
        image_B3HW = image_B3HW if image_B3HW.is_floating_point() else image_B3HW.float()
        own = (image_B3HW.shape[2], image_B3HW.shape[3])
        if self.multiple is None:
            size = self.encoder.image_size or nearest_cells(own, self.cell)
            return resize(image_B3HW, size), None
        padding = centred_padding(own, self.cell)
        if padding is None:
            return image_B3HW, None
        return pad_with_colour(image_B3HW, self.encoder.mean_311, padding), padding

    def attend(self, image_B3HW: Tensor) -> tuple[Tensor, tuple[int, int], Tensor]:
        """Output of the last block before the final norm (B, M, D), its grid, pooled embeddings.

        Args:
            image_B3HW: RGB in 0..255 with whole patches of both models, see `fitted`.
        """
        feature_BDhw = self.vfm(image_B3HW)
        grid = (feature_BDhw.shape[2], feature_BDhw.shape[3])
        pixels_B3HW = normalize_pixels(image_B3HW, self.encoder.mean_311, self.encoder.std_311)
        last = self.encoder.last_block(pixels_B3HW)
        weights_BMM = proxy_weights(feature_BDhw, self.proxy)
        tokens_BMD = proxy_tokens(last, weights_BMM, grid)
        return tokens_BMD, grid, self.encoder.pooled_embedding(last)


def build_clip_encoder(config: dict, where: str) -> OpenCLIPEncoder | TimmCLIPEncoder:
    """Builds an encoder of CLIP whose last block can be taken apart.

    Args:
        config: config of the encoder.
        where: component that holds it, for messages.

    Raises:
        ValueError: another encoder.
    """
    encoder = ENCODERS.build(config)
    if not isinstance(encoder, (OpenCLIPEncoder, TimmCLIPEncoder)):
        raise ValueError(
            f"{where} expects an OpenCLIPEncoder or a TimmCLIPEncoder as `clip`, got "
            f"{type(encoder).__name__}. Choose another encoder."
        )
    return encoder


def centred_padding(own: tuple[int, int], cell: tuple[int, int]) -> Padding | None:
    """Place of an image in the middle of whole cells; None if it has whole cells itself.

    >>> centred_padding((300, 336), (56, 56))
    Padding(padded=(336, 336), image=(300, 336), start=(18, 0))
    """
    padded = [side + -side % step for side, step in zip(own, cell, strict=True)]
    if tuple(padded) == own:
        return None
    start = [(whole - side) // 2 for whole, side in zip(padded, own, strict=True)]
    return Padding((padded[0], padded[1]), own, (start[0], start[1]))


def pad_with_colour(image_B3HW: Tensor, colour_311: Tensor, padding: Padding) -> Tensor:
    """Image with one colour where `padding` has no image.

    Args:
        image_B3HW: RGB in 0..255.
        colour_311: colour of the padding.
        padding: place of the image.
    """
    (height, width), (top, left) = padding.image, padding.start
    bottom, right = padding.padded[0] - top - height, padding.padded[1] - left - width
    return F.pad(image_B3HW - colour_311, (left, right, top, bottom)) + colour_311
