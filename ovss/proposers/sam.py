"""Automatic masks of Segment Anything as regions."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ovss.interfaces import Proposer
from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import excerpt, some_of
from ovss.io.names import printable
from ovss.io.option_values import check_range
from ovss.io.weight_files import read_weights
from ovss.registry import PROPOSERS
from ovss.structures import ImageFeatures, Proposals

from .binary import binary_proposals, nominal_masks, shapeless
from .extras import proposer_extra

USUAL = 50
"""Number of masks of an image when only costs are planned."""


@PROPOSERS.register_module()
class SAMProposer(Proposer):
    """Proposes the automatic masks of Segment Anything (arXiv 2304.02643; extra ``sam``).

    SAM is prompted with a grid of points. Its weights stay frozen. Masks may overlap, and some
    pixels may have none.

    Args:
        model: architecture, ``vit_b``, ``vit_l`` or ``vit_h``.
        checkpoint: local weights file of this architecture, in the authors' layout; None for random
            weights.
        points_per_side: number of points along each side of the image.
        points_per_batch: number of points decoded at once, which bounds the memory.
        min_quality: smallest quality that SAM predicts for a mask that is kept.
        min_stability: smallest overlap of a mask with itself under another threshold.
        max_overlap: largest overlap of the boxes of two masks that are kept.
        min_area: parts and holes with fewer pixels are removed from the masks.

    Raises:
        FileNotFoundError: a checkpoint that does not exist.
        ImportError: segment-anything is not installed.
        ValueError: an unknown model, an argument out of range, or weights of another architecture.
    """

    external = ("checkpoint",)

    def __init__(
        self,
        model: str = "vit_b",
        checkpoint: str | None = None,
        points_per_side: int = 32,
        points_per_batch: int = 64,
        min_quality: float = 0.88,
        min_stability: float = 0.95,
        max_overlap: float = 0.7,
        min_area: int = 0,
    ) -> None:
        super().__init__()
        counts = dict(points_per_side=points_per_side, points_per_batch=points_per_batch)
        check_range("SAMProposer", 1, **counts)
        shares = dict(min_quality=min_quality, min_stability=min_stability, max_overlap=max_overlap)
        check_range("SAMProposer", 0, 1, **shares)
        check_range("SAMProposer", 0, min_area=min_area)
        package = proposer_extra("segment_anything", "sam", "SAMProposer")
        known = package.sam_model_registry
        if model not in known:
            raise ValueError(
                f"SAMProposer expects model of {', '.join(sorted(known))}, got {excerpt(model)}. "
                f"Choose the architecture of your checkpoint."
            )
        self.sam = known[model]()
        if checkpoint is not None and not weights_are_deferred():
            _load(self.sam, checkpoint, model)
        self.sam.requires_grad_(False)
        self.generator = package.SamAutomaticMaskGenerator
        self.options = dict(
            **counts,
            pred_iou_thresh=min_quality,
            stability_score_thresh=min_stability,
            box_nms_thresh=max_overlap,
            min_mask_region_area=min_area,
        )

    def forward(self, features: ImageFeatures, image_B3HW: Tensor) -> Proposals:
        if shapeless(image_B3HW):
            return binary_proposals(nominal_masks(image_B3HW, USUAL), features)
        with torch.no_grad():
            masks = [self._masks(image_3HW) for image_3HW in image_B3HW]
        return binary_proposals(masks, features)

    def _masks(self, image_3HW: Tensor) -> Tensor:
        """Masks (Q, H, W) of one image, by descending quality."""
        rgb_HW3 = image_3HW.clamp(0, 255).round().permute(1, 2, 0).to("cpu", torch.uint8).numpy()
        found = self.generator(self.sam, **self.options).generate(rgb_HW3)
        found = sorted(found, key=lambda mask: -mask["predicted_iou"])
        none = image_3HW.new_zeros(0, *image_3HW.shape[1:], dtype=torch.bool)
        masks = [torch.from_numpy(mask["segmentation"])[None] for mask in found]
        return torch.cat([none, *(mask_1HW.to(none.device) for mask_1HW in masks)])


def _load(sam: torch.nn.Module, checkpoint: str, model: str) -> None:
    """Loads weights of the same architecture."""
    if not Path(checkpoint).is_file():
        raise FileNotFoundError(
            f"Checkpoint {printable(checkpoint)} of SAMProposer does not exist. Correct its path."
        )
    if next(sam.parameters()).is_meta:  # a config is checked, and nothing computed
        return
    tensors, _ = read_weights(checkpoint)
    own = {name: value.shape for name, value in sam.state_dict().items()}
    wrong = [name for name in own if name not in tensors or tensors[name].shape != own[name]]
    extra = [name for name in tensors if name not in own]
    if wrong or extra:
        raise ValueError(
            f"{checkpoint} expected weights of Segment Anything's {model}, but {len(wrong)} of its "
            f"{len(own)} tensors are missing or of another shape and {len(extra)} are unknown "
            f"({some_of([*wrong, *extra])}). Name the architecture of the checkpoint as model."
        )
    sam.load_state_dict(tensors)
