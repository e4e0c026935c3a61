"""Category early rejection: a cheap first head, and the rule that keeps a category."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ovss.selection import highest


def best_somewhere(logits_Khw: Tensor, k: int) -> Tensor:
    """Indices of the categories that are among the best `k` of at least one cell, ascending.

    Their number is read, so that a GPU is waited for once.
    """
    count = logits_Khw.shape[0]
    best_Nk = highest(logits_Khw.flatten(1).T, k)
    keep_K = torch.zeros(count + k, dtype=torch.bool, device=logits_Khw.device)
    keep_K.index_fill_(0, best_Nk.flatten(), True)
    return keep_K[:count].nonzero()[:, 0]


class EmbeddedHead:
    """Computes `head(embed(x))` without computing the embedding.

    Both are convolutions with nothing between them, and the head has one output channel. Each tap
    of the head is therefore merged with the embedding into one kernel. `F.fold` then adds the taps
    at their positions and drops those outside the grid, which equals the zero padding between the
    two convolutions. In SED this computes 9 channels instead of 128, a fourteenth of the products.

    Args:
        embed: convolution with an odd kernel side and padding that keeps the size.
        head: convolution with one output channel, an odd kernel side and the same kind of padding.
    """

    def __init__(self, embed: nn.Conv2d, head: nn.Conv2d) -> None:
        # Flipped because fold scatters taps, while a convolution gathers them.
        weight_Dyx = head.weight[0].flip(1, 2)
        self.side, self.padding, self.bias = weight_Dyx.shape[-1], embed.padding, head.bias
        self.kernel = torch.einsum("dyx,dphw->yxphw", weight_Dyx, embed.weight).flatten(0, 1)
        self.offset = torch.einsum("dyx,d->yx", weight_Dyx, embed.bias).flatten()

    def __call__(self, x_NPhw: Tensor) -> Tensor:
        """Computes the head's logits: (N, P, h, w) -> (N, h, w)."""
        taps_NMhw = F.conv2d(x_NPhw, self.kernel, self.offset, padding=self.padding)
        size = (taps_NMhw.shape[2], taps_NMhw.shape[3])
        folded = F.fold(taps_NMhw.flatten(2), size, self.side, padding=self.side // 2)
        return folded.squeeze(1) + self.bias
