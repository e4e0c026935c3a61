"""The records that flow between components: one frozen dataclass per arrow of the figure.

::

    images ------> Encoder --> ImageFeatures --+
                                               +--> Selector --> Selection
    Vocabulary --> Encoder --> TextFeatures ---+
    ImageFeatures, TextFeatures, Selection --> AlignmentHead --> Alignment
    Alignment --> Decoder --> Masks
    Masks of every view, merged by `ovss.inference` --> Scores --> PostProcessor --> Scores

Every tensor name ends in its axes: `cost_BKDhw` has five. A record checks its tensors against their
names when it is created, so a tensor of the wrong shape fails where it was made. The letters mean
the same everywhere in the project:

====  =======================================================================
B     images (or views of images) in a batch
T     categories in the vocabulary
K     categories kept for an image, padded to the largest number in the batch
P     prompt templates
C     channels of the joint image-text space
D     channels of the cost volume
H W   pixels
h w   cells of the feature grid
N     flattened list, usually of the valid (image, category) pairs
====  =======================================================================

K says how many categories an image keeps, not which ones. A tensor with a K axis therefore always
travels together with its `Selection`, which maps the K slots to the T categories.

Methods that compare regions, not cells, with the categories fill `ImageFeatures.proposals`, and
have a record of their own in place of `Alignment`, `Masks` and `Scores`, see `ovss.regions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .axes import check_axes, leading
from .io.stored_rows import StoredRows
from .kernels.portions import split_rows
from .regions import Padding, Proposals, RegionAlignment, RegionMasks, RegionScores
from .selection import IGNORE, Selection
from .vocabularies.vocabulary import SYNONYM_RULES, Vocabulary, split_synonyms

__all__ = [
    "IGNORE",
    "SYNONYM_RULES",
    "Alignment",
    "ImageFeatures",
    "Masks",
    "NameRule",
    "Padding",
    "Proposals",
    "RegionAlignment",
    "RegionMasks",
    "RegionScores",
    "Scores",
    "Selection",
    "TextFeatures",
    "Vocabulary",
    "split_synonyms",
]


@dataclass(frozen=True)
class ImageFeatures:
    """Image encoder output.

    Args:
        dense_BChw: one token per cell in the joint image-text space, not normalised.
        pooled_BC: image embedding as in the encoder's pre-training, not normalised.
        levels: feature maps of selected inner layers, shallow first, each (B, level_dim, h_i, w_i).
            They lie on the feature grid, or are finer by the factors in `Encoder.level_scales`.
        attention_BNN: patch-to-patch attention weights with N = h * w; None unless the encoder is
            configured to return them.
        class_attention_BMhw: attention of the class token to each cell. M counts one channel per
            attention head of each requested block. None unless the encoder is configured to return
            it.
        proposals: regions of the image; None unless `Encoder.gives_proposals`.
        padding: place of the image inside the input that the dense tokens and levels cover; None if
            they cover the image itself.
    """

    dense_BChw: Tensor
    pooled_BC: Tensor
    levels: tuple[Tensor, ...] = leading("B")
    attention_BNN: Tensor | None = None
    class_attention_BMhw: Tensor | None = None
    proposals: Proposals | None = None
    padding: Padding | None = None

    def __post_init__(self) -> None:
        check_axes(self)


class NameRule(Protocol):
    """Rule that marks categories by their names, such as `ovss.vocabularies.seen.SeenNames`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names that the rule compares with; without any it marks nothing."""

    def marks(self, vocabulary: Vocabulary) -> NDArray[np.bool_]:
        """True for the marked names of a vocabulary, bool (T,)."""


@dataclass(frozen=True)
class TextFeatures:
    """Text encoder output for a vocabulary.

    Args:
        source_TPC: one L2-normalised embedding per category and prompt template. A tensor, or rows
            in a file for a large vocabulary. Read it through `rows`, `chunks` and `mean_TC`.
        levels: further embeddings of each category, such as visual prompts at several scales, each
            (T, ..., level_dim).
        vocabulary: vocabulary that was encoded; None if the embeddings come from elsewhere.
        marked: marks of categories (T,) that stand for the names, where an exported graph has none.

    Raises:
        ValueError: the number of embeddings differs from the number of categories.
    """

    source_TPC: Tensor | StoredRows
    levels: tuple[Tensor, ...] = leading("T")
    vocabulary: Vocabulary | None = None
    marked: Mapping[NameRule, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.source_TPC, Tensor):
            check_axes(self)
        else:
            check_axes(self, T=len(self.source_TPC))
        if self.vocabulary is not None and len(self.vocabulary) != len(self):
            raise ValueError(
                f"TextFeatures has {len(self)} text embeddings for "
                f"{len(self.vocabulary)} categories. Pass one embedding per category."
            )

    def __len__(self) -> int:
        return len(self.source_TPC)

    @property
    def num_categories(self) -> int:
        """T, the number of categories, which is a symbol while a model is exported."""
        return self.source_TPC.shape[0]

    @property
    def num_templates(self) -> int:
        """P, the number of prompt templates."""
        return self.source_TPC.shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the embeddings that are read."""
        return self.source_TPC.device

    @property
    def embeds_TPC(self) -> Tensor:
        """All embeddings as one tensor; for a large vocabulary this needs a lot of memory."""
        source_TPC = self.source_TPC
        if isinstance(source_TPC, Tensor):
            return source_TPC
        return next(source_TPC.split(self.num_categories))

    def rows(self, index: Tensor) -> Tensor:
        """Embeddings (..., P, C) of some categories, for an index of any shape.

        ``text.rows(selection.index_BK)`` gives those of the kept categories, (B, K, P, C).
        """
        source_TPC = self.source_TPC
        return source_TPC[index] if isinstance(source_TPC, Tensor) else source_TPC.rows(index)

    def chunks(self, size: int) -> Iterator[Tensor]:
        """Yields the embeddings of consecutive categories, at most `size` at a time."""
        yield from split_rows(self.source_TPC, size)

    @cached_property
    def mean_TC(self) -> Tensor:
        """Mean over the templates: float32, not normalised, without gradient.

        Cached, so that a large vocabulary is averaged once and not once per image.
        """
        source_TPC = self.source_TPC
        if not isinstance(source_TPC, Tensor):
            return source_TPC.mean_TC
        with torch.inference_mode(mode=False), torch.no_grad():  # kept for training as well
            return source_TPC.detach().mean(1, dtype=torch.float32)

    @property
    def trained_mean_TC(self) -> Tensor:
        """Mean over the templates, with gradient if the embeddings have one, and in their type."""
        source_TPC = self.source_TPC
        if isinstance(source_TPC, Tensor) and (
            source_TPC.requires_grad or source_TPC.dtype != torch.float32
        ):
            return source_TPC.mean(1)
        return self.mean_TC

    def seen_T(self, seen: NameRule | None) -> Tensor | None:
        """True for each name whose category was seen in training, bool (T,).

        None if nothing was seen, or if the names are not known. The result is kept.
        """
        if seen is None or not seen.names or (self.vocabulary is None and not self.marked):
            return None
        if seen in self.marked:
            return self.marked[seen]
        assert self.vocabulary is not None
        if seen not in self._seen:
            with torch.inference_mode(mode=False):
                self._seen[seen] = torch.from_numpy(seen.marks(self.vocabulary)).to(self.device)
        return self._seen[seen]

    @cached_property
    def _seen(self) -> dict[NameRule, Tensor]:
        return {}

    def categories(self, labels: Tensor) -> Tensor:
        """Converts indices of names to indices of categories; they differ with ``"max"`` only."""
        return labels if self.owner_T is None else self.owner_T.to(labels.device)[labels]

    @cached_property
    def category_T(self) -> Tensor:
        """Category of each name, ascending; with ``"max"`` several names share one."""
        if self.owner_T is not None:
            return self.owner_T
        with torch.inference_mode(mode=False):
            return torch.arange(len(self), device=self.device)

    @cached_property
    def owner_T(self) -> Tensor | None:
        """Category of each name, ascending; None if each name is a category.

        It lies on the device of the embeddings.
        """
        owners = None if self.vocabulary is None else self.vocabulary.owners
        with torch.inference_mode(mode=False):
            return None if owners is None else torch.tensor(owners, device=self.device)


