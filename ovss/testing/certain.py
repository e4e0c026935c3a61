"""A scene without doubt: four quadrants, each certain of one category."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ovss.inference import dense_scores, segment_whole
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Masks, Scores, Selection, TextFeatures

from .report import LawError, component

SIDE = 96
"""Side of the scene in pixels."""

CERTAIN = 12.0
"""Logit of a certain category; minus it, of all others. Its sigmoid is 0.99999."""

COLOURS = ((230.0, 40.0, 40.0), (40.0, 230.0, 40.0), (40.0, 40.0, 230.0), (230.0, 230.0, 40.0))


def check_certain_scores(
    model: OpenVocabSegmentor,
    text: TextFeatures,
    certain: tuple[int, int, int, int],
    uncertain: tuple[int, ...],
) -> None:
    """Checks that post-processing leaves most of each quadrant to its category.

    Args:
        certain: category of each quadrant, row by row.
        uncertain: categories that are kept, but score nothing anywhere.

    Raises:
        LawError: another category takes half of a quadrant, or more.
    """
    scores = model.post_processor(_scores(model, text, certain, uncertain))
    labels_HW = model.label_map(scores, (SIDE, SIDE))
    quadrant_HW = _quadrants(SIDE, SIDE)
    for i, category in enumerate(certain):
        found_N = labels_HW[quadrant_HW == i]
        share = float((found_N == category).float().mean())
        if share <= 0.5:
            most = int(found_N.mode().values)
            raise LawError(
                component(model, "post_processor"),
                f"category {category} has a probability of almost 1 in a region, but keeps "
                f"{share:.0%} of its pixels; most become category {most}",
            )


def _scores(
    model: OpenVocabSegmentor,
    text: TextFeatures,
    certain: tuple[int, ...],
    uncertain: tuple[int, ...],
) -> Scores:
    """Scores of the scene before post-processing.

    The features of a cell are the text embedding of its category, and a quadrant has one colour,
    so that a post-processor that looks at either finds nothing to correct.
    """
    canvas_3HW = torch.tensor(COLOURS)[_quadrants(SIDE, SIDE)].permute(2, 0, 1)
    image = model.encoder.encode_image(canvas_3HW[None])
    category_Q = torch.tensor(certain)
    height, width = image.dense_BChw.shape[-2:]
    dense_hwC = text.mean_TC[category_Q[_quadrants(height, width)]]
    image = replace(image, dense_BChw=dense_hwC.permute(2, 0, 1)[None].to(image.dense_BChw))

    keep_1T = torch.zeros(1, len(text), dtype=torch.bool)
    keep_1T[0, [*certain, *uncertain]] = True
    selection = Selection.from_mask(keep_1T)
    labels_1HW = category_Q[_quadrants(SIDE // 2, SIDE // 2)][None]
    is_label_1KHW = selection.index_BK[:, :, None, None] == labels_1HW[:, None]
    logits_1KHW = torch.where(is_label_1KHW, CERTAIN, -CERTAIN)
    masks = Masks(logits_1KHW, selection)
    scores = segment_whole(canvas_3HW[None], text, lambda _: (image, masks), model.inference)
    return dense_scores(scores)


def _quadrants(height: int, width: int) -> Tensor:
    """(height, width) number of the quadrant, 0..3, row by row."""
    low_H1 = (torch.arange(height) >= height // 2)[:, None]
    right_1W = (torch.arange(width) >= width // 2)[None]
    return 2 * low_H1.long() + right_1W.long()
