"""From what the loader collated to what the segmentor takes."""

from __future__ import annotations

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional

from ovss import distributed
from ovss.selection import IGNORE


@MODELS.register_module()
class OpenVocabPreProcessor(BaseDataPreprocessor):
    """Moves a batch to the device; in training stacks it, at test leaves pictures as they are.

    Normalising is the encoder's, so nothing is subtracted here. In training, size and words are
    those of the batch of all processes together, however many there are.

    Args:
        pad_value: of pixels added at the right and bottom where training crops differ in size;
            128 as in CAT-Seg's recipe. Their label is IGNORE.
        sample_words: in training, a batch speaks of no more names than this: all that have a pixel,
            and a random choice of the others. A step then costs the same whatever the vocabulary,
            and still meets easy negatives, which a selector of the hardest would keep from it.
            None: all names.
        bgr_to_rgb: True where pictures come from mmcv's loader; the data sets here give RGB.
    """

    def __init__(
        self, pad_value: int = 128, bgr_to_rgb: bool = False, sample_words: int | None = None
    ) -> None:
        super().__init__()
        self.pad_value, self.bgr_to_rgb = pad_value, bgr_to_rgb
        self.sample_words = sample_words

    def forward(self, data: dict, training: bool = False) -> dict:
        """`inputs`: list of (3, H, W) at test, (B, 3, H, W) in training; `data_samples` with it."""
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
            narrow_words(samples, self.sample_words)
        return {"inputs": inputs, "data_samples": samples}


def narrow_words(samples: list, limit: int) -> None:
    """Cut the vocabulary of a batch down, in place: names with a pixel stay, others by lot.

    Args:
        samples: of one vocabulary, their labels of one size.
        limit: how many names; more only where more have a pixel.
    """
    names = samples[0].vocabulary
    labels_B1HW = torch.stack([sample.gt_sem_seg.data for sample in samples])
    keep_T = torch.zeros(len(names), dtype=torch.bool)
    keep_T[labels_B1HW[labels_B1HW != IGNORE].unique().cpu()] = True
    keep_T = distributed.all_any(keep_T)
    absent = torch.nonzero(~keep_T).flatten()
    room = max(0, limit - int(keep_T.sum()))
    keep_T[absent[distributed.broadcast(torch.randperm(len(absent)))[:room]]] = True
    new_T = torch.where(keep_T, keep_T.cumsum(0) - 1, IGNORE).to(labels_B1HW.device)
    words = tuple(name for name, keep in zip(names, keep_T.tolist()) if keep)
    for sample, labels_1HW in zip(samples, labels_B1HW):
        known_1HW = new_T[labels_1HW.clamp(min=0)]
        sample.gt_sem_seg.data = torch.where(labels_1HW == IGNORE, IGNORE, known_1HW)
        sample.set_metainfo({"vocabulary": words})


def _pad(x: Tensor, height: int, width: int, value: int) -> Tensor:
    return functional.pad(x, (0, width - x.shape[2], 0, height - x.shape[1]), value=value)
