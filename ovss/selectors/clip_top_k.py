from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import Selector
from ovss.ops import max_cosine
from ovss.registry import SELECTORS
from ovss.structures import ImageFeatures, Selection, TextFeatures


@SELECTORS.register_module()
class ClipTopK(Selector):
    """Keeps the k categories with the highest cosine similarity to any cell.

    This is CAT-Seg's truncation of the vocabulary. Vocabularies of at most k categories are kept
    whole.

    Args:
        k: number of categories to keep at inference.
        train_k: number of categories to keep in training, including all ground-truth categories;
            None means `k`.

    Raises:
        ValueError: a number below 1.
    """

    def __init__(self, k: int, train_k: int | None = None) -> None:
        super().__init__()
        if k < 1 or (train_k is not None and train_k < 1):
            raise ValueError(f"ClipTopK needs k and train_k of at least 1, got {k} and {train_k}.")
        self.k = k
        self.train_k = k if train_k is None else train_k

    @torch.no_grad()
    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        dense_BChw = image.dense_BChw
        k = self.train_k if self.training else self.k
        # a graph is the same for every size of the vocabulary
        if not torch.compiler.is_exporting() and text.num_categories <= k:
            return Selection.everything(dense_BChw.shape[0], text.num_categories, dense_BChw.device)
        return Selection.top_k(max_cosine(dense_BChw, text.source_TPC), k, keep_BT)
