"""Memory measurement of one image or one training step, with random weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config

from ovss.io.option_values import check_range, check_values
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import TextFeatures

from .arguments import random_model
from .clock import Clock
from .instead import load_predict
from .memory import Peak, peak_memory
from .speed_cases import Contender, step_case
from .stand_ins import (
    has_trainable_text,
    keep_fixed,
    numbered_names,
    random_batch,
    random_image,
    random_text,
    text_bytes,
    training_size,
)


@dataclass(frozen=True)
class MemoryCase:
    """Settings of one memory measurement.

    Args:
        config: name or path of a method's config.
        overrides: config keys and values that replace those of the config.
        categories: size of the vocabulary.
        kept: number of categories that a view keeps; None to let the selector decide.
        size: (height, width); None for 640 x 640, or for the training size in a step.
        step: True for a training step (forward, loss, backward), False for inference on an image.
        batch: images per step.
        given_text: True to pass text features into a step even if the text tower is trained.
        instead: Python file whose ``predict(model, image_3HW, text)`` replaces the model's own
            inference; None for the model's own.
        device: torch device.

    Raises:
        TypeError: a value of another type.
        ValueError: a number is out of range.
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

    def __post_init__(self) -> None:
        check_values(MemoryCase, vars(self), "MemoryCase")
        sides = dict(zip(("height", "width"), self.size or (1, 1), strict=True))
        kept = 1 if self.kept is None else self.kept
        check_range("MemoryCase", 1, categories=self.categories, kept=kept, **sides)
        check_range("MemoryCase", 1, batch=self.batch)


def measure_memory(case: MemoryCase) -> tuple[Peak, int | None]:
    """Runs a case once.

    Returns:
        The peak, and the bytes of the text features; None if the step encodes the vocabulary.

    Raises:
        ValueError: the config has no training size, the number of categories that its selector
            keeps cannot be fixed, or `instead` does not define ``predict``.
        OSError: see `peak_memory`.
    """
    config, model = random_model(case.config, case.overrides, case.device)
    if case.kept is not None:
        keep_fixed(model, case.kept)
    names = numbered_names(case.categories)
    encodes = case.step and not case.given_text and has_trainable_text(model)
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
    predict = load_predict(case.instead) if case.instead else None

    @torch.inference_mode()
    def run() -> object:
        if predict is not None:
            return predict(model, image_3HW, text)
        return model.label_map(model.scores(image_3HW, text), size)

    return run


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
