"""GroupHead: categories of groups, gated by the whole image, with a background category."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.interfaces import AlignmentHead
from ovss.io.option_values import check_range
from ovss.registry import HEADS
from ovss.structures import (
    ImageFeatures,
    Proposals,
    RegionAlignment,
    Selection,
    TextFeatures,
    Vocabulary,
    split_synonyms,
)

__all__ = ["GroupHead"]


@HEADS.register_module()
class GroupHead(AlignmentHead):
    """Compares proposals with categories as GroupViT does (CVPR 2022, section 3.4 and its code).

    The share of a category in a group is a product of two probabilities: a softmax over all
    categories of the vocabulary, and a softmax over those few that fit the image as a whole best.
    Both are made of cosines times a learned factor.

    If the vocabulary has the category `background`, it is not compared. A group belongs to it if
    its best share is below `threshold`, or below the best share of the image if that is smaller.
    Each view is judged by itself, as in the authors' code.

    In training, the logits are the scaled cosines, without gate and background.

    Args:
        joint_dim: C, the number of channels of the embeddings.
        scale: first value of the factor from cosines to logits.
        max_scale: upper bound of the factor.
        gate: number of categories that the image as a whole admits; 0 for all.
        background: first synonym of the background category, in upper or lower case; empty for
            none.
        threshold: smallest share of a group that is not background. The authors use 0.95 on PASCAL
            VOC and COCO-Object, and 0.35 on PASCAL-Context.
    """

    needs_proposals = True
    proposal_sources = 1
    gives = RegionAlignment

    def __init__(
        self,
        joint_dim: int,
        scale: float = 1 / 0.07,
        max_scale: float = 100.0,
        gate: int = 5,
        background: str = "background",
        threshold: float = 0.95,
    ) -> None:
        super().__init__()
        check_range("GroupHead", 1, joint_dim=joint_dim)
        check_range("GroupHead", 0, gate=gate)
        check_range("GroupHead", 1e-6, scale=scale, max_scale=max_scale)
        check_range("GroupHead", 0, 1, threshold=threshold)
        self.joint_dim, self.max_scale, self.gate = joint_dim, max_scale, gate
        self.background, self.threshold = background.lower(), threshold
        self.log_scale = nn.Parameter(torch.tensor(scale).log())
        self._places: dict[Vocabulary, int | None] = {}

    def forward(
        self, image: ImageFeatures, text: TextFeatures, selection: Selection
    ) -> RegionAlignment:
        """
        Raises:
            ValueError: features without proposals.
        """
        proposals = image.proposals
        if proposals is None:
            raise ValueError(
                "GroupHead expects ImageFeatures.proposals, got none. Use GroupViTEncoder, or wrap "
                "the encoder in WithProposals."
            )
        unit_TC = F.normalize(text.trained_mean_TC.float(), dim=1)
        if self.training:
            return self._cosines(proposals, image, text, unit_TC, selection)
        logits_BTQ = self._logits(proposals, unit_TC)
        share_BKQ = self._shares(image, proposals, unit_TC, logits_BTQ, text, selection)
        return RegionAlignment(share_BKQ.log(), None, image, text, selection)

    def _logits(self, proposals: Proposals, unit_TC: Tensor) -> Tensor:
        """Scaled cosines (B, T, Q) of all categories."""
        embed_BQC = F.normalize(proposals.embed_BQSC[:, :, 0].float(), dim=2)
        scale = self.log_scale.exp().clamp(max=self.max_scale)
        return scale * (unit_TC @ embed_BQC.transpose(1, 2))

    def _cosines(
        self,
        proposals: Proposals,
        image: ImageFeatures,
        text: TextFeatures,
        unit_TC: Tensor,
        selection: Selection,
    ) -> RegionAlignment:
        """Scaled cosines of the kept categories, for the losses; also of earlier layers."""
        logits_BKQ = _kept(self._logits(proposals, unit_TC), selection)
        void_BQ = torch.full_like(logits_BKQ[:, 0], -torch.inf)
        earlier = tuple(
            self._cosines(layer, image, text, unit_TC, selection) for layer in proposals.earlier
        )
        return RegionAlignment(logits_BKQ, void_BQ, image, text, selection, earlier=earlier)

    def _shares(
        self,
        image: ImageFeatures,
        proposals: Proposals,
        unit_TC: Tensor,
        logits_BTQ: Tensor,
        text: TextFeatures,
        selection: Selection,
    ) -> Tensor:
        """Shares (B, K, Q) of the kept categories."""
        ground = self._place(text.vocabulary)
        compared_BK = selection.valid_BK
        if ground is not None:
            compared_BK = compared_BK & (selection.index_BK != ground)
            every_T = torch.arange(unit_TC.shape[0], device=unit_TC.device)
            logits_BTQ = logits_BTQ.masked_fill((every_T == ground)[:, None], -torch.inf)
        kept_BKQ = _kept(logits_BTQ, selection)
        kept_BKQ = kept_BKQ.masked_fill(~compared_BK[:, :, None], -torch.inf)
        whole_BKQ = (kept_BKQ - logits_BTQ.logsumexp(1, keepdim=True)).exp()
        pooled_BC = F.normalize(image.pooled_BC.float(), dim=1)
        fit_BK = (selection.gather(unit_TC) @ pooled_BC[:, :, None])[..., 0]
        fit_BK = fit_BK.masked_fill(~compared_BK, -torch.inf)
        gated_BKQ = kept_BKQ.masked_fill(~self._admitted(fit_BK)[:, :, None], -torch.inf)
        share_BKQ = (gated_BKQ.softmax(1) * whole_BKQ).nan_to_num(0.0)
        if ground is None:
            return share_BKQ
        best_BQ = share_BKQ.amax(1).masked_fill(~proposals.valid_BQ, 0.0)
        limit_B1 = best_BQ.amax(1, keepdim=True).clamp(max=self.threshold)
        is_ground_BKQ = (selection.index_BK == ground)[:, :, None] & selection.valid_BK[:, :, None]
        return torch.where(is_ground_BKQ, (best_BQ < limit_B1)[:, None].to(share_BKQ), share_BKQ)

    def _admitted(self, fit_BK: Tensor) -> Tensor:
        """True for the categories that fit the image best, bool (B, K)."""
        count = fit_BK.shape[1]
        if not self.gate or self.gate >= count:
            return fit_BK > -torch.inf
        top_BG = fit_BK.topk(self.gate, dim=1).indices
        chosen_BK = torch.zeros_like(fit_BK, dtype=torch.bool).scatter_(1, top_BG, True)
        return chosen_BK & (fit_BK > -torch.inf)

    def _place(self, vocabulary: Vocabulary | None) -> int | None:
        """Index of the background category; None if the vocabulary has none."""
        if vocabulary is None or not self.background:
            return None
        if vocabulary not in self._places:
            labels = [(split_synonyms(name.lower()) or (name,))[0] for name in vocabulary.names]
            place = labels.index(self.background) if self.background in labels else None
            # a vocabulary of the background alone has nothing to compare
            self._places = {vocabulary: place if len(labels) > 1 else None}
        return self._places[vocabulary]


def _kept(logits_BTQ: Tensor, selection: Selection) -> Tensor:
    """Logits (B, K, Q) of the kept categories."""
    index_BKQ = selection.index_BK[:, :, None].expand(-1, -1, logits_BTQ.shape[2])
    return logits_BTQ.gather(1, index_BKQ)
