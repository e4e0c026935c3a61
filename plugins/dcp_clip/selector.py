"""DynamicCategorySelector: keeps the categories that an image is likely to contain, eq. 1 to 5."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import Selector
from ovss.io.excerpts import excerpt
from ovss.registry import SELECTORS
from ovss.structures import ImageFeatures, Selection, TextFeatures

from .options import at_least, one_of
from .scores import CellScores, image_cosines, text_rows

_NAME = "DynamicCategorySelector"
SUPPRESS = ("one_minus", "hard_mask", "projection", "gate", "none")
IMAGE_SCORE = ("softmax", "softmax_maxnorm", "minmax_cos", "sigmoid")


@SELECTORS.register_module()
class DynamicCategorySelector(Selector):
    """Keeps a category that wins a cell after suppression or whose image score is high enough.

    The cells are decided by eq. 2-3 and the image score by eq. 4. An image keeps at most as many
    categories as it has cells, plus those above the threshold.

    Args:
        threshold: theta of eq. 4. A value of 0 or below keeps every category, which equals no
            selection; a value above 1 is an error.
        temperature: tau of eq. 1, CLIP's logit scale.
        suppress: eq. 2, the change of a cell's scores S_p by the image's scores S_cls.
            ``one_minus`` is S_p (1 - S_cls), ``gate`` is S_p S_cls, ``projection`` subtracts the
            component of S_p along S_cls, ``hard_mask`` lets no category above the threshold win a
            cell (it is kept in any case), ``none`` changes nothing.
        image_score: value that eq. 4 compares with the threshold. ``softmax`` is S_cls,
            ``softmax_maxnorm`` is S_cls divided by its maximum, ``minmax_cos`` scales the cosines
            to 0..1, ``sigmoid`` is the sigmoid of tau times the cosine minus its mean over the
            vocabulary.
        ensemble: average over the templates, ``mean_embed`` or ``mean_sim``, see
            `scores.text_rows`.
        min_patches: number of cells that a category must win to be kept. If no category would be
            kept at all, the one that wins most cells is.
        scope: ``view`` selects for every view and every image of a batch separately; ``batch``
            keeps a category for all of them if any of them keeps it.
        include_truth: use of ground truth in training, which keeps all categories that are present.
        random_negatives: number of random other categories kept in training.
        max_categories: limit of the number of kept categories, not counting random negatives; 0
            sets no limit. Ground truth comes first and is kept even beyond the limit, followed by
            the categories with the highest S_p at any cell.
        chunk: categories scored at a time.

    Raises:
        ValueError: an argument out of range.
    """

    def __init__(
        self,
        threshold: float = 0.5,
        temperature: float = 100.0,
        suppress: str = "one_minus",
        image_score: str = "softmax",
        ensemble: str = "mean_embed",
        min_patches: int = 1,
        scope: str = "view",
        include_truth: bool = True,
        random_negatives: int = 0,
        max_categories: int = 0,
        chunk: int = 512,
    ) -> None:
        super().__init__()
        if not threshold <= 1:
            raise ValueError(
                f"{_NAME} expects a threshold of at most 1, but got {excerpt(threshold)}. "
                "Use a value between 0 and 1; 0 keeps every category."
            )
        if not temperature > 0:
            raise ValueError(
                f"{_NAME} expects a temperature above 0, but got {excerpt(temperature)}. "
                "Use CLIP's logit scale, for example 100."
            )
        at_least(_NAME, 1, min_patches=min_patches, chunk=chunk)
        at_least(_NAME, 0, random_negatives=random_negatives, max_categories=max_categories)
        self.threshold = threshold
        self.temperature = temperature
        self.suppress = one_of(_NAME, "suppress", suppress, SUPPRESS)
        self.image_score = one_of(_NAME, "image_score", image_score, IMAGE_SCORE)
        self.ensemble = one_of(_NAME, "ensemble", ensemble, ("mean_embed", "mean_sim"))
        self.min_patches = min_patches
        self.scope = one_of(_NAME, "scope", scope, ("view", "batch"))
        self.include_truth = include_truth
        self.random_negatives = random_negatives
        self.max_categories = max_categories
        self.chunk = chunk

    @torch.no_grad()
    def forward(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None = None
    ) -> Selection:
        """Selects categories; `Selection.scores_BT` holds the image's scores S_cls."""
        batch, count = image.dense_BChw.shape[0], text.num_categories
        if self.threshold <= 0 or count == 1:
            return Selection.everything(batch, count, image.dense_BChw.device)
        with torch.autocast(image.dense_BChw.device.type, enabled=False):
            return self._select(image, text, keep_BT)

    def _select(
        self, image: ImageFeatures, text: TextFeatures, keep_BT: Tensor | None
    ) -> Selection:
        rows_TC = text_rows(text, self.ensemble)
        cells = CellScores(image, rows_TC, self.temperature, self.chunk)
        cosine_BT = image_cosines(image, rows_TC)
        image_BT = (self.temperature * cosine_BT).softmax(1)  # eq. 1
        above_BT = self._threshold_score(cosine_BT, image_BT) > self.threshold  # eq. 4
        best_BN = self._best(cells, image_BT, above_BT)  # eq. 2 and 3
        kept_BT = above_BT | self._winners(best_BN, above_BT)  # eq. 5
        truth_BT = torch.zeros_like(kept_BT)
        if self.training and self.include_truth and keep_BT is not None:
            truth_BT = keep_BT
        kept_BT = self._limit(kept_BT | truth_BT, truth_BT, cells)
        if self.training and self.random_negatives:
            kept_BT = kept_BT | self._random(kept_BT)
        if self.scope == "batch":
            kept_BT = kept_BT.any(0).expand(kept_BT.shape[0], -1)
        return Selection.from_mask(kept_BT, image_BT)

    def _threshold_score(self, cosine_BT: Tensor, image_BT: Tensor) -> Tensor:
        """Image score (B, T) that eq. 4 compares with the threshold."""
        if self.image_score == "softmax_maxnorm":
            return image_BT / image_BT.amax(1, keepdim=True)
        if self.image_score == "minmax_cos":
            low_B1, high_B1 = cosine_BT.amin(1, keepdim=True), cosine_BT.amax(1, keepdim=True)
            return (cosine_BT - low_B1) / (high_B1 - low_B1).clamp(min=1e-12)
        if self.image_score == "sigmoid":
            return (self.temperature * (cosine_BT - cosine_BT.mean(1, keepdim=True))).sigmoid()
        return image_BT

    def _best(self, cells: CellScores, image_BT: Tensor, above_BT: Tensor) -> Tensor:
        """Category (B, N) that wins each cell; -1 where none can."""
        if self.suppress == "projection":
            return cells.best_projected(image_BT)
        if self.suppress == "hard_mask":
            return cells.best_weighted(torch.zeros_like(image_BT).masked_fill(above_BT, -torch.inf))
        if self.suppress == "gate":
            tiny = torch.finfo(image_BT.dtype).tiny
            return cells.best_weighted(image_BT.clamp(min=tiny).log())
        if self.suppress == "one_minus":
            return cells.best_weighted(torch.log1p(-image_BT))
        return cells.best_weighted(None)

    def _winners(self, best_BN: Tensor, above_BT: Tensor) -> Tensor:
        """Mask (B, T) of the categories with enough cells.

        If nothing else is kept, it holds the category with most cells.
        """
        batch, count = above_BT.shape
        # An extra last column counts the cells without a winner.
        cells_BT1 = torch.zeros(batch, count + 1, dtype=torch.long, device=best_BN.device)
        slot_BN = torch.where(best_BN < 0, count, best_BN)
        cells_BT1.scatter_add_(1, slot_BN, torch.ones_like(slot_BN))
        cells_BT = cells_BT1[:, :-1]
        winners_BT = cells_BT >= self.min_patches
        nothing_B1 = ~(winners_BT | above_BT).any(1, keepdim=True)
        most_BT = torch.zeros_like(winners_BT).scatter_(1, cells_BT.argmax(1, keepdim=True), True)
        return winners_BT | (most_BT & nothing_B1)

    def _limit(self, kept_BT: Tensor, truth_BT: Tensor, cells: CellScores) -> Tensor:
        """Keeps at most `max_categories`, first ground truth, then the highest S_p."""
        if not self.max_categories or int(kept_BT.sum(1).max()) <= self.max_categories:
            return kept_BT
        # S_p lies in 0..1, so -1 ranks last and 2 ranks first.
        rank_BT = cells.highest().masked_fill(~kept_BT, -1).masked_fill(truth_BT, 2)
        top_BK = rank_BT.topk(torch.sym_min(self.max_categories, rank_BT.shape[1]), dim=1).indices
        top_BT = torch.zeros_like(kept_BT).scatter_(1, top_BK, True)
        return (top_BT & kept_BT) | truth_BT

    def _random(self, kept_BT: Tensor) -> Tensor:
        """Draws at most `random_negatives` of the categories that are not kept."""
        drawn_BT = torch.rand(kept_BT.shape, device=kept_BT.device).masked_fill(kept_BT, -1)
        top = drawn_BT.topk(min(self.random_negatives, kept_BT.shape[1]), dim=1)
        return torch.zeros_like(kept_BT).scatter_(1, top.indices, top.values >= 0)
