"""Proposals from binary masks that were computed outside of the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ovss.structures import ImageFeatures, Proposals

CONFIDENCE = 30.0
"""Mask logit inside a binary mask. Its negative has a sigmoid of 1e-13, so that a pixel outside of
all masks has a score below `ovss.layers.region_maps.COVERED`."""


def binary_proposals(masks: Sequence[Tensor], features: ImageFeatures) -> Proposals:
    """Proposals of a batch, without embeddings.

    Args:
        masks: boolean masks (Q_i, H_i, W_i) of each image, which cover the image without padding.
            Masks of images with another size than the first are resized to that size.
        features: features of the images.

    Returns:
        Proposals with as many places as the image with the most masks has, at least one. Other
        places are not valid.
    """
    dense_BChw = features.dense_BChw
    size = tuple(masks[0].shape[1:])
    shape = (len(masks), max(1, *map(len, masks)), *size)
    logits_BQHW = dense_BChw.new_full(shape, -CONFIDENCE)
    valid_BQ = torch.zeros(shape[:2], dtype=torch.bool, device=dense_BChw.device)
    for image, mask_QHW in enumerate(masks):
        count = mask_QHW.shape[0]
        mask_QHW = mask_QHW.to(dense_BChw.device)
        if mask_QHW.shape[1:] != size and count:
            mask_QHW = F.interpolate(mask_QHW[None].to(torch.uint8), size)[0].bool()
        if count:  # no copy in floating point, because masks of whole images are large
            logits_BQHW[image, :count].masked_fill_(mask_QHW, CONFIDENCE)
        valid_BQ[image, :count] = True
    empty_BQSC = dense_BChw.new_zeros(*valid_BQ.shape, 0, dense_BChw.shape[1])
    return Proposals(logits_BQHW, empty_BQSC, valid_BQ)


def shapeless(image_B3HW: Tensor) -> bool:
    """True on the meta device, where tensors have a shape but no values."""
    return image_B3HW.device.type == "meta"


def nominal_masks(image_B3HW: Tensor, count: int) -> list[Tensor]:
    """Masks of the meta device, where cost and memory are planned without any pixel.

    Args:
        image_B3HW: images.
        count: usual number of masks of an image.
    """
    batch, _, height, width = image_B3HW.shape
    mask_QHW = torch.empty(count, height, width, dtype=torch.bool, device=image_B3HW.device)
    return [mask_QHW] * batch
