"""Evaluates a method at several thresholds of its selector, encoding each image once."""

from __future__ import annotations

import copy
import inspect
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor

from ovss.data.base import SegmentationDataset
from ovss.interfaces import Selector
from ovss.proposers.current import current_samples
from ovss.registry import SELECTORS
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, TextFeatures
from ovss.vocabularies.seen import seen_mask

from .clock import Clock, Span
from .complexity import complexity
from .kept import Point, Watch
from .stand_ins import device_of, replaced

Observer = Callable[[int, Tensor, Tensor], None]
"""Function that receives the number of an image, its labels and its label map at each threshold."""


def ignore_image(index: int, labels_HW: Tensor, predicted_HW: Tensor) -> None:
    """Observer that does nothing."""


def curve(
    config: Config,
    model: OpenVocabSegmentor,
    data: SegmentationDataset,
    thresholds: Sequence[float | None] = (None,),
    images: int = 200,
    log: Callable[[str], None] = lambda line: None,
    observe: Observer = ignore_image,
) -> list[Point]:
    """Evaluates a trained method at several thresholds, encoding each image once.

    Args:
        config: config of the method.
        model: the method, in evaluation mode.
        data: labelled images.
        thresholds: thresholds of the selector; None for the configured one.
        images: number of images to use, from the first.
        log: callback for lines of progress.
        observe: callback for the label map of each image.

    Raises:
        TypeError: a threshold for a selector that has none.
        ValueError: a threshold out of range, or no images.
    """
    selectors = [with_threshold(config, model, threshold) for threshold in thresholds]
    count = min(images, len(data))
    if count < 1:
        raise ValueError(f"Expected at least one image, got {images} of {len(data)}")
    seen_T = seen_mask(data.names, data.seen)
    points = [Point(threshold, data.names, seen_T) for threshold in thresholds]
    with torch.inference_mode():
        text = model.encode_vocabulary(data.names)
        sample = data[0]
        with current_samples([sample["data_samples"]], model.encoder.reads_labels):
            model.scores(sample["inputs"].to(device_of(model)), text)  # warm-up, not timed
        for index in range(count):
            sample = data[index]
            for labels_HW, predicted_HW in _image(model, text, sample, selectors, points):
                observe(index, labels_HW, predicted_HW)
            if (index + 1) % 20 == 0 or index + 1 == count:
                log(f"{index + 1} of {count} images")
    height, width = sample["inputs"].shape[-2:]
    for point in points:
        kept = max(1, round(statistics.mean(point.kept_view)))
        cost = complexity(_with(config, point.threshold), data.names, kept, (height, width))
        point.macs = cost.as_dict()["all_but_text"]["per_image"] // 2
    return points


def _image(
    model: OpenVocabSegmentor,
    text: TextFeatures,
    sample: dict[str, Any],
    selectors: list[Selector],
    points: list[Point],
) -> list[tuple[Tensor, Tensor]]:
    """Measures one image at every threshold; returns labels and label map of each."""
    device = device_of(model)
    clock = Clock(device)
    image_3HW, size = sample["inputs"].to(device), sample["data_samples"].ori_shape
    labels_HW = sample["data_samples"].gt_sem_seg.data[0].to(device)
    cache: list[ImageFeatures] = []
    encoding = Span(0, 0)
    pairs: list[tuple[Tensor, Tensor]] = []
    for selector, point in zip(selectors, points):
        predictions: list[Tensor] = []

        def segment(predictions: list[Tensor] = predictions) -> None:
            scores = model.scores(image_3HW, text)
            predictions.append(model.label_map(scores, (size[0], size[1])))

        with (
            current_samples([sample["data_samples"]], model.encoder.reads_labels),
            watched(model, selector, cache, clock) as watch,
        ):
            whole, stages = clock.time(segment)
        encoder = stages.get("encoder", Span(0, 0))
        if encoding.wall == 0:
            encoding = encoder
        # Only the first threshold runs the encoder; its time is charged to every threshold.
        seconds = Span(
            whole.wall - encoder.wall + encoding.wall,
            whole.processor - encoder.processor + encoding.processor,
        )
        point.add(labels_HW, predictions[0], watch, seconds)
        pairs.append((labels_HW, predictions[0]))
    return pairs


@contextmanager
def watched(
    model: OpenVocabSegmentor, selector: Selector, cache: list[ImageFeatures], clock: Clock
) -> Iterator[Watch]:
    """Replaces the model's selector and records what it keeps while the context is active.

    Args:
        model: method to watch.
        selector: selector to use in place of the model's own.
        cache: image features of earlier runs on the same image. They are returned in the same order
            instead of being computed; features computed now are appended.
        clock: clock that records the encoder as a stage.
    """
    encode = clock.as_stage("encoder", model.encoder.encode_image)
    replay, watch, own = iter(list(cache)), Watch(), model.selector

    def cached(views_V3HW: Tensor) -> ImageFeatures:
        features = next(replay, None)
        if features is None:
            features = encode(views_V3HW)
            cache.append(features)
        return features

    with ExitStack() as stack:
        model.selector = selector
        stack.callback(setattr, model, "selector", own)
        stack.enter_context(replaced(model.encoder, "encode_image", cached))
        stack.callback(selector.register_forward_hook(watch.record_view).remove)
        merged = model.post_processor.register_forward_pre_hook(watch.record_merged)
        stack.callback(merged.remove)
        yield watch


def with_threshold(config: Config, model: OpenVocabSegmentor, threshold: float | None) -> Selector:
    """Builds the config's selector at another threshold, with the model's weights.

    Args:
        config: config of the method.
        model: method whose selector has the weights.
        threshold: threshold in 0..1; None returns the model's own selector.

    Raises:
        TypeError: the selector has no threshold.
        ValueError: the threshold is out of range.
    """
    if threshold is None:
        return model.selector
    if "threshold" not in inspect.signature(type(model.selector)).parameters:
        raise TypeError(
            f"{type(model.selector).__name__} has no threshold to vary. Measure it as configured, "
            f"or use a selector with a threshold"
        )
    if not 0 <= threshold <= 1:
        raise ValueError(f"Expected a threshold in 0..1, got {threshold}")
    selector = SELECTORS.build(_with(config, threshold).model["selector"].to_dict())
    selector.load_state_dict(model.selector.state_dict())
    return selector.to(device_of(model)).eval()


def _with(config: Config, threshold: float | None) -> Config:
    if threshold is None:
        return config
    config = Config(copy.deepcopy(config.to_dict()), filename=config.filename)
    config.model["selector"]["threshold"] = threshold
    return config
