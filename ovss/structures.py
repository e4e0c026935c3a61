"""The records that flow between components: one frozen dataclass per arrow of the figure.

The dimension key of the whole project. Every tensor name ends in its axes.

====  =====================================================================
B     images (or views of images) in a batch
T     categories in the vocabulary
K     categories kept for an image, padded to the longest of the batch; K <= T
P     prompt templates
C     channels of the joint image-text space
D     channels of the cost volume
H W   pixels
h w   cells of the feature grid
N     a list of live things: usually the valid (image, category) pairs
====  =====================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .axes import check_axes, leading
from .selection import IGNORE, Selection

__all__ = [
    "IGNORE",
    "Alignment",
    "ImageFeatures",
    "Masks",
    "Scores",
    "Selection",
    "TextFeatures",
    "Vocabulary",
    "split_synonyms",
]


@dataclass(frozen=True)
class Vocabulary:
    """The words of one call: hashable, so that it can be a key of the text cache.

    Args:
        names: T category names; ``"sofa, couch"`` is one category with two synonyms.
        templates: P prompt templates, each with one ``{}`` where the name goes.
        synonyms: ``"first"`` uses the first synonym only, ``"average"`` averages them per template.

    Build one from a list, file or registered name with `ovss.vocabularies.load_vocabulary`, which
    also reports empty, blank and duplicate names.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)
    synonyms: str = "first"

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a vocabulary needs at least one category, got none")
        if self.synonyms not in ("first", "average"):
            raise ValueError(f"synonyms must be 'first' or 'average', got {self.synonyms!r}")
        wrong = [t for t in self.templates if t.count("{}") != 1]
        if wrong or not self.templates:
            raise ValueError(
                f"each prompt template needs exactly one '{{}}', got {wrong or 'none'}"
            )

    def __len__(self) -> int:
        return len(self.names)


def split_synonyms(name: str) -> tuple[str, ...]:
    """Synonyms of one entry.

    >>> split_synonyms("sofa, couch ")
    ('sofa', 'couch')
    """
    return tuple(part.strip() for part in name.split(",") if part.strip())


@dataclass(frozen=True)
class ImageFeatures:
    """What an encoder says of images.

    Args:
        dense_BChw: tokens in the joint space, not normalised.
        pooled_BC: the image embedding as the encoder was pre-trained to give it, not normalised.
        levels: feature maps of tapped layers, shallow first, each (B, level_dim, h_i, w_i): on the
            feature grid, or finer by `Encoder.level_scales`.
        attention_BNN: patch-to-patch attention weights, N = h * w, if the encoder was asked.
        class_attention_BMhw: attention of the class token to each cell, one channel for each head
            of each block that the encoder was asked for.
    """

    dense_BChw: Tensor
    pooled_BC: Tensor
    levels: tuple[Tensor, ...] = leading("B")
    attention_BNN: Tensor | None = None
    class_attention_BMhw: Tensor | None = None

    def __post_init__(self) -> None:
        check_axes(self)


@dataclass(frozen=True)
class TextFeatures:
    """What an encoder says of a vocabulary.

    Args:
        embeds_TPC: one L2-normalised embedding per category and template.
        levels: further embeddings (per-scale visual prompts), each (T, ..., level_dim).
        vocabulary: whose embeddings these are.
    """

    embeds_TPC: Tensor
    levels: tuple[Tensor, ...] = leading("T")
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        check_axes(self)
        if self.vocabulary is not None and len(self.vocabulary) != len(self.embeds_TPC):
            raise ValueError(
                f"{len(self.embeds_TPC)} text embeddings for {len(self.vocabulary)} categories"
            )

    @cached_property
    def mean_TC(self) -> Tensor:
        """Mean over the templates, float32, not normalised, without gradient; made once, so that a
        large vocabulary is not averaged again for every picture."""
        return self.embeds_TPC.detach().mean(1, dtype=torch.float32)


@dataclass(frozen=True)
class Alignment:
    """Image against kept categories.

    Features and text are carried whole, so that a head hands on no field of theirs. Text of the
    kept categories is ``selection.gather(text.embeds_TPC)``.

    Args:
        cost_BKDhw: cost volume; (B, K) lead, so that valid pairs pack into a plain batch.
        features: image features that the volume was computed from.
        text: text features of all T categories.
        selection: categories of the K slots.
        raw_BKPhw: plain cosines that the volume was embedded from, for decoders that use them;
            None where the head embeds nothing.
    """

    cost_BKDhw: Tensor
    features: ImageFeatures
    text: TextFeatures
    selection: Selection
    raw_BKPhw: Tensor | None = None

    def __post_init__(self) -> None:
        batch, kept = self.selection.index_BK.shape
        check_axes(self, B=batch, K=kept, P=self.text.embeds_TPC.shape[1])


@dataclass(frozen=True)
class Masks:
    """One logit map per kept category.

    Args:
        logits_BKHW: at the decoder's resolution, before any sigmoid or softmax.
        selection: what the K slots mean; a decoder may have narrowed it.
        aux: further outputs for training, each (B, K, H', W').
    """

    logits_BKHW: Tensor
    selection: Selection
    aux: tuple[Tensor, ...] = leading("BK")

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])


@dataclass(frozen=True)
class Scores:
    """Views merged: one probability map per category that any view kept.

    Args:
        probs_BKHW: probabilities on the union of the views' selections; a category that no view
            kept has probability 0 everywhere and no map.
        selection: what the K slots mean.
        features: image features of the whole-image view, None where the protocol has none.
        text: features of the vocabulary.
        canvas_B3YX: the picture that the views were cut from, at that size, RGB in 0..255, for
            post-processors that look at colours; Y X need not be H W.
    """

    probs_BKHW: Tensor
    selection: Selection
    features: ImageFeatures | None
    text: TextFeatures
    canvas_B3YX: Tensor | None = None

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])

    def probs_BTHW(self) -> Tensor:
        """Maps of all T categories: for who asks, at T times the memory of one map."""
        return self.selection.scatter(self.probs_BKHW)

    def labels_BHW(self) -> Tensor:
        """Arg max over the kept categories, as indices into T; the lower index wins a tie."""
        probs_BKHW = self.probs_BKHW
        if not self.selection.full:
            padding_BK11 = ~self.selection.valid_BK[:, :, None, None]
            probs_BKHW = probs_BKHW.masked_fill(padding_BK11, -torch.inf)
        best_BHW = probs_BKHW.max(1).indices  # twice as fast as argmax
        flat_BM = torch.gather(self.selection.index_BK, 1, best_BHW.flatten(1))
        return flat_BM.view_as(best_BHW)
