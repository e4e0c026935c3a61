"""The categories that each image keeps, and conversions between the axes T, K and N.

T counts the categories of the vocabulary. K counts the slots of an image, one per kept category;
images that keep fewer are padded. N counts the valid (image, category) pairs of a whole batch.

K and N are sizes, which the host must know, while the kept categories are found on a device. The
host therefore waits for a device once per selection, in `Selection.from_mask`, and keeps the
numbers it read (`counts`). Everything else is computed from them without reading a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .axes import check_axes
from .vocabularies.vocabulary import IGNORE


@dataclass(frozen=True)
class Selection:
    """Categories that each image keeps: K indices into the vocabulary, padded.

    Args:
        index_BK: category of each slot; 0 in padding slots.
        valid_BK: False in padding slots. The valid slots of an image hold distinct categories.
        num_categories: T, the size of the vocabulary.
        scores_BT: scores by which the categories were chosen, for inspection; None if they were not
            scored.
        counts_B: number of valid slots of each image, on the host; None reads them when they are
            first needed, which waits for a device.
        padded: True if components that treat every pair alone compute the padding slots too, so
            that their shapes depend on K only, see `pairs`.

    Examples:
        >>> s = Selection.from_mask(torch.tensor([[True, False, True], [False, True, False]]))
        >>> s.index_BK.tolist(), s.valid_BK.tolist()
        ([[0, 2], [1, 0]], [[True, True], [True, False]])
        >>> s.counts, s.pack(torch.tensor([[10, 11], [12, 13]])).tolist()
        ((2, 1), [10, 11, 12])
    """

    index_BK: Tensor
    valid_BK: Tensor
    num_categories: int
    scores_BT: Tensor | None = None
    counts_B: tuple[int, ...] | None = None
    padded: bool = False

    def __post_init__(self) -> None:
        check_axes(self, T=self.num_categories)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Number of valid slots of each image, on the host."""
        if self.counts_B is not None:
            return self.counts_B
        return tuple(self.valid_BK.sum(1).tolist())

    @cached_property
    def _any_image(self) -> tuple[int] | None:
        """Number of categories that any image keeps; None unless whoever made the record knew it.

        It is not a field, so that a slice of the record starts without it.
        """
        return None

    def _knowing(self, any_image: int) -> Selection:
        """Stores `_any_image`."""
        self.__dict__["_any_image"] = (any_image,)
        return self

    @property
    def full(self) -> bool:
        """True if no slot is padding."""
        return min(self.counts, default=0) == self.index_BK.shape[1]

    @classmethod
    def everything(cls, batch: int, num_categories: int, device=None) -> Selection:
        """Selection of all T categories for every image."""
        index_BK = torch.arange(num_categories, device=device).expand(batch, -1)
        valid_BK = torch.ones_like(index_BK, dtype=torch.bool)
        selection = cls(index_BK, valid_BK, num_categories, None, (num_categories,) * batch)
        return selection._knowing(num_categories)

    @classmethod
    def from_mask(
        cls, keep_BT: Tensor, scores_BT: Tensor | None = None, counts_B: Sequence[int] | None = None
    ) -> Selection:
        """Selection of the categories where `keep_BT` is True, in ascending order.

        Args:
            keep_BT: True for the categories that an image keeps.
            scores_BT: see `Selection`.
            counts_B: number of categories that each image keeps, if the host knows it; None reads
                it, which waits for a device.

        Raises:
            ValueError: an image that keeps no category.
        """
        if torch.compiler.is_exporting():
            return cls._exported(keep_BT, scores_BT)
        total = None
        if counts_B is None:
            *counts_B, total = _numbers(keep_BT.sum(1), keep_BT.any(0).sum())
        if min(counts_B, default=1) < 1:
            raise ValueError(
                f"Image {list(counts_B).index(0)} of the batch keeps no category. "
                "Keep at least one category per image."
            )
        # A stable sort by "dropped" moves the kept categories to the front, in ascending order.
        order_BT = torch.sort((~keep_BT).to(torch.uint8), dim=1, stable=True).indices
        index_BK = order_BT[:, : max(counts_B, default=0)]
        valid_BK = torch.gather(keep_BT, 1, index_BK)
        selection = cls(index_BK * valid_BK, valid_BK, keep_BT.shape[1], scores_BT, tuple(counts_B))
        return selection if total is None else selection._knowing(total)

    @classmethod
    def _exported(cls, keep_1T: Tensor, scores_1T: Tensor | None) -> Selection:
        """As `from_mask`, in a graph, which learns the number of kept categories when it runs."""
        index_1K = keep_1T[0].nonzero()[:, 0][None]
        count = index_1K.shape[1]
        torch._check(count >= 1)
        torch._check(count <= keep_1T.shape[1])
        valid_1K = torch.ones_like(index_1K, dtype=torch.bool)
        return cls(index_1K, valid_1K, keep_1T.shape[1], scores_1T, (count,))

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
        index_BK = highest(ranked_BT, k)
        if torch.compiler.is_exporting():
            keep_BT = torch.zeros_like(F.pad(scores_BT, (0, k)), dtype=torch.bool)
            keep_BT = keep_BT.scatter_(1, index_BK, True)[:, : scores_BT.shape[1]]
            return cls._exported(keep_BT, scores_BT)
        index_BK = index_BK.sort(1).values
        valid_BK = torch.ones_like(index_BK, dtype=torch.bool)
        counts_B = (index_BK.shape[1],) * index_BK.shape[0]
        return cls(index_BK, valid_BK, scores_BT.shape[1], scores_BT, counts_B)

    # -- between K and N, the valid pairs --------------------------------------------------------

    @property
    def batch(self) -> int:
        """B, the number of images."""
        return self.index_BK.shape[0]

    @cached_property
    def slot_N(self) -> Tensor:
        """Place of each valid pair among the B * K slots, ascending."""
        slots, total = self.valid_BK.numel(), sum(self.counts)
        if total == slots:
            return torch.arange(slots, device=self.valid_BK.device)
        # As `nonzero` gives it, which would wait for a device to know its length.
        dropped = (~self.valid_BK).flatten().to(torch.uint8)
        return torch.sort(dropped, stable=True).indices[:total]

    @cached_property
    def image_N(self) -> Tensor:
        """Index of the image in each valid pair."""
        return torch.div(self.slot_N, self.index_BK.shape[1], rounding_mode="floor")

    @cached_property
    def category_N(self) -> Tensor:
        """Category in each valid pair."""
        return self.index_BK.flatten()[self.slot_N]

    @cached_property
    def _place_N(self) -> tuple[Tensor, Tensor]:
        """Image and slot of each valid pair."""
        return self.image_N, self.slot_N % self.index_BK.shape[1]

    def pack(self, x_BK: Tensor) -> Tensor:
        """(B, K, ...) -> (N, ...): rows of the valid pairs. It returns a view if all are valid."""
        return x_BK.flatten(0, 1) if self.full else x_BK[self._place_N]

    def unpack(self, x_N: Tensor, fill: float = 0.0) -> Tensor:
        """(N, ...) -> (B, K, ...), the inverse of `pack`; padding slots hold `fill`."""
        if self.full:
            return x_N.unflatten(0, self.index_BK.shape)
        out_BK = x_N.new_full((*self.index_BK.shape, *x_N.shape[1:]), fill)
        out_BK[self._place_N] = x_N
        return out_BK

    @cached_property
    def pairs(self) -> Selection:
        """Selection whose valid pairs are those that a component with independent pairs computes.

        It equals this selection, or with `padded` all slots. A component that compares the
        categories of an image with each other must use the selection itself. Results in padding
        slots mean nothing: `valid_BK` of the selection says which they are.
        """
        if not self.padded:
            return self
        return Selection(
            self.index_BK,
            torch.ones_like(self.valid_BK),
            self.num_categories,
            self.scores_BT,
            (self.index_BK.shape[1],) * self.batch,
        )

    def padded_to(self, slots: int) -> Selection:
        """Selection with at least `slots` slots, whose padding slots are computed, see `pairs`."""
        missing = max(slots - self.index_BK.shape[1], 0)
        padded = replace(
            self,
            index_BK=F.pad(self.index_BK, (0, missing)),
            valid_BK=F.pad(self.valid_BK, (0, missing), value=False),
            counts_B=self.counts,
            padded=True,
        )
        return padded if self._any_image is None else padded._knowing(*self._any_image)

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
        return self._mask(self.valid_BK)

    def _mask(self, keep_BK: Tensor) -> Tensor:
        """Boolean (B, T), True for the categories of some slots."""
        times_BT = keep_BK.new_zeros((self.batch, self.num_categories), dtype=torch.uint8)
        # other slots, such as padding, which points at category 0, add nothing
        return times_BT.scatter_add_(1, self.index_BK, keep_BK.to(torch.uint8)) > 0

    @classmethod
    def union(cls, selections: Sequence[Selection]) -> Selection:
        """Categories that any image of some selections keeps, as the selection of one image.

        It waits for a device only if there are several selections, none of which keeps everything.
        """
        keep_1T = torch.stack([selection.mask().any(0) for selection in selections]).any(0)[None]
        count = max(max(selection.counts) for selection in selections)
        if count == keep_1T.shape[1] or sum(selection.batch for selection in selections) == 1:
            return cls.from_mask(keep_1T, counts_B=(count,))
        known = selections[0]._any_image if len(selections) == 1 else None
        return cls.from_mask(keep_1T, counts_B=known or None)

    def localize(self, labels_BHW: Tensor) -> Tensor:
        """Converts labels in T to slots in K; `IGNORE` where the category was not kept."""
        slot_BK = torch.arange(self.index_BK.shape[1], device=labels_BHW.device)
        table_BT = self.scatter(slot_BK.expand(self.batch, -1), fill=IGNORE)
        safe_BM = labels_BHW.clamp(min=0).flatten(1).long()
        slot_BHW = torch.gather(table_BT, 1, safe_BM).view_as(labels_BHW)
        return torch.where(labels_BHW < 0, IGNORE, slot_BHW)

    # -- fewer categories ------------------------------------------------------------------------

    def narrow(
        self, keep_BK: Tensor, counts_B: Sequence[int] | None = None
    ) -> tuple[Selection, Tensor]:
        """Keeps a subset of the slots.

        Args:
            keep_BK: True for the slots to keep; padding slots are never kept.
            counts_B: number of valid slots that each image keeps, if the host knows it.

        Returns:
            The smaller selection with K2 slots, and slot_BK2, the old slot of each new one.
        """
        keep_BK, total = keep_BK & self.valid_BK, None
        if counts_B is None:
            any_BT = self._mask(keep_BK).any(0)
            *counts_B, total = _numbers(keep_BK.sum(1), any_BT.sum())
        slots = Selection.from_mask(keep_BK, counts_B=counts_B)
        index_BK2 = torch.gather(self.index_BK, 1, slots.index_BK) * slots.valid_BK
        narrow = Selection(
            index_BK2, slots.valid_BK, self.num_categories, self.scores_BT, slots.counts_B
        )
        return narrow if total is None else narrow._knowing(total), slots.index_BK


