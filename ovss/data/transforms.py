"""Transforms that mmcv and mmseg lack or implement differently from the methods here."""

from __future__ import annotations

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

from ovss.io.option_values import check_range

_META = ("img_path", "img_shape", "ori_shape", "vocabulary")


@TRANSFORMS.register_module()
class ShortestEdge(BaseTransform):
    """Resizes so that the short edge has `size` pixels and the long edge at most `max_size`.

    Images are resized bilinearly with anti-aliasing, as in detectron2's mapper (mmseg's
    ResizeShortestEdge has no anti-aliasing). Labels are resized by the nearest pixel centre.

    Args:
        size: length of the short edge, in pixels.
        max_size: largest length of the long edge, in pixels.
        labels: False keeps the size of the labels because predictions are scored at full size.
        antialias: False disables anti-aliasing, as in mmcv.

    Raises:
        ValueError: a length below 1.
    """

    def __init__(
        self, size: int, max_size: int, labels: bool = True, antialias: bool = True
    ) -> None:
        check_range("ShortestEdge", 1, size=size, max_size=max_size)
        self.size, self.max_size = size, max_size
        self.labels, self.antialias = labels, antialias

    def transform(self, results: dict) -> dict:
        """Resizes `results["img"]` and, with `labels`, the label maps."""
        height, width = results["img"].shape[:2]
        scale = min(self.size / min(height, width), self.max_size / max(height, width))
        shape = (int(height * scale + 0.5), int(width * scale + 0.5))
        if self.antialias:
            image = Image.fromarray(results["img"])
            results["img"] = np.array(image.resize(shape[::-1], Image.Resampling.BILINEAR))
        else:
            results["img"] = mmcv.imresize(results["img"], shape[::-1])
        results["img_shape"] = shape
        if self.labels:
            for key in results["seg_fields"]:
                results[key] = resize_labels(results[key], shape)
        return results


@TRANSFORMS.register_module()
class PackSample(BaseTransform):
    """Packs a sample into the input of the pre-processor.

    `inputs` is a uint8 (3, H, W) RGB tensor. `data_samples` is an mmseg SegDataSample with
    `gt_sem_seg` (1, H, W) int64 and the metainfo `img_path`, `img_shape`, `ori_shape` and
    `vocabulary`.
    """

    def transform(self, results: dict) -> dict:
        """Returns `inputs` and `data_samples`."""
        sample = SegDataSample(metainfo={key: results[key] for key in _META})
        if "gt_seg_map" in results:
            labels_HW = torch.from_numpy(results["gt_seg_map"].astype(np.int64))
            sample.gt_sem_seg = PixelData(data=labels_HW[None])
        image_3HW = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image_3HW), "data_samples": sample}


def resize_labels(labels_HW: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resizes a label map; each pixel takes the value of the old pixel under its centre.

    Args:
        labels_HW: labels of any integer type.
        shape: new (height, width).

    >>> resize_labels(np.array([[-1, 300]]), (2, 4)).tolist()
    [[-1, -1, 300, 300], [-1, -1, 300, 300]]
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
        for new, old in zip(shape, labels_HW.shape)
    )
    return labels_HW[rows[:, None], columns]
