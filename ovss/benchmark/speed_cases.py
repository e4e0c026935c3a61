"""Cases to time: images under a method's own protocol, training steps, the encoder alone."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ovss.layers.precision import in_precision
from ovss.proposers.current import current_samples
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import TextFeatures

from .clock import Clock, staged
from .speed import ENCODER_ALONE, Case
from .stage_walk import views_of
from .stand_ins import device_of, random_batch, random_image, replaced


@dataclass(frozen=True)
class Contender:
    """Method that takes part in a comparison.

    Args:
        name: name in tables.
        config: config of the method.
        model: the method, in the mode to time.
    """

    name: str
    config: Config
    model: OpenVocabSegmentor


def image_case(
    one: Contender,
    vocabulary: str,
    text: TextFeatures,
    images: list[tuple[Tensor, tuple[int, int]]],
    samples: Sequence[Any] | None = None,
) -> Case:
    """Case of segmenting images under the method's protocol, label maps included.

    Args:
        one: method in evaluation mode.
        vocabulary: see `Case`.
        text: features of the vocabulary.
        images: image (3, H, W) and the (height, width) of its label map.
        samples: data sample of each image, for proposers that look images up; None if there is
            none.
    """
    groups = [()] * len(images) if samples is None else [(sample,) for sample in samples]
    reads_labels = one.model.encoder.reads_labels

    @torch.inference_mode()
    def run(clock: Clock) -> Tensor | None:
        labels_HW = None
        with staged(one.model, clock):
            for (image_3HW, size), group in zip(images, groups, strict=True):
                with current_samples(group, reads_labels):
                    scores = one.model.scores(image_3HW, text)
                labels_HW = one.model.label_map(scores, size)
        return labels_HW

    return Case(one.name, vocabulary, run, len(images))


def step_case(
    one: Contender, vocabulary: str, batches: list[dict[str, Any]], text: TextFeatures | None
) -> Case:
    """Case of training steps: forward, loss and backward, without the optimiser.

    Args:
        one: method in training mode.
        vocabulary: see `Case`.
        batches: `inputs` and `data_samples` of each step.
        text: text features to use; None to let the step encode the vocabulary.

    Raises:
        ValueError: a method without parameters to train.
    """
    model = one.model
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(
            f"{one.name} has no parameters to train, so that it has no training step. Measure its "
            f"inference."
        )

    def run(clock: Clock) -> None:
        for batch in batches:
            with fixed_text(model, text), staged(model, clock):
                losses = model(batch["inputs"], batch["data_samples"], mode="loss")
            clock.as_stage("backward", sum(losses.values()).backward)()
            model.zero_grad(set_to_none=True)

    return Case(one.name, vocabulary, run, len(batches))


def fixed_text(
    model: OpenVocabSegmentor, text: TextFeatures | None
) -> AbstractContextManager[None]:
    """Makes the encoder return `text` for any vocabulary inside the context.

    With None the encoder encodes the vocabulary as usual.
    """
    if text is None:
        return nullcontext()
    return replaced(model.encoder, "encode_text", lambda vocabulary: text)


def encoder_case(
    one: Contender, image_size: tuple[int, int], repeats: int = 1, sample: Any = None
) -> Case:
    """Case of the encoder alone, the lower bound of inference.

    It encodes all views of an image, as many at once as the method does.

    Args:
        one: method in evaluation mode.
        image_size: (height, width).
        repeats: number of images.
        sample: data sample of an image of a dataset, for proposers that look images up; None if
            there is none.
    """
    samples = [] if sample is None else [sample]
    inference, device = one.model.inference, device_of(one.model)
    count, size = views_of(inference, *image_size)
    views_V3HW = torch.stack([random_image(size, device) for _ in range(count)]).float()

    @torch.inference_mode()
    def run(clock: Clock) -> None:
        encode = in_precision(one.model.encoder.encode_image)
        with current_samples(samples, one.model.encoder.reads_labels):
            for _ in range(repeats):
                for part_V3HW in views_V3HW.split(inference.views_at_once(device)):
                    encode(part_V3HW)

    return Case(one.name, ENCODER_ALONE, run, repeats)


def encoder_step_case(one: Contender, image_size: tuple[int, int], batch: int) -> Case:
    """Case of the encoder's forward and backward on a batch, the lower bound of training."""
    images_B3HW, samples = random_batch(one.model, ("category",), image_size, batch)

    def run(clock: Clock) -> None:
        with current_samples(samples, one.model.encoder.reads_labels):
            image = one.model.encoder.encode_image(images_B3HW)
        outputs = (image.dense_BChw, image.pooled_BC, *image.levels)
        total = torch.stack([x.mean() for x in outputs]).sum()
        if total.requires_grad:
            total.backward()
        one.model.zero_grad(set_to_none=True)

    return Case(one.name, ENCODER_ALONE, run)
