"""A method evaluated at several thresholds of its selector, each image encoded once."""

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
from ovss.data.labels import seen_mask
from ovss.interfaces import Selector
from ovss.registry import SELECTORS
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, TextFeatures

from .clock import Clock, Span
from .complexity import complexity
from .kept import Point, Watch
from .stand_ins import device_of, replaced


def curve(
    config: Config,
    model: OpenVocabSegmentor,
    data: SegmentationDataset,
    thresholds: Sequence[float | None] = (None,),
    images: int = 200,
    log: Callable[[str], None] = lambda line: None,
) -> list[Point]:
    """Evaluate a trained method at several thresholds; each image is encoded once.

    Args:
        config, model: of the method, in evaluation mode.
        data: labelled images.
        thresholds: of the selector; None: as configured.
        images: the first so many.
        log: receives a line of progress.

    Raises:
        TypeError: a threshold is given, and the selector has none. ValueError: one out of range;
            no images.
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
        model.scores(sample["inputs"].to(device_of(model)), text)  # what is made once is made now
        for index in range(count):
            sample = data[index]
            _image(model, text, sample, selectors, points)
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
) -> None:
    """One image at every threshold."""
    device = device_of(model)
    clock = Clock(device)
    image_3HW, size = sample["inputs"].to(device), sample["data_samples"].ori_shape
    labels_HW = sample["data_samples"].gt_sem_seg.data[0].to(device)
    known: list[ImageFeatures] = []
    encoding = Span(0, 0)
    for selector, point in zip(selectors, points):
        found: list[Tensor] = []

        def segment(found: list[Tensor] = found) -> None:
            found.append(model.label_map(model.scores(image_3HW, text), (size[0], size[1])))

        with watched(model, selector, known, clock) as watch:
            whole, stages = clock.time(segment)
        spent = stages.get("encoder", Span(0, 0))
        if encoding.wall == 0:
            encoding = spent
        rest = Span(
            whole.wall - spent.wall + encoding.wall,
            whole.processor - spent.processor + encoding.processor,
        )
        point.add(labels_HW, found[0], watch, rest)


@contextmanager
def watched(
    model: OpenVocabSegmentor, selector: Selector, known: list[ImageFeatures], clock: Clock
) -> Iterator[Watch]:
    """The model with another selector, its selections watched, its encoder's answers kept in
    `known` and replayed in the same order."""
    encode = clock.named("encoder", model.encoder.encode_image)
    replay, watch, own = iter(list(known)), Watch(), model.selector

    def remembered(views_V3HW: Tensor) -> ImageFeatures:
        features = next(replay, None)
        if features is None:
            features = encode(views_V3HW)
            known.append(features)
        return features

    with ExitStack() as stack:
        model.selector = selector
        stack.callback(setattr, model, "selector", own)
        stack.enter_context(replaced(model.encoder, "encode_image", remembered))
        stack.callback(selector.register_forward_hook(watch.see_view).remove)
        merged = model.post_processor.register_forward_pre_hook(watch.see_merged)
        stack.callback(merged.remove)
        yield watch


def with_threshold(config: Config, model: OpenVocabSegmentor, threshold: float | None) -> Selector:
    """The config's selector at a threshold, with the model's weights; None: the model's own.

    Raises:
        TypeError: it has no threshold. ValueError: out of range.
    """
    if threshold is None:
        return model.selector
    if "threshold" not in inspect.signature(type(model.selector)).parameters:
        raise TypeError(
            f"{type(model.selector).__name__} has no threshold to vary. Measure it as configured, "
            f"or give the method a selector that has one"
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
