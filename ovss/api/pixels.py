"""Label map and scores of the pixels of one image."""

from __future__ import annotations

import numpy as np
import torch

from ovss.inference import best_labels
from ovss.layers.region_maps import COVERED
from ovss.segmentor import OpenVocabSegmentor
from ovss.selection import IGNORE
from ovss.structures import RegionScores, TextFeatures

from .prediction import category_maps
from .request import Request

__all__ = ["segment_pixels"]


@torch.inference_mode()
def segment_pixels(
    model: OpenVocabSegmentor,
    device: torch.device,
    rgb_HW3: np.ndarray,
    text: TextFeatures,
    request: Request,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Segments one image, or one tile of it.

    Args:
        model: model.
        device: device of the model.
        rgb_HW3: image, uint8.
        text: text features of ``request.queries``.
        request: categories and rules.

    Returns:
        Label map (H, W) with IGNORE for unknown, the score of each pixel (H, W), and the maps of
        all categories (T, H, W) or None, as the request asks.
    """
    height, width, count = *rgb_HW3.shape[:2], len(request.names)
    image_3HW = torch.from_numpy(rgb_HW3).to(device).permute(2, 0, 1)
    scores = model.scores(image_3HW, text)
    names_1HW, best_1HW = best_labels(scores, (height, width))
    labels_1HW = text.categories(names_1HW)
    unknown_1HW = (labels_1HW >= count) | (best_1HW < request.threshold)
    if isinstance(scores, RegionScores):
        unknown_1HW |= best_1HW < COVERED
    labels_HW = labels_1HW.masked_fill(unknown_1HW, IGNORE)[0].cpu().numpy()
    maps = category_maps(scores, rgb_HW3.shape[:2], count) if request.probabilities else None
    return labels_HW, best_1HW[0].float().cpu().numpy(), maps
