"""Another implementation of a method's inference, from a Python file, next to the method's own."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ovss.structures import TextFeatures

from .clock import Clock
from .speed import Case
from .speed_cases import Contender

AGREEMENT = 0.99
"""Smallest share of pixels in which two implementations of a method must have the same label.

With random weights the scores of categories are close, so that rounding decides between some.
"""


def load_predict(file: str) -> Callable[..., Tensor]:
    """Loads the function ``predict(model, image_3HW, text)`` from a Python file.

    The file can import other modules of its folder.

    Raises:
        ValueError: the file does not define the function.
    """
    folder = str(Path(file).resolve().parent)
    sys.path.insert(0, folder)
    try:
        predict = runpy.run_path(file).get("predict")
    finally:
        sys.path.remove(folder)
    if not callable(predict):
        raise ValueError(
            f"Expected a function predict(model, image_3HW, text) in {file}, found none. Define it"
        )
    return predict


def instead_case(
    one: Contender, vocabulary: str, text: TextFeatures, image_3HW: Tensor, file: str
) -> Case:
    """Case of another implementation, after comparing its label map with the method's own.

    Args:
        one: method in evaluation mode, whose weights the implementation uses.
        vocabulary: see `Case`.
        text: features of the vocabulary.
        image_3HW: image; the label map has its size.
        file: Python file with the implementation, see `load_predict`.

    Raises:
        ValueError: the label maps are of other sizes or differ in too many pixels.
    """
    predict, size = load_predict(file), (image_3HW.shape[1], image_3HW.shape[2])

    @torch.inference_mode()
    def run(clock: Clock) -> Tensor:
        return predict(one.model, image_3HW, text)

    with torch.inference_mode():
        own_HW = one.model.label_map(one.model.scores(image_3HW, text), size)
        found_HW = predict(one.model, image_3HW, text)
    share = agreement(found_HW, own_HW)
    if share is None or share < AGREEMENT:
        found = f"shape {tuple(found_HW.shape)}" if share is None else f"{share:.2%} of them"
        raise ValueError(
            f"Expected {file} to label at least {AGREEMENT:.0%} of the {size[0]} x {size[1]} "
            f"pixels as {one.name} does, got {found}. Compare implementations of the same method"
        )
    name = f"{one.name}, {Path(file).stem}"
    return Case(name, vocabulary, run, base=one.name, agreement=share)


def agreement(labels_HW: Tensor, other_HW: Tensor) -> float | None:
    """Share of pixels with equal labels; None if the label maps have different sizes."""
    if labels_HW.shape != other_HW.shape:
        return None
    return float((labels_HW.cpu() == other_HW.cpu()).double().mean())
