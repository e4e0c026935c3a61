"""Traces: the output of every component for one call."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ovss.inference import dense_scores, segment_whole
from ovss.layers.region_maps import region_maps
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import (
    Alignment,
    ImageFeatures,
    Masks,
    RegionAlignment,
    RegionMasks,
    Scores,
    Selection,
    TextFeatures,
)

from .report import LawError, component


@dataclass(frozen=True)
class Output:
    """One output of one component.

    Args:
        part: the component, one of `report.PARTS`.
        name: the output, in words.
        values_B: values, one row for each image.
        per_category: whether the second axis is T.
    """

    part: str
    name: str
    values_B: Tensor
    per_category: bool = False


@dataclass(frozen=True)
class Trace:
    """Outputs of all components for one call, spread over all T categories.

    Args:
        outputs: in the order of the figure.
        masks: the decoder's output.
        scores: the post-processor's output.
    """

    outputs: tuple[Output, ...]
    masks: Masks | RegionMasks
    scores: Scores

    def of_image(self, i: int) -> Trace:
        """Outputs of one image of the batch."""
        return self._changed(lambda output: output.values_B[i : i + 1])

    def reordered(self, order_T: Tensor) -> Trace:
        """Outputs with the categories in another order."""
        return self._changed(
            lambda output: output.values_B[:, order_T] if output.per_category else output.values_B
        )

    def _changed(self, change: Callable[[Output], Tensor]) -> Trace:
        outputs = tuple(replace(output, values_B=change(output)) for output in self.outputs)
        return replace(self, outputs=outputs)


def traced(
    model: OpenVocabSegmentor,
    image_B3HW: Tensor,
    text: TextFeatures,
    selection: Selection | None = None,
) -> Trace:
    """Runs every component on a batch of views.

    The post-processor gets `clear_logits` of the categories that the decoder kept: it decides by
    regions, and those of an untrained decoder may be ties that numerical noise turns.

    Args:
        selection: categories kept; None: as the selector decides.

    Raises:
        LawError: the decoder or the post-processor gave another number of images.
    """
    image = model.encoder.encode_image(image_B3HW)
    selection = model.selector(image, text) if selection is None else selection
    aligned = model.head(image, text, selection)
    masks = model.decoder(aligned)
    batch = len(image_B3HW)
    logits_BKHW = mask_logits(masks)
    _check_batch(model, "decoder", logits_BKHW, masks.selection, batch)
    clear = Masks(clear_logits(image_B3HW, masks.selection, text), masks.selection)
    unpadded = replace(image, padding=None)
    before = segment_whole(image_B3HW, text, lambda _: (unpadded, clear), model.inference)
    scores = dense_scores(model.post_processor(before))
    _check_batch(model, "post_processor", scores.probs_BKHW, scores.selection, batch)

    cost_BT = aligned.selection.scatter(_cost(aligned))
    logits_BT = masks.selection.scatter(logits_BKHW, fill=-100.0)
    probs_BT = scores.selection.scatter(scores.probs_BKHW)
    outputs = (
        *_features(image, text),
        Output("selector", "the categories kept", selection.mask().float(), True),
        Output("head", "cost volumes", cost_BT, True),
        Output("decoder", "logits", logits_BT, True),
        Output("post_processor", "scores", probs_BT, True),
    )
    return Trace(outputs, masks, scores)


def mask_logits(masks: Masks | RegionMasks) -> Tensor:
    """Maps (B, K, H, W) of the kept categories; those of regions are merged on the mask grid."""
    if isinstance(masks, Masks):
        return masks.logits_BKHW
    return region_maps(masks, (masks.mask_BQhw.shape[2], masks.mask_BQhw.shape[3]))


def _cost(aligned: Alignment | RegionAlignment) -> Tensor:
    if isinstance(aligned, RegionAlignment):
        return aligned.logits_BKQ
    return aligned.cost_BKDhw


def clear_logits(image_B3HW: Tensor, selection: Selection, text: TextFeatures) -> Tensor:
    """(B, K, H, W) logits without ties: each category likes a colour of its own."""
    if text.vocabulary is None:
        raise ValueError("expected the names of the categories in TextFeatures.vocabulary")
    seeds = [zlib.crc32(name.encode()) for name in text.vocabulary.names]
    generator = torch.Generator()
    colour_T3 = torch.stack([torch.randn(3, generator=generator.manual_seed(s)) for s in seeds])
    pixels_B13HW = resize(image_B3HW.float() / 64 - 2, (48, 48))[:, None]
    colour_BK311 = selection.gather(colour_T3)[..., None, None].to(pixels_B13HW)
    return 4 * (colour_BK311 * pixels_B13HW).sum(2)


def _features(image: ImageFeatures, text: TextFeatures) -> list[Output]:
    dense_BChw = image.dense_BChw
    embeds_BTPC = text.embeds_TPC.expand(len(dense_BChw), -1, -1, -1)
    return [
        Output("encoder", "dense features", dense_BChw),
        Output("encoder", "image embeddings", image.pooled_BC),
        *(Output("encoder", f"level {i}", level) for i, level in enumerate(image.levels)),
        Output("encoder", "text embeddings", embeds_BTPC, True),
    ]


def _check_batch(
    model: OpenVocabSegmentor, part: str, maps_BKHW: Tensor, selection: Selection, batch: int
) -> None:
    for name, found in (("maps", len(maps_BKHW)), ("a selection", selection.batch)):
        if found != batch:
            raise LawError(
                component(model, part), f"expected {name} of {batch} images, but got {found}"
            )


def check_finite(model: OpenVocabSegmentor, trace: Trace) -> None:
    """Checks that every output is finite.

    Raises:
        LawError: it names the first component that gave a value that is not.
    """
    for output in trace.outputs:
        bad = float((~torch.isfinite(output.values_B)).float().mean())
        if bad:
            raise LawError(
                component(model, output.part), f"{bad:.1%} of {output.name} are not finite"
            )
