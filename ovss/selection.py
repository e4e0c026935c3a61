"""The categories that each image keeps, and conversions between the axes T, K and N.

T counts the categories of the vocabulary. K counts the slots of an image, one per kept category;
images that keep fewer are padded. N counts the valid (image, category) pairs of a whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .axes import check_axes

IGNORE = -1
"""Label of pixels without ground truth. Values that mark such pixels in files (0, 255, 65535 ...)
are converted when the files are read, because 255 is a real category in large vocabularies."""


@dataclass(frozen=True)
class Selection:
    """Categories that each image keeps: K indices into the vocabulary, padded.

    Args:
        index_BK: category of each slot; 0 in padding slots.
        valid_BK: False in padding slots. The valid slots of an image hold distinct categories.
        num_categories: T, the size of the vocabulary.
        scores_BT: scores by which the categories were chosen, for inspection; None if they were not
            scored.

    >>> s = Selection.from_mask(torch.tensor([[True, False, True], [False, True, False]]))
    >>> s.index_BK.tolist(), s.valid_BK.tolist()
    ([[0, 2], [1, 0]], [[True, True], [True, False]])
    >>> s.pack(torch.tensor([[10, 11], [12, 13]])).tolist()
    [10, 11, 12]
    """

    index_BK: Tensor
    valid_BK: Tensor
    num_categories: int
    scores_BT: Tensor | None = None

    def __post_init__(self) -> None:
        check_axes(self, T=self.num_categories)

    @cached_property
    def full(self) -> bool:
        """True if no slot is padding. Reading it on a GPU waits for the device, once."""
        return bool(self.valid_BK.all())

    @classmethod
    def everything(cls, batch: int, num_categories: int, device=None) -> Selection:
        """Selection of all T categories for every image."""
        index_BK = torch.arange(num_categories, device=device).expand(batch, -1)
        return cls(index_BK, torch.ones_like(index_BK, dtype=torch.bool), num_categories)

    @classmethod
    def from_mask(cls, keep_BT: Tensor, scores_BT: Tensor | None = None) -> Selection:
        """Selection of the categories where `keep_BT` is True, in ascending order.

        Raises:
            ValueError: an image that keeps no category.
        """
        count_B = keep_BT.sum(1)
        if int(count_B.min()) < 1:
            raise ValueError(
                f"Image {int(count_B.argmin())} of the batch keeps no category. "
                "Keep at least one category per image."
            )
        # A stable sort by "dropped" moves the kept categories to the front, in ascending order.
        order_BT = torch.sort((~keep_BT).to(torch.uint8), dim=1, stable=True).indices
        index_BK = order_BT[:, : int(count_B.max())]
        valid_BK = torch.gather(keep_BT, 1, index_BK)
        return cls(index_BK * valid_BK, valid_BK, keep_BT.shape[1], scores_BT)

    @classmethod
    def top_k(cls, scores_BT: Tensor, k: int, keep_BT: Tensor | None = None) -> Selection:
        """Selection of the k categories with the highest scores.

        Args:
            scores_BT: score of each category.
            k: number of categories to keep.
            keep_BT: True for categories to keep regardless of their score. If an image has more
                than k of them, every image keeps that many categories.
        """
        ranked_BT = scores_BT
        if keep_BT is not None:
            k = max(k, int(keep_BT.sum(1).max()))
            ranked_BT = scores_BT.masked_fill(keep_BT, torch.inf)
        index_BK = ranked_BT.topk(min(k, scores_BT.shape[1]), dim=1).indices.sort(1).values
        valid_BK = torch.ones_like(index_BK, dtype=torch.bool)
        return cls(index_BK, valid_BK, scores_BT.shape[1], scores_BT)

    # -- between K and N, the valid pairs --------------------------------------------------------

    @property
    def batch(self) -> int:
        """B, the number of images."""
        return self.index_BK.shape[0]

    @property
    def image_N(self) -> Tensor:
        """Index of the image in each valid pair."""
        return self.valid_BK.nonzero()[:, 0]

    @property
    def category_N(self) -> Tensor:
        """Category in each valid pair."""
        return self.index_BK[self.valid_BK]

    def pack(self, x_BK: Tensor) -> Tensor:
        """(B, K, ...) -> (N, ...): rows of the valid pairs. It returns a view if all are valid."""
        return x_BK.flatten(0, 1) if self.full else x_BK[self.valid_BK]

    def unpack(self, x_N: Tensor, fill: float = 0.0) -> Tensor:
        """(N, ...) -> (B, K, ...), the inverse of `pack`; padding slots hold `fill`."""
        if self.full:
            return x_N.unflatten(0, self.index_BK.shape)
        out_BK = x_N.new_full((*self.index_BK.shape, *x_N.shape[1:]), fill)
        out_BK[self.valid_BK] = x_N
        return out_BK

    # -- between T and K -------------------------------------------------------------------------

    def gather(self, x_T: Tensor) -> Tensor:
        """(T, ...) -> (B, K, ...): row of each slot's category; padding slots repeat row 0."""
        return x_T[self.index_BK]

    def scatter(self, x_BK: Tensor, fill: float = 0.0) -> Tensor:
        """(B, K, ...) -> (B, T, ...) with `fill` for other categories. Needs T rows per image."""
        out_BT = x_BK.new_full((self.batch, self.num_categories, *x_BK.shape[2:]), fill)
        out_BT[self.image_N, self.category_N] = self.pack(x_BK)
        return out_BT

    def mask(self) -> Tensor:
        """Boolean (B, T), True where an image keeps a category."""
        ones_BK = torch.ones_like(self.index_BK, dtype=torch.bool)
        return self.scatter(ones_BK, fill=False)

    def localize(self, labels_BHW: Tensor) -> Tensor:
        """Converts labels in T to slots in K; `IGNORE` where the category was not kept."""
        slot_BK = torch.arange(self.index_BK.shape[1], device=labels_BHW.device)
        table_BT = self.scatter(slot_BK.expand(self.batch, -1), fill=IGNORE)
        safe_BM = labels_BHW.clamp(min=0).flatten(1).long()
        slot_BHW = torch.gather(table_BT, 1, safe_BM).view_as(labels_BHW)
        return torch.where(labels_BHW < 0, IGNORE, slot_BHW)

    # -- fewer categories ------------------------------------------------------------------------

    def narrow(self, keep_BK: Tensor) -> tuple[Selection, Tensor]:
        """Keeps a subset of the slots.

        Returns:
            The smaller selection with K2 slots, and slot_BK2, the old slot of each new one.
        """
        slots = Selection.from_mask(keep_BK & self.valid_BK)
        index_BK2 = torch.gather(self.index_BK, 1, slots.index_BK) * slots.valid_BK
        narrow = Selection(index_BK2, slots.valid_BK, self.num_categories, self.scores_BT)
        return narrow, slots.index_BK


def present_labels(labels_BHW: Tensor, count: int) -> Tensor:
    """Labels that occur in each label map, as a boolean (B, count).

    Args:
        labels_BHW: label maps with values 0..count - 1 or `IGNORE`.
        count: number of labels.

    >>> present_labels(torch.tensor([[[2, 0, IGNORE]]]), 3).tolist()
    [[True, False, True]]
    """
    # one extra column collects the ignored pixels and is cut off
    present_BC = labels_BHW.new_zeros(labels_BHW.shape[0], count + 1, dtype=torch.bool)
    column_BM = torch.where(labels_BHW == IGNORE, count, labels_BHW).flatten(1)
    return present_BC.scatter_(1, column_BM, True)[:, :-1]