def highest(scores_BT: Tensor, k: int) -> Tensor:
    """Indices of the k highest scores (B, T), at most T of them.

    An exported graph is the same for any T, also below k. There the result always has k indices,
    and those from T on stand for no category.
    """
    if not torch.compiler.is_exporting():
        return scores_BT.topk(min(k, scores_BT.shape[1]), dim=1).indices
    return F.pad(scores_BT, (0, k), value=-torch.inf).topk(k, dim=1).indices


def _numbers(*values: Tensor) -> list[int]:
    """Values of integer tensors, read from a device at once."""
    return torch.cat([value.reshape(-1) for value in values]).tolist()


def present_labels(labels_BHW: Tensor, count: int) -> Tensor:
    """Labels that occur in each label map, as a boolean (B, count).

    Args:
        labels_BHW: label maps with values 0..count - 1 or `IGNORE`.
        count: number of labels.

    Examples:
        >>> present_labels(torch.tensor([[[2, 0, IGNORE]]]), 3).tolist()
        [[True, False, True]]
    """
    # one extra column collects the ignored pixels and is cut off
    present_BC = labels_BHW.new_zeros(labels_BHW.shape[0], count + 1, dtype=torch.bool)
    column_BM = torch.where(labels_BHW == IGNORE, count, labels_BHW).flatten(1)
    return present_BC.scatter_(1, column_BM, True)[:, :-1]
