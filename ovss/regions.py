"""The records of methods that compare regions, not cells, with the categories.

::

    images --> Encoder --> ImageFeatures with Proposals
    ImageFeatures, TextFeatures, Selection --> AlignmentHead --> RegionAlignment
    RegionAlignment --> Decoder --> RegionMasks
    RegionMasks of the whole image --> RegionScores --> PostProcessor --> label map
    RegionMasks of all windows, merged by `ovss.inference` --> Scores --> PostProcessor

A proposal is a region of one image: a mask and embeddings, both made from pixels alone. The head
compares the embeddings with the categories. The score of a category at a pixel is

    score(t, pixel) = sum over proposals q of  share(t, q) * sigmoid(mask(q, pixel))

Such scores are sums, not probabilities. They stay factored into shares and masks until the size of
the label map is known, because merging on the coarse grid of the masks changes the label map, and
a map of each category at full size would need too much memory.

Two more letters name axes here, in addition to those of `ovss.structures`:

====  =======================================================================
Q     proposals of an image
S     embeddings of a proposal, one for each source, such as a query and CLIP
====  =======================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .axes import check_axes, leading
from .selection import Selection

if TYPE_CHECKING:
    from .structures import ImageFeatures, TextFeatures

__all__ = ["OWNERSHIPS", "Padding", "Proposals", "RegionAlignment", "RegionMasks", "RegionScores"]

OWNERSHIPS = {
    "sigmoid": "each mask by itself, so that proposals overlap",
    "softmax": "proposals compete for each pixel",
    "hard": "each pixel belongs to the proposal with the highest mask logit",
}
"""Weights of the proposals at a pixel, from their resized mask logits."""


@dataclass(frozen=True)
class Padding:
    """Place of an image inside a padded input.

    Args:
        padded: (height, width) of the input with its padding.
        image: (height, width) of the image part.
        start: (row, column) of the first pixel of the image part. By default the image is at the
            top left, and the padding at the bottom and on the right.

    Raises:
        ValueError: an image that is empty or larger than the padded input.
    """

    padded: tuple[int, int]
    image: tuple[int, int]
    start: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not all(
            0 < own <= whole - first and first >= 0
            for own, whole, first in zip(self.image, self.padded, self.start, strict=True)
        ):
            raise ValueError(
                f"Padding expects an image of at least 1 x 1 inside the padded size {self.padded}, "
                f"got {self.image} at {self.start}."
            )


@dataclass(frozen=True)
class Proposals:
    """Regions of each image, made without knowledge of the vocabulary.

    Args:
        mask_BQhw: mask logits on a grid of their own, which covers the padded input.
        embed_BQSC: embeddings in the joint space, one for each source, not necessarily normalised.
        valid_BQ: False for proposals that do not take part, such as padding of images with fewer
            regions. Their masks and embeddings have no influence on the result.
        filled_BQ: False where the mask is empty, so that embeddings made from its pixels mean
            nothing and only the first source counts; None if every source always counts.
        objectness_BQ: probability that the proposal is an object of any category, a factor of its
            shares; None for 1.
        padding: place of the image inside the area that the masks cover; None if they cover the
            image itself.
        earlier: proposals of earlier layers, in the order of the layers; in training only.

    Raises:
        ValueError: padding above or on the left of the image, which masks of regions do not have.
    """

    mask_BQhw: Tensor
    embed_BQSC: Tensor
    valid_BQ: Tensor
    filled_BQ: Tensor | None = None
    objectness_BQ: Tensor | None = None
    padding: Padding | None = None
    earlier: tuple[Proposals, ...] = ()

    def __post_init__(self) -> None:
        check_axes(self)
        if self.padding is not None and any(self.padding.start):
            raise ValueError(
                f"Proposals expect the image at the top left of the padded input, got it at "
                f"{self.padding.start}. Choose an encoder that does not centre images."
            )

    @classmethod
    def of_layers(
        cls, layers: Sequence[tuple[Tensor, Tensor]], padding: Padding | None = None
    ) -> Proposals:
        """Proposals of learned queries, all of which take part.

        Args:
            layers: masks (B, Q, h, w) and embeddings (B, Q, S, C) after each layer; the last layer
                gives the proposals, and the others become `earlier`.
            padding: as in `Proposals`.
        """
        *earlier, last = (
            cls(mask, embed, mask.new_ones(mask.shape[:2], dtype=torch.bool), padding=padding)
            for mask, embed in layers
        )
        return replace(last, earlier=tuple(earlier))


@dataclass(frozen=True)
class RegionAlignment:
    """Comparison of the proposals of an image with its kept categories.

    Args:
        logits_BKQ: logit of each category for each proposal.
        void_BQ: logit of "no object", which competes with the categories in a softmax. None: the
            exponentials of `logits_BKQ` are the shares themselves, as an ensemble gives them.
        features: image features; `features.proposals` has the masks.
        text: text features of all T categories.
        selection: categories in the K slots.
        further: logits of further sources that train, each (B, K + 1, Q) with "no object" last.
        earlier: alignments of the proposals of earlier layers; in training only.
    """

    logits_BKQ: Tensor
    void_BQ: Tensor | None
    features: ImageFeatures
    text: TextFeatures
    selection: Selection
    further: tuple[Tensor, ...] = leading("B")
    earlier: tuple[RegionAlignment, ...] = ()

    def __post_init__(self) -> None:
        batch, kept = self.selection.index_BK.shape
        check_axes(self, B=batch, K=kept)


@dataclass(frozen=True)
class RegionMasks:
    """One mask for each proposal, and the shares of the kept categories in it.

    Args:
        share_BKQ: share of each category in each proposal, at least 0; 0 in padding slots and for
            invalid proposals.
        mask_BQhw: mask logits.
        selection: categories in the K slots.
        padding: as in `Proposals`.
        merge_at_input: True to merge at the size of the encoder's input and to resize the merged
            scores; False to resize the mask logits to the requested size and to merge there.
        ownership: weight of a proposal at a pixel, a key of `OWNERSHIPS`.
        aligned: alignment from which the masks were decoded; in training only, for the losses.
    """

    share_BKQ: Tensor
    mask_BQhw: Tensor
    selection: Selection
    padding: Padding | None = None
    merge_at_input: bool = False
    ownership: str = "sigmoid"
    aligned: RegionAlignment | None = None

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])


@dataclass(frozen=True)
class RegionScores:
    """Scores of an image in factored form: shares of the categories, and masks.

    `ovss.inference.dense_scores` gives them as `Scores` at any size.

    Args:
        share_BKQ: share of each category in each proposal.
        mask_BQhw: mask logits.
        selection: categories in the K slots.
        features: image features of the view that shows the whole image.
        text: text features of the vocabulary.
        canvas_B3YX: resized image from which the view was cut, RGB in 0..255.
        padding: as in `Proposals`.
        merge_at_input: as in `RegionMasks`.
        ownership: as in `RegionMasks`.
    """

    share_BKQ: Tensor
    mask_BQhw: Tensor
    selection: Selection
    features: ImageFeatures | None
    text: TextFeatures
    canvas_B3YX: Tensor
    padding: Padding | None = None
    merge_at_input: bool = False
    ownership: str = "sigmoid"

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])
