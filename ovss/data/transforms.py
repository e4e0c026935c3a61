"""Transforms that mmcv and mmseg lack, or do otherwise than the methods here need."""

from __future__ import annotations

import mmcv
import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from PIL import Image

_META = ("img_path", "img_shape", "ori_shape", "vocabulary")


@TRANSFORMS.register_module()
class ShortestEdge(BaseTransform):
    """Scale so that the short edge has `size` pixels and the long one no more than `max_size`.

    The picture is resized bilinearly with anti-aliasing, as detectron2's mapper does (mmseg's
    ResizeShortestEdge does not anti-alias), labels by the nearest pixel centre.

    Args:
        size: of the short edge, in pixels.
        max_size: bound of the long edge, in pixels.
        labels: False leaves the labels as they are: predictions are scored at full size.
        antialias: False takes the nearest pixels only when it shrinks, as mmcv does.
    """

    def __init__(
        self, size: int, max_size: int, labels: bool = True, antialias: bool = True
    ) -> None:
        self.size, self.max_size = size, max_size
        self.labels, self.antialias = labels, antialias

    def transform(self, results: dict) -> dict:
        height, width = results["img"].shape[:2]
        scale = min(self.size / min(height, width), self.max_size / max(height, width))
        shape = (int(height * scale + 0.5), int(width * scale + 0.5))
        if self.antialias:
            picture = Image.fromarray(results["img"])
            results["img"] = np.array(picture.resize(shape[::-1], Image.Resampling.BILINEAR))
        else:
            results["img"] = mmcv.imresize(results["img"], shape[::-1])
        results["img_shape"] = shape
        if self.labels:
            for key in results["seg_fields"]:
                results[key] = resize_labels(results[key], shape)
        return results


@TRANSFORMS.register_module()
class PackSample(BaseTransform):
    """Into what the pre-processor takes: `inputs`, a uint8 (3, H, W) RGB tensor, and
    `data_samples`, an mmseg SegDataSample with `gt_sem_seg` (1, H, W) int64 and, as metainfo,
    `img_path`, `img_shape`, `ori_shape` and `vocabulary`.
    """

    def transform(self, results: dict) -> dict:
        sample = SegDataSample(metainfo={key: results[key] for key in _META})
        if "gt_seg_map" in results:
            labels_HW = torch.from_numpy(results["gt_seg_map"].astype(np.int64))
            sample.gt_sem_seg = PixelData(data=labels_HW[None])
        image_3HW = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image_3HW), "data_samples": sample}


def resize_labels(labels_HW: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Labels at another (height, width), each from the pixel under its centre; any int type.

    >>> resize_labels(np.array([[-1, 300]]), (2, 4)).tolist()
    [[-1, -1, 300, 300], [-1, -1, 300, 300]]
    """
    rows, columns = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.intp)
        for new, old in zip(shape, labels_HW.shape)
    )
    return labels_HW[rows[:, None], columns]
