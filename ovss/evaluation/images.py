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
from PIL import Image, ImageDraw

from ovss.drawing.colors import INK, PAPER, palette
from ovss.drawing.fonts import displayable
from ovss.drawing.legend import LegendEntry, add_legend, font_size
from ovss.drawing.overlay import overlay
from ovss.drawing.text import draw_text
from ovss.io.files import write_atomic
from ovss.io.outputs import save_png
from ovss.structures import IGNORE
from ovss.vocabularies.seen import seen_mask

_READABLE = 288  # height in pixels; smaller images are enlarged
_GAP = 4  # px between panels


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
        self.stems: dict[str, int] = {}

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
        self.stems = {}

    @master_only
    def _draw(self, data_batch: dict, outputs: Sequence) -> None:
        for image_3HW, sample in zip(data_batch["inputs"], outputs):
            if self.position % self.every == 0 and self.drawn < self.count:
                image_HW3 = image_3HW.permute(1, 2, 0).cpu().numpy()
                sheet = comparison(image_HW3, sample, self.meta)
                write_atomic(self._path(sample.img_path), partial(save_png, sheet))
                self.drawn += 1
            self.position += 1

    def _path(self, image: str) -> Path:
        """Path of an image's sheet; images of one name in several folders get a number."""
        stem = Path(image).stem
        number = self.stems[stem.lower()] = self.stems.get(stem.lower(), 0) + 1
        return self.place / (f"{stem}.png" if number == 1 else f"{stem}_{number}.png")


def comparison(
    image_HW3: np.ndarray, sample: Any, meta: Mapping[str, Any] | None = None
) -> Image.Image:
    """Draws image, ground truth (if any) and prediction side by side, with titles and a legend.

    If the metainfo names unseen classes, the legend says of every class whether it was seen in
    training.

    Args:
        image_HW3: RGB image (uint8) as the model received it.
        sample: mmseg SegDataSample with `pred_sem_seg` and `vocabulary`.
        meta: metainfo of the dataset: `classes` of the ground truth, their `palette`, the names of
            the `seen` ones, and `word_class` if categories have to be mapped to classes. None:
            ground truth and prediction both index the vocabulary.
    """
    from .metric import to_classes

    meta = meta or {}
    names = tuple(meta.get("classes", sample.vocabulary))
    colors_T3 = np.array(meta.get("palette", palette(len(names))), np.uint8)
    # one color more than there are names: the last one marks ignored pixels
    colors_T3 = np.concatenate([colors_T3, np.full((1, 3), 40, np.uint8)])
    categories_HW = sample.pred_sem_seg.data[0]
    maps = {"prediction": to_classes(categories_HW, meta.get("word_class")).cpu().numpy()}
    if "gt_sem_seg" in sample:
        labels_HW = sample.gt_sem_seg.data[0].cpu().numpy()
        maps = {"ground truth": np.where(labels_HW == IGNORE, len(names), labels_HW), **maps}
    height, width = maps["prediction"].shape
    image = Image.fromarray(image_HW3.astype(np.uint8)).resize((width, height))
    panels = {"image": image}
    for title, map_HW in maps.items():
        panels[title] = overlay(np.array(image), map_HW, colors_T3, opacity=0.75)
    labelled = [*_marked(names, meta.get("seen")), "not labelled"]
    return add_legend(_panels(panels), _legend(labelled, list(maps.values()), colors_T3))


def _panels(panels: Mapping[str, Image.Image]) -> Image.Image:
    """Images of one size in a row, each below its title."""
    width, height = next(iter(panels.values())).size
    factor = max(1, _READABLE // height)
    width, height = width * factor, height * factor
    size = font_size(width, height)
    strip = round(size * 1.6)
    sheet = Image.new("RGB", ((width + _GAP) * len(panels) - _GAP, height + strip), PAPER)
    for i, (title, panel) in enumerate(panels.items()):
        head = Image.new("RGB", (width, strip), PAPER)
        draw_text(ImageDraw.Draw(head), size // 4, strip / 2, title, size, INK)
        sheet.paste(head, (i * (width + _GAP), 0))
        enlarged = panel.resize((width, height), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (i * (width + _GAP), strip))
    return sheet


def _marked(names: Sequence[str], seen: Sequence[str] | None) -> list[str]:
    """Names that fonts can show, with "seen" or "unseen" if some class is unseen."""
    labels = [displayable(name, f"class {i}") for i, name in enumerate(names)]
    if seen is None:
        return labels
    marks_T = seen_mask(names, seen)
    if marks_T.all():
        return labels
    return [f"{name} ({'seen' if mark else 'unseen'})" for name, mark in zip(labels, marks_T)]


def _legend(
    names: Sequence[str], maps: Sequence[np.ndarray], colors_T3: np.ndarray
) -> list[LegendEntry]:
    """Entries of the classes in the label maps: ground truth, if there is one, and prediction."""
    *true_T1, shares_T1 = (np.bincount(m.ravel(), minlength=len(names)) / m.size for m in maps)
    if true_T1:
        names = [f"{n}: true {t:.1%}, predicted" for n, t in zip(names, true_T1[0])]
    return [
        LegendEntry(names[i], tuple(colors_T3[i].tolist()), shares_T1[i])
        for i in np.flatnonzero(np.sum([*true_T1, shares_T1], axis=0)).tolist()
    ]
