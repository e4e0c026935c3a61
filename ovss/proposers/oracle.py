"""Regions of the ground truth, for upper bounds."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.interfaces import Proposer
from ovss.layers.regions import connected_components
from ovss.registry import PROPOSERS
from ovss.structures import IGNORE, ImageFeatures, Proposals

from .binary import binary_proposals, nominal_masks, shapeless
from .current import current_labels

USUAL = 8
"""Number of regions of an image when only costs are planned."""


@PROPOSERS.register_module()
class OracleProposer(Proposer):
    """Proposes the regions of the ground truth: an upper bound, not a method.

    With perfect masks, what is still wrong is the fault of the embeddings and of the head. The
    proposer reads the masks of the label map only, never its categories.

    Args:
        connected: True for one region for each connected component, False for one region for each
            category of the label map.
    """

    reads_labels = True
    needs_whole_image = True

    def __init__(self, connected: bool = False) -> None:
        super().__init__()
        self.connected = connected

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        """
        Raises:
            LookupError: images without a label map.
        """
        if shapeless(image_B3HW):
            return binary_proposals(nominal_masks(image_B3HW, USUAL), features)
        labels = current_labels(image_B3HW.shape[0], "OracleProposer")
        return binary_proposals([self._regions(labels_HW) for labels_HW in labels], features)

    def _regions(self, labels_HW: Tensor) -> Tensor:
        """Masks (Q, H, W) of one label map."""
        value_Q = labels_HW.unique()
        mask_QHW = labels_HW == value_Q[value_Q != IGNORE][:, None, None]
        if not self.connected:
            return mask_QHW
        none = [mask_QHW[:0]]  # so that there is something to join
        parts = [part[None] for mask_HW in mask_QHW for part in connected_components(mask_HW)]
        return torch.cat(none + parts)
