"""Connected parts of a mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor


def components(mask_HW: Tensor) -> list[Tensor]:
    """Parts that hang together by sides or corners, each a mask, in reading order."""
    count, parts = cv2.connectedComponents(mask_HW.to("cpu", torch.uint8).numpy(), connectivity=8)
    labels_HW = torch.from_numpy(parts.astype(np.int64)).to(mask_HW.device)
    return [labels_HW == part for part in range(1, count)]