@dataclass(frozen=True)
class Alignment:
    """Comparison of an image with its kept categories.

    The record carries the image and text features whole, so a decoder can read any of their fields
    without the head passing them on. ``text.rows(selection.index_BK)`` gives the text
    embeddings of the kept categories.

    Args:
        cost_BKDhw: cost volume. (B, K) come first, so that valid pairs pack into a plain batch.
        features: image features from which the volume was computed.
        text: text features of all T categories.
        selection: categories in the K slots.
        raw_BKPhw: plain cosines from which the volume was embedded, for decoders that need them;
            None if the head does not provide them.
    """

    cost_BKDhw: Tensor
    features: ImageFeatures
    text: TextFeatures
    selection: Selection
    raw_BKPhw: Tensor | None = None

    def __post_init__(self) -> None:
        batch, kept = self.selection.index_BK.shape
        check_axes(self, B=batch, K=kept, P=self.text.num_templates)


@dataclass(frozen=True)
class Masks:
    """One logit map per kept category.

    Args:
        logits_BKHW: logits at the decoder's resolution, before any sigmoid or softmax.
        selection: categories in the K slots; a decoder may keep fewer than the head did.
        aux: outputs of auxiliary layers for training, each (B, K, H', W').
        losses: further training losses of the decoder, scalars by name, each name starting with
            ``loss``; they are added to those of the criterion.
        vocabulary: vocabulary of the categories, which the segmentor adds for losses that read
            their names; None at inference.
    """

    logits_BKHW: Tensor
    selection: Selection
    aux: tuple[Tensor, ...] = leading("BK")
    losses: Mapping[str, Tensor] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])


