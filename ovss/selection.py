"""Which categories an image keeps, and how tensors move between T, K and live pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .axes import check_axes

IGNORE = -1
"""Label of a pixel that counts for nothing. Files' own values (0, 255, 65535 ...) are converted
once, where they are read: 255 is a real category of large vocabularies."""


@dataclass(frozen=True)
class Selection:
    """Which categories each image keeps: K indices into T, padded where an image keeps fewer.

    Args:
        index_BK: category of each slot; 0 where the slot is padding.
        valid_BK: False where the slot is padding. Valid slots hold distinct categories.
        scores_BT: why they were kept, for whoever wants to look; None where nothing was scored.
        num_categories: T.

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
        """No slot is padding."""
        return bool(self.valid_BK.all())

    @classmethod
    def everything(cls, batch: int, num_categories: int, device=None) -> Selection:
        """Keep all T categories of every image."""
        index_BK = torch.arange(num_categories, device=device).expand(batch, -1)
        return cls(index_BK, torch.ones_like(index_BK, dtype=torch.bool), num_categories)

    @classmethod
    def from_mask(cls, keep_BT: Tensor, scores_BT: Tensor | None = None) -> Selection:
        """Keep where `keep_BT` is True, in ascending order of category; an image must keep one."""
        count_B = keep_BT.sum(1)
        if int(count_B.min()) < 1:
            raise ValueError(f"image {int(count_B.argmin())} of the batch keeps no category")
        order_BT = torch.sort((~keep_BT).to(torch.uint8), dim=1, stable=True).indices
        index_BK = order_BT[:, : int(count_B.max())]
        valid_BK = torch.gather(keep_BT, 1, index_BK)
        return cls(index_BK * valid_BK, valid_BK, keep_BT.shape[1], scores_BT)

    @classmethod
    def top_k(cls, scores_BT: Tensor, k: int, keep_BT: Tensor | None = None) -> Selection:
        """The k best-scored categories, those of `keep_BT` before all others.

        More than k categories in `keep_BT` are all kept.
        """
        ranked_BT = scores_BT
        if keep_BT is not None:
            k = max(k, int(keep_BT.sum(1).max()))
            ranked_BT = scores_BT.masked_fill(keep_BT, torch.inf)
        index_BK = ranked_BT.topk(min(k, scores_BT.shape[1]), dim=1).indices.sort(1).values
        valid_BK = torch.ones_like(index_BK, dtype=torch.bool)
        return cls(index_BK, valid_BK, scores_BT.shape[1], scores_BT)

    # -- lengths and lists of live pairs ---------------------------------------------------------

    @property
    def batch(self) -> int:
        return self.index_BK.shape[0]

    @property
    def image_N(self) -> Tensor:
        """Image of each live pair."""
        return self.valid_BK.nonzero()[:, 0]

    @property
    def category_N(self) -> Tensor:
        """Category of each live pair."""
        return self.index_BK[self.valid_BK]

    def pack(self, x_BK: Tensor) -> Tensor:
        """(B, K, ...) -> (N, ...): live pairs only, image by image; a view where all are."""
        return x_BK.flatten(0, 1) if self.full else x_BK[self.valid_BK]

    def unpack(self, x_N: Tensor, fill: float = 0.0) -> Tensor:
        """(N, ...) -> (B, K, ...), inverse of `pack`; padding holds `fill`."""
        if self.full:
            return x_N.unflatten(0, self.index_BK.shape)
        out_BK = x_N.new_full((*self.index_BK.shape, *x_N.shape[1:]), fill)
        out_BK[self.valid_BK] = x_N
        return out_BK

    # -- between T and K -------------------------------------------------------------------------

    def gather(self, x_T: Tensor) -> Tensor:
        """(T, ...) -> (B, K, ...): each slot's row; padding slots repeat row 0."""
        return x_T[self.index_BK]

    def scatter(self, x_BK: Tensor, fill: float = 0.0) -> Tensor:
        """(B, K, ...) -> (B, T, ...), `fill` where not kept. Costs T rows for every image."""
        out_BT = x_BK.new_full((self.batch, self.num_categories, *x_BK.shape[2:]), fill)
        out_BT[self.image_N, self.category_N] = self.pack(x_BK)
        return out_BT

    def mask(self) -> Tensor:
        """(B, T), True where a category is kept."""
        live_BK = torch.ones_like(self.index_BK, dtype=torch.bool)
        return self.scatter(live_BK, fill=False)

    def localize(self, labels_BHW: Tensor) -> Tensor:
        """Labels in T -> slots in K; IGNORE where a label is IGNORE or was not kept."""
        slot_BK = torch.arange(self.index_BK.shape[1], device=labels_BHW.device)
        table_BT = self.scatter(slot_BK.expand(self.batch, -1), fill=IGNORE)
        safe_BM = labels_BHW.clamp(min=0).flatten(1).long()
        found_BHW = torch.gather(table_BT, 1, safe_BM).view_as(labels_BHW)
        return torch.where(labels_BHW < 0, IGNORE, found_BHW)

    # -- smaller ---------------------------------------------------------------------------------

    def narrow(self, keep_BK: Tensor) -> tuple[Selection, Tensor]:
        """Keep a subset of the slots.

        Returns:
            the narrower selection (K2 slots), and slot_BK2: where each new slot was before.
        """
        slots = Selection.from_mask(keep_BK & self.valid_BK)
        index_BK2 = torch.gather(self.index_BK, 1, slots.index_BK) * slots.valid_BK
        narrow = Selection(index_BK2, slots.valid_BK, self.num_categories, self.scores_BT)
        return narrow, slots.index_BK
