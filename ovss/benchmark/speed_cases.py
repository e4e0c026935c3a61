"""What is timed: images under a method's own protocol, training steps, the encoder alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import TextFeatures

from .clock import Clock, staged
from .complexity import views_of
from .speed import ENCODER_ALONE, Case
from .stand_ins import device_of, random_batch, random_image, replaced


@dataclass(frozen=True)
class Contender:
    """A method that takes part.

    Args:
        name: in tables.
        config, model: of the method, in the mode that is timed.
    """

    name: str
    config: Config
    model: OpenVocabSegmentor


def image_case(
    one: Contender,
    vocabulary: str,
    text: TextFeatures,
    images: list[tuple[Tensor, tuple[int, int]]],
) -> Case:
    """Images, each with the size of its label map, to label maps under the method's protocol."""

    @torch.inference_mode()
    def run(clock: Clock) -> None:
        with staged(one.model, clock):
            for image_3HW, size in images:
                one.model.label_map(one.model.scores(image_3HW, text), size)

    return Case(one.name, vocabulary, run, len(images))


def step_case(
    one: Contender, vocabulary: str, batches: list[dict[str, Any]], text: TextFeatures | None
) -> Case:
    """Training steps: forward, loss, backward; the optimiser is left out.

    Args:
        one: in training mode.
        vocabulary: see `Case`.
        batches: `inputs` and `data_samples`, one for each step.
        text: features given in place of the encoder's; None: the encoder makes them.
    """
    model = one.model

    def run(clock: Clock) -> None:
        for batch in batches:
            with given_text(model, text), staged(model, clock):
                losses = model(batch["inputs"], batch["data_samples"], mode="loss")
            clock.named("backward", sum(losses.values()).backward)()
            model.zero_grad(set_to_none=True)

    return Case(one.name, vocabulary, run, len(batches))


def given_text(
    model: OpenVocabSegmentor, text: TextFeatures | None
) -> AbstractContextManager[None]:
    """Makes the encoder return `text` for any vocabulary; None: it encodes the vocabulary."""
    if text is None:
        return nullcontext()
    return replaced(model.encoder, "encode_text", lambda vocabulary: text)


def encoder_case(one: Contender, image_size: tuple[int, int], repeats: int = 1) -> Case:
    """The floor of inference: the encoder on all views of an image, as many at once as the method
    computes."""
    inference, device = one.model.inference, device_of(one.model)
    count, size = views_of(inference, *image_size)
    views_V3HW = torch.stack([random_image(size, device) for _ in range(count)]).float()

    @torch.inference_mode()
    def run(clock: Clock) -> None:
        for _ in range(repeats):
            for part_V3HW in views_V3HW.split(inference.views_at_once(device)):
                one.model.encoder.encode_image(part_V3HW)

    return Case(one.name, ENCODER_ALONE, run, repeats)


def encoder_step_case(one: Contender, image_size: tuple[int, int], batch: int) -> Case:
    """The floor of training: the encoder on a batch, forward and backward."""
    images_B3HW, _ = random_batch(one.model, ("category",), image_size, batch)

    def run(clock: Clock) -> None:
        image = one.model.encoder.encode_image(images_B3HW)
        outputs = (image.dense_BChw, image.pooled_BC, *image.levels)
        total = torch.stack([x.mean() for x in outputs]).sum()
        if total.requires_grad:
            total.backward()
        one.model.zero_grad(set_to_none=True)

    return Case(one.name, ENCODER_ALONE, run)