@dataclass(frozen=True)
class Scores:
    """Probabilities of an image after its views are merged.

    There is one map for each category that at least one view kept. Every other category has
    probability 0 everywhere, and no map is stored for it.

    Args:
        probs_BKHW: probabilities of the kept categories.
        selection: categories in the K slots, the union of the views' selections.
        features: image features of the view that shows the whole image; None if the inference mode
            has no such view.
        text: text features of the vocabulary.
        canvas_B3YX: resized image from which the views were cut, RGB in 0..255, for post-processors
            that look at colours. Its size (Y, X) may differ from (H, W).
    """

    probs_BKHW: Tensor
    selection: Selection
    features: ImageFeatures | None
    text: TextFeatures
    canvas_B3YX: Tensor | None = None

    def __post_init__(self) -> None:
        check_axes(self, K=self.selection.index_BK.shape[1])

    def probs_BTHW(self) -> Tensor:
        """Maps of all T categories. For a large vocabulary this needs a lot of memory."""
        return self.selection.scatter(self.probs_BKHW)

    def labels_BHW(self) -> Tensor:
        """Most probable category of each pixel, as an index into T; the lower index wins a tie."""
        probs_BKHW = self.probs_BKHW
        if not self.selection.full:
            padding_BK11 = ~self.selection.valid_BK[:, :, None, None]
            probs_BKHW = probs_BKHW.masked_fill(padding_BK11, -torch.inf)
        best_BHW = probs_BKHW.max(1).indices  # twice as fast as argmax
        flat_BM = torch.gather(self.selection.index_BK, 1, best_BHW.flatten(1))
        return flat_BM.view_as(best_BHW)
