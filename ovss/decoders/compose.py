"""Decoder of methods that compare regions: it composes masks and class logits of the proposals."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import Decoder
from ovss.io.excerpts import excerpt
from ovss.ops import at_least_single
from ovss.regions import OWNERSHIPS
from ovss.registry import DECODERS
from ovss.structures import RegionAlignment, RegionMasks

ABSENT = -1e4
"""Mask logit of an invalid proposal where proposals compete; finite, so that it can be resized."""


@DECODERS.register_module()
class ComposeDecoder(Decoder):
    """Composes the masks of the proposals and their class logits; without parameters.

    The share of a category in a proposal is a softmax over the kept categories and "no object". The
    score of a category at a pixel is the sum over the proposals of share times sigmoid of the mask.

    Args:
        merge_at_input: True to compute this sum at the size of the encoder's input and to resize
            the sums (SCAN, and FC-CLIP on datasets without panoptic evaluation); False to resize
            the mask logits first (SAN, EBSeg).
        ownership: weight of a proposal at a pixel instead of the sigmoid, a key of
            `ovss.regions.OWNERSHIPS`.

    Raises:
        ValueError: an unknown ownership.
    """

    reads = RegionAlignment
    gives = RegionMasks

    def __init__(self, merge_at_input: bool = False, ownership: str = "sigmoid") -> None:
        super().__init__()
        if ownership not in OWNERSHIPS:
            raise ValueError(
                f"ComposeDecoder.ownership must be one of {', '.join(OWNERSHIPS)}, got "
                f"{excerpt(ownership)}. Correct the value"
            )
        self.merge_at_input, self.ownership = merge_at_input, ownership
        # where proposals compete, an invalid one must lose everywhere
        self.absent = 0.0 if ownership == "sigmoid" else ABSENT

    def forward(self, aligned: RegionAlignment) -> RegionMasks:
        proposals, selection = aligned.features.proposals, aligned.selection
        if proposals is None:
            raise ValueError("ComposeDecoder expects ImageFeatures.proposals, got none.")
        share_BKQ = shares(
            aligned.logits_BKQ, aligned.void_BQ, selection.valid_BK, proposals.valid_BQ
        )
        if proposals.objectness_BQ is not None:
            object_BQ = proposals.objectness_BQ.masked_fill(~proposals.valid_BQ, 0.0)
            share_BKQ = share_BKQ * object_BQ[:, None]
        # an invalid proposal may hold anything, also NaN, which a share of 0 would not remove
        mask_BQhw = proposals.mask_BQhw.masked_fill(
            ~proposals.valid_BQ[:, :, None, None], self.absent
        )
        return RegionMasks(
            share_BKQ,
            mask_BQhw,
            selection,
            proposals.padding,
            self.merge_at_input,
            self.ownership,
            aligned if self.training else None,
        )


def shares(
    logits_BKQ: Tensor, void_BQ: Tensor | None, valid_BK: Tensor, valid_BQ: Tensor
) -> Tensor:
    """Share (B, K, Q) of each category in each proposal.

    Args:
        logits_BKQ: logit of each category for each proposal.
        void_BQ: logit of "no object"; None: see `RegionAlignment`.
        valid_BK: False in padding slots, whose share is 0.
        valid_BQ: False for proposals that do not take part, whose shares are 0.

    >>> yes = torch.tensor([[True]])
    >>> shares(torch.zeros(1, 1, 1), torch.zeros(1, 1), yes, yes).item()
    0.5
    """
    takes_part_BKQ = valid_BK[:, :, None] & valid_BQ[:, None]
    logits_BKQ = at_least_single(logits_BKQ).masked_fill(~takes_part_BKQ, -torch.inf)
    if void_BQ is None:
        return logits_BKQ.exp()
    # a void of an invalid proposal may be anything, and must not make NaN of a row of -inf
    void_BQ = void_BQ.to(logits_BKQ).masked_fill(~valid_BQ, 0.0)
    return torch.cat([logits_BKQ, void_BQ[:, None]], dim=1).softmax(1)[:, :-1]
