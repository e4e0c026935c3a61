"""Runs the stages of a method on one view, one after the other, on shapes alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ovss.inference import InferenceConfig, window_origins
from ovss.layers.region_maps import region_maps
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import (
    Alignment,
    ImageFeatures,
    Proposals,
    RegionAlignment,
    RegionMasks,
    Scores,
    Selection,
    TextFeatures,
)

Measure = Callable[[str, Callable[[], Any]], Any]
"""Function that runs a stage, given its name, measures it and returns its result."""


def walk_stages(
    model: OpenVocabSegmentor,
    names: tuple[str, ...],
    kept: int | None,
    image_size: tuple[int, int],
    measure: Measure,
) -> Selection:
    """Runs encoder, text, selector, head and decoder on a view, and the post-processor on an image.

    A selector, a post-processor and the head of a region method depend on values, so they run on
    the CPU with random features and parameters.

    Args:
        model: method on the meta device; its parameters stop requiring gradients.
        names: class names of the vocabulary.
        kept: number of categories that the view keeps; None for the selector's choice on random
            features.
        image_size: (height, width).
        measure: called once for each stage.

    Returns:
        Selection of the view.
    """
    # under a counter, views of parameters seem to need gradients even without autograd
    model.requires_grad_(False)
    _, size = views_of(model.inference, *image_size)
    view_13HW = torch.empty(1, 3, *size, device="meta")
    selector, post_processor = _on_cpu(model.selector), _on_cpu(model.post_processor)
    image = measure("encoder", lambda: model.encoder.encode_image(view_13HW))
    text = measure("text", lambda: model.encode_vocabulary(names))
    cpu_image, cpu_text = _random_features(image, text)
    selection = measure("selector", lambda: selector(cpu_image, cpu_text))
    if kept is not None:
        index_1K = torch.arange(kept)[None]
        selection = Selection(index_1K, torch.ones_like(index_1K, dtype=torch.bool), len(names))
    if model.head.gives is RegionAlignment:  # merges synonyms, which depends on values
        head = _on_cpu(model.head)
        aligned = measure("head", lambda: head(cpu_image, cpu_text, selection))
    else:
        aligned = measure("head", lambda: model.head(image, text, selection))
    measure("decoder", lambda: _decoded(model, aligned))
    probs_1KHW = torch.rand(1, selection.index_BK.shape[1], *image.dense_BChw.shape[-2:])
    canvas_13YX = 255 * torch.rand(1, 3, *model.inference.canvas(*image_size))
    scores = Scores(probs_1KHW, selection, cpu_image, cpu_text, canvas_13YX)
    measure("post_processor", lambda: post_processor(scores))
    return selection


def views_of(inference: InferenceConfig, height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Number of views of an image, and the (height, width) of one view."""
    canvas = inference.canvas(height, width)
    if inference.mode == "whole":
        return 1, canvas
    rows, columns = (window_origins(s, inference.window, inference.stride) for s in canvas)
    count = len(rows) * len(columns) + inference.global_view
    return count, (inference.window, inference.window)


def _decoded(model: OpenVocabSegmentor, aligned: Alignment | RegionAlignment) -> None:
    """Runs the decoder and, for masks of regions, merges them at the size of the input."""
    masks = model.decoder(aligned)
    if isinstance(masks, RegionMasks):
        grid = (masks.mask_BQhw.shape[2], masks.mask_BQhw.shape[3])
        shapes = {name: getattr(masks, name).to("meta") for name in ("share_BKQ", "mask_BQhw")}
        masks = replace(masks, **shapes)
        region_maps(masks, masks.padding.image if masks.padding else grid)


def _random_features(
    image: ImageFeatures, text: TextFeatures
) -> tuple[ImageFeatures, TextFeatures]:
    """Random CPU features of the same shapes, because what a selector keeps depends on values."""
    generator = torch.Generator().manual_seed(0)

    def random_like(x: Tensor) -> Tensor:
        return torch.randn(x.shape, generator=generator, device="cpu")

    def weights(x: Tensor | None) -> Tensor | None:
        return None if x is None else random_like(x).softmax(-1)

    features = ImageFeatures(
        random_like(image.dense_BChw),
        random_like(image.pooled_BC),
        tuple(random_like(level) for level in image.levels),
        weights(image.attention_BNN),
        weights(image.class_attention_BMhw),
        _random_proposals(image.proposals, random_like),
        image.padding,
    )
    embeds_TPC = nn.functional.normalize(random_like(text.embeds_TPC), dim=-1)
    levels = tuple(random_like(level) for level in text.levels)
    return features, TextFeatures(embeds_TPC, levels, text.vocabulary)


def _random_proposals(
    proposals: Proposals | None, random_like: Callable[[Tensor], Tensor]
) -> Proposals | None:
    """Proposals on the CPU with empty masks, all of which take part."""
    if proposals is None:
        return None
    objectness_BQ = proposals.objectness_BQ
    return Proposals(
        torch.zeros(proposals.mask_BQhw.shape),
        random_like(proposals.embed_BQSC),
        torch.ones(proposals.valid_BQ.shape, dtype=torch.bool),
        objectness_BQ=None if objectness_BQ is None else torch.ones(objectness_BQ.shape),
        padding=proposals.padding,
    )


def _on_cpu(part: nn.Module) -> nn.Module:
    """Copies a component to the CPU, with random parameters."""
    part = copy.deepcopy(part).to_empty(device="cpu")
    for parameter in part.parameters():
        nn.init.normal_(parameter, std=0.02)
    return part
