"""Outputs of a device compared with those of a CPU, for each precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ovss.benchmark.arguments import random_model
from ovss.benchmark.stand_ins import device_of, numbered_names, random_text
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import RegionScores, Scores, TextFeatures
from ovss.testing import make_images

from .plan import PRECISIONS, CheckPlan

NAMES = 20
"""Names of the vocabulary of a comparison, few enough to hold a map of each."""


@contextmanager
def precision(name: str, device: torch.device) -> Iterator[None]:
    """Context in which models compute in a precision of `PRECISIONS`."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = name == "tf32"
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(name)
    try:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def compared(name: str, plan: CheckPlan) -> dict[str, Any]:
    """Differences of a method's outputs from those of a CPU in single precision.

    Returns:
        For each precision the share of pixels with another label, and the largest difference of a
        score, which is None for methods that compare regions; or the error that it caused.
    """
    _, model = random_model(name, None, "cpu")
    model.eval()
    height, width = plan.size
    image_3HW = make_images(1, max(height, width))[0, :, :height, :width]
    text = random_text(model, numbered_names(NAMES))
    reference = outputs(model, image_3HW, text)
    device = torch.device(plan.device)
    model.to(device)
    results: dict[str, Any] = {}
    for kind in PRECISIONS:
        try:
            with precision(kind, device):
                found = outputs(model, image_3HW, moved(text, device))
            results[kind] = difference(reference, found)
        except Exception as error:  # the other precisions are still worth knowing
            results[kind] = {"error": f"{type(error).__name__}: {error}"}
    return results


@torch.inference_mode()
def outputs(
    model: OpenVocabSegmentor, image_3HW: Tensor, text: TextFeatures
) -> tuple[Tensor, Tensor | None]:
    """Label map of an image, and its scores of all categories, both on the host."""
    scores = model.scores(image_3HW.to(device_of(model)), text)
    labels_HW = model.label_map(scores, (image_3HW.shape[1], image_3HW.shape[2]))
    return labels_HW.cpu(), dense(scores)


def dense(scores: Scores | RegionScores) -> Tensor | None:
    """Maps of all categories on the host; None for scores of regions."""
    return None if isinstance(scores, RegionScores) else scores.probs_BTHW().float().cpu()


def moved(text: TextFeatures, device: torch.device) -> TextFeatures:
    """Text features on a device."""
    levels = tuple(level.to(device) for level in text.levels)
    return TextFeatures(text.embeds_TPC.to(device), levels, text.vocabulary)


def difference(
    reference: tuple[Tensor, Tensor | None], found: tuple[Tensor, Tensor | None]
) -> dict[str, float | None]:
    """Share of other labels, and the largest difference of a score."""
    share = float((reference[0] != found[0]).double().mean())
    largest = None
    if reference[1] is not None and found[1] is not None:
        largest = float((reference[1] - found[1]).abs().max())
    return {"other_labels": share, "largest": largest}
