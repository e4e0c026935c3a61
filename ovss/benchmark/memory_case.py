"""One image or one training step of a model with random weights, as a call to measure."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config

from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import TextFeatures

from .arguments import random_model
from .clock import Clock
from .memory import Peak, peak_memory
from .speed_cases import Contender, step_case
from .stand_ins import (
    keep_fixed,
    numbered_names,
    random_batch,
    random_image,
    random_text,
    text_bytes,
    text_trains,
    training_size,
)


@dataclass(frozen=True)
class MemoryCase:
    """What is measured.

    Args:
        config: name or path of a method's config.
        overrides: config keys and values on top of it.
        categories: size of the vocabulary.
        kept: categories that a view keeps; None: the selector decides.
        size: (height, width); None: 640 x 640, or the training size for a step.
        step: measure a training step (forward, loss, backward) instead of an image.
        batch: images of a step.
        given_text: give a step its text features even where the text tower trains.
        instead: Python file whose ``predict(model, image_3HW, text)`` replaces the model's own
            inference; None: the model's own.
        device: as torch names it.
    """

    config: str
    overrides: dict[str, Any]
    categories: int = 150
    kept: int | None = None
    size: tuple[int, int] | None = None
    step: bool = False
    batch: int = 1
    given_text: bool = False
    instead: str | None = None
    device: str = "cpu"


def measure(case: MemoryCase) -> tuple[Peak, int | None]:
    """Runs a case once.

    Returns:
        Its peak, and the bytes of the text features; None where the step encodes the vocabulary.

    Raises:
        ValueError: the config has no training size, its selector's count cannot be fixed, or
            `instead` defines no ``predict``.
        OSError: see `peak_memory`.
    """
    config, model = random_model(case.config, case.overrides, case.device)
    if case.kept is not None:
        keep_fixed(model, case.kept)
    names = numbered_names(case.categories)
    encodes = case.step and not case.given_text and text_trains(model)
    text = None if encodes else random_text(model, names)
    size = case.size or (training_size(config) if case.step else (640, 640))
    if case.step:
        call = _step(case, config, model, names, text, size)
    else:
        assert text is not None
        call = _image(case, model, text, size)
    return peak_memory(call, case.device), None if text is None else text_bytes(text)


def _image(
    case: MemoryCase, model: OpenVocabSegmentor, text: TextFeatures, size: tuple[int, int]
) -> Callable[[], object]:
    image_3HW = random_image(size, case.device)
    predict = _predict_of(case.instead) if case.instead else None

    @torch.inference_mode()
    def run() -> object:
        if predict is not None:
            return predict(model, image_3HW, text)
        return model.label_map(model.scores(image_3HW, text), size)

    return run


def _predict_of(file: str) -> Callable[..., object]:
    predict = runpy.run_path(file).get("predict")
    if not callable(predict):
        raise ValueError(f"Expected a function predict(model, image_3HW, text) in {file}. Add it")
    return predict


def _step(
    case: MemoryCase,
    config: Config,
    model: OpenVocabSegmentor,
    names: tuple[str, ...],
    text: TextFeatures | None,
    size: tuple[int, int],
) -> Callable[[], object]:
    inputs, samples = random_batch(model.train(), names, size, case.batch)
    batch = {"inputs": inputs, "data_samples": samples}
    step = step_case(Contender(case.config, config, model), str(len(names)), [batch], text)
    clock = Clock(torch.device(case.device))
    return lambda: step.run(clock)
