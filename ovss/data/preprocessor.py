"""Pre-processor of batches, between the data loader and the segmentor."""

from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional

from ovss import distributed
from ovss.io.option_values import check_range
from ovss.selection import IGNORE


@MODELS.register_module()
class OpenVocabPreProcessor(BaseDataPreprocessor):
    """Moves a batch to the device; stacks it in training and keeps separate images in testing.

    Pixels are not normalised here because the encoder does that. In training, the size and the
    vocabulary of a batch are computed over all ranks, so they do not depend on their number.

    Args:
        pad_value: value of pixels that are added at the right and bottom if training crops differ
            in size; 128 as in CAT-Seg's recipe. Their label is IGNORE.
        bgr_to_rgb: True if images come from mmcv's loader; the datasets of ovss return RGB.
        sample_words: largest number of categories in a training batch; None: all. Categories with
            pixels always stay and a random choice of the others fills the rest. The cost of a step
            then does not depend on the size of the vocabulary, and the batch still contains easy
            negatives, which a selector of the hardest categories would remove.

    Raises:
        ValueError: `sample_words` below 1, or a pixel value outside 0..255.
    """

    def __init__(
        self, pad_value: int = 128, bgr_to_rgb: bool = False, sample_words: int | None = None
    ) -> None:
        super().__init__()
        check_range("data_preprocessor", 0, 255, pad_value=pad_value)
        if sample_words is not None:
            check_range("data_preprocessor", 1, sample_words=sample_words)
        self.pad_value, self.bgr_to_rgb = pad_value, bgr_to_rgb
        self.sample_words = sample_words

    def forward(self, data: dict, training: bool = False) -> dict:
        """Pre-processes a batch.

        Args:
            data: batch from the data loader, with `inputs` and `data_samples`.
            training: True to stack, pad and sample categories.

        Returns:
            `inputs` as a list of (3, H, W) in testing or as (B, 3, H, W) in training, and
            `data_samples`.
        """
        data = self.cast_data(data)
        images, samples = list(data["inputs"]), data.get("data_samples")
        if self.bgr_to_rgb:
            images = [image_3HW.flip(0) for image_3HW in images]
        if not training:
            return {"inputs": images, "data_samples": samples}
        sizes = [image_3HW.shape[1:] for image_3HW in images]
        height, width = distributed.all_max([max(side) for side in zip(*sizes)])
        inputs = torch.stack([_pad(i, height, width, self.pad_value) for i in images])
        for sample in samples or ():
            labels = sample.gt_sem_seg.data
            if labels.shape[1:] != (height, width):
                del sample.gt_sem_seg.data
                sample.gt_sem_seg.data = _pad(labels, height, width, IGNORE)
        if self.sample_words is not None and samples:
            narrow_vocabulary(samples, self.sample_words)
        return {"inputs": inputs, "data_samples": samples}


def narrow_vocabulary(samples: list, limit: int) -> None:
    """Reduces the vocabulary of a batch in place: keeps categories with pixels, samples the rest.

    Args:
        samples: data samples with one vocabulary and labels of one size.
        limit: number of categories to keep; exceeded only if more categories have pixels.
    """
    names = samples[0].vocabulary
    labels_B1HW = torch.stack([sample.gt_sem_seg.data for sample in samples])
    keep_T = torch.zeros(len(names), dtype=torch.bool)
    keep_T[labels_B1HW[labels_B1HW != IGNORE].unique().cpu()] = True
    keep_T = distributed.all_any(keep_T)  # all ranks must keep the same categories
    absent = torch.nonzero(~keep_T).flatten()
    room = max(0, limit - int(keep_T.sum()))
    keep_T[absent[distributed.broadcast(torch.randperm(len(absent)))[:room]]] = True
    # a category's new index is the number of kept categories before it
    new_T = torch.where(keep_T, keep_T.cumsum(0) - 1, IGNORE).to(labels_B1HW.device)
    kept_names = tuple(name for name, keep in zip(names, keep_T.tolist()) if keep)
    for sample, labels_1HW in zip(samples, labels_B1HW):
        known_1HW = new_T[labels_1HW.clamp(min=0)]
        sample.gt_sem_seg.data = torch.where(labels_1HW == IGNORE, IGNORE, known_1HW)
        sample.set_metainfo({"vocabulary": kept_names})


def _pad(x: Tensor, height: int, width: int, value: int) -> Tensor:
    return functional.pad(x, (0, width - x.shape[2], 0, height - x.shape[1]), value=value)
