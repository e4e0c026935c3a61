"""Category early rejection: what it costs to find out, and who stays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def best_somewhere(logits_Khw: Tensor, k: int) -> Tensor:
    """(K,) bool: the categories that are among the best `k` of at least one cell."""
    flat_NK = logits_Khw.flatten(1).T
    best_Nk = flat_NK.topk(min(k, len(logits_Khw)), dim=1).indices
    keep_K = torch.zeros(len(logits_Khw), dtype=torch.bool, device=logits_Khw.device)
    keep_K[best_Nk.flatten()] = True
    return keep_K


class EmbeddedHead:
    """`head(embed(x))` without the embedding.

    Nothing stands between the two convolutions, and the head has one output channel: each of its
    taps and the embedding are one kernel, and the head's taps are added where they fall. Cells
    outside the grid are left out, as zero padding between the two does. In SED, 9 channels are
    computed instead of 128: a fourteenth of the products.

    Args:
        embed: convolution of odd side, padded to keep the size.
        head: convolution with one output channel and odd side, padded alike.
    """

    def __init__(self, embed: nn.Conv2d, head: nn.Conv2d) -> None:
        weight_Dyx = head.weight[0].flip(1, 2)
        self.side, self.padding, self.bias = weight_Dyx.shape[-1], embed.padding, head.bias
        self.kernel = torch.einsum("dyx,dphw->yxphw", weight_Dyx, embed.weight).flatten(0, 1)
        self.offset = torch.einsum("dyx,d->yx", weight_Dyx, embed.bias).flatten()

    def __call__(self, x_NPhw: Tensor) -> Tensor:
        """(N, P, h, w) -> (N, h, w)."""
        taps_NMhw = F.conv2d(x_NPhw, self.kernel, self.offset, padding=self.padding)
        size = (taps_NMhw.shape[2], taps_NMhw.shape[3])
        folded = F.fold(taps_NMhw.flatten(2), size, self.side, padding=self.side // 2)
        return folded.squeeze(1) + self.bias
