"""Predictions as images: input, ground truth and prediction side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from PIL import Image

from ovss.io.drawing import LegendEntry, add_legend, overlay, palette
from ovss.io.files import write_atomic
from ovss.structures import IGNORE

_READABLE = 288  # height in pixels; smaller images are enlarged


@HOOKS.register_module()
class ImageHook(Hook):
    """Saves sheets of image, ground truth and prediction during validation and testing.

    Args:
        count: number of images, spread evenly over the dataset.
        folder: output folder, relative to the working directory or absolute.
    """

    def __init__(self, count: int = 6, folder: str = "images") -> None:
        self.count, self.folder = count, folder
        self.drawn = 0

    def before_val_epoch(self, runner: Runner) -> None:
        """Chooses the images of this validation and their folder."""
        self._start(runner, runner.val_dataloader, f"iter_{runner.iter:06d}")

    def before_test_epoch(self, runner: Runner) -> None:
        """Chooses the images of this test and their folder."""
        self._start(runner, runner.test_dataloader, "test")

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence
    ) -> None:
        """Draws the chosen images of a validation batch."""
        self._draw(data_batch, outputs)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence
    ) -> None:
        """Draws the chosen images of a test batch."""
        self._draw(data_batch, outputs)

    def _start(self, runner: Runner, loader: Any, name: str) -> None:
        self.place = Path(runner.work_dir) / self.folder / name
        self.every, self.drawn = max(1, len(loader.dataset) // max(self.count, 1)), 0
        self.position, self.meta = 0, loader.dataset.metainfo

    @master_only
    def _draw(self, data_batch: dict, outputs: Sequence) -> None:
        for image_3HW, sample in zip(data_batch["inputs"], outputs):
            if self.position % self.every == 0 and self.drawn < self.count:
                image_HW3 = image_3HW.permute(1, 2, 0).cpu().numpy()
                sheet = comparison(image_HW3, sample, self.meta)
                path = self.place / f"{Path(sample.img_path).stem}.png"
                write_atomic(path, partial(sheet.save, format="PNG"))
                self.drawn += 1
            self.position += 1


def comparison(
    image_HW3: np.ndarray, sample: Any, meta: Mapping[str, Any] | None = None
) -> Image.Image:
    """Draws image, ground truth (if any) and prediction side by side, above a legend.

    Args:
        image_HW3: RGB image (uint8) as the model received it.
        sample: mmseg SegDataSample with `pred_sem_seg` and `vocabulary`.
        meta: metainfo of the dataset: `classes` of the ground truth, their `palette`, and
            `word_class` if categories have to be mapped to classes. None: ground truth and
            prediction both index the vocabulary.
    """
    from .metric import to_classes

    meta = meta or {}
    # one color more than there are names: the last one marks ignored pixels
    names = meta.get("classes", sample.vocabulary)
    colors_T3 = np.array(meta.get("palette", palette(len(names))), np.uint8)
    colors_T3 = np.concatenate([colors_T3, np.full((1, 3), 40, np.uint8)])
    categories_HW = sample.pred_sem_seg.data[0]
    predicted_HW = to_classes(categories_HW, meta.get("word_class")).cpu().numpy()
    height, width = predicted_HW.shape
    image = Image.fromarray(image_HW3.astype(np.uint8)).resize((width, height))
    maps = [predicted_HW]
    if "gt_sem_seg" in sample:
        labels_HW = sample.gt_sem_seg.data[0].cpu().numpy()
        maps.insert(0, np.where(labels_HW == IGNORE, len(names), labels_HW))
    panels = [image, *(overlay(np.array(image), m, colors_T3, opacity=0.75) for m in maps)]
    factor = max(1, _READABLE // height)
    width, height = width * factor, height * factor
    panels = [panel.resize((width, height), Image.Resampling.NEAREST) for panel in panels]
    sheet = Image.new("RGB", (width * len(panels) + 4 * (len(panels) - 1), height), "white")
    for i, panel in enumerate(panels):
        sheet.paste(panel, (i * (width + 4), 0))
    *true_T1, shares_T1 = (np.bincount(m.ravel(), minlength=len(names) + 1) / m.size for m in maps)
    labelled = [*names, "not labelled"]
    if true_T1:
        labelled = [f"{n}: true {t:.1%}, predicted" for n, t in zip(labelled, true_T1[0])]
    entries = [
        LegendEntry(labelled[i], tuple(colors_T3[i].tolist()), shares_T1[i])
        for i in np.flatnonzero(np.sum([*true_T1, shares_T1], axis=0))
    ]
    return add_legend(sheet, entries)
