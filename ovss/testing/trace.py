"""Traces: the output of every component for one call, and how two of them are compared.

A law compares two calls that must agree. If they do not, the first component whose outputs differ
is the broken one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ovss.inference import whole
from ovss.ops import resize
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Masks, Scores, Selection, TextFeatures

from .report import LawError, component, without_post_processing

TOLERANCE = 2e-5
"""Largest difference of two outputs of a component, as a share of their largest value."""

SCORE_TOLERANCE = 1e-3
"""Largest difference of two probabilities: a softmax enlarges differences of its logits."""

PIXELS = 0.005
"""Share of a category's pixels that may differ after post-processing. It decides by regions and
by ties, which numerical noise can turn."""


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
    masks: Masks
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
    _check_batch(model, "decoder", masks.logits_BKHW, masks.selection, batch)
    before = whole(image_B3HW, text, lambda _: (image, masks), model.inference)
    scores = model.post_processor(before)
    _check_batch(model, "post_processor", scores.probs_BKHW, scores.selection, batch)

    cost_BT = aligned.selection.scatter(aligned.cost_BKDhw)
    logits_BT = masks.selection.scatter(masks.logits_BKHW, fill=-100.0)
    probs_BT = scores.selection.scatter(scores.probs_BKHW)
    outputs = (
        *_features(image, text),
        Output("selector", "the categories kept", selection.mask().float(), True),
        Output("head", "cost volumes", cost_BT, True),
        Output("decoder", "logits", logits_BT, True),
        Output("post_processor", "scores", probs_BT, True),
    )
    return Trace(outputs, masks, scores)


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


def compare(model: OpenVocabSegmentor, one: Trace, other: Trace, what: str) -> None:
    """Compares two traces that must agree.

    Args:
        what: the two calls, such as ``of image 0 alone and in a batch``.

    Raises:
        LawError: the logits or the post-processed scores differ; it names the first component
            whose outputs differ.
    """
    pairs = list(zip(one.outputs, other.outputs, strict=True))
    found = [difference(a, b) for a, b in pairs]
    if any(text for text, (a, _) in zip(found, pairs) if a.part in ("decoder", "post_processor")):
        text, part = next((text, a.part) for text, (a, _) in zip(found, pairs) if text)
        raise LawError(component(model, part), text.format(what=what))


def difference(one: Output, other: Output) -> str:
    """Sentence that says by how much two outputs differ, with ``{what}`` for the calls; or ""."""
    a, b = one.values_B.float(), other.values_B.float()
    if a.shape != b.shape:
        return f"{one.name} {{what}} have shapes {tuple(a.shape)} and {tuple(b.shape)}"
    if one.part == "post_processor":
        return score_difference(a, b)
    worst = float((a - b).abs().max()) / max(1.0, float(b.abs().max()))
    if worst <= TOLERANCE:
        return ""
    return (
        f"{one.name} {{what}} differ by {worst:.2g} of their largest value, "
        f"which is more than {TOLERANCE:g}"
    )


def score_difference(a_BTHW: Tensor, b_BTHW: Tensor) -> str:
    """As `difference`, for post-processed scores."""
    far_BTHW = ~((a_BTHW - b_BTHW).abs() <= SCORE_TOLERANCE)
    share_T = far_BTHW.float().mean((0, 2, 3))
    worst = int(share_T.argmax())
    if share_T[worst] <= PIXELS:
        return ""
    most = float((a_BTHW - b_BTHW)[:, worst].abs().max())
    return (
        f"scores {{what}} differ by up to {most:.2g} at {share_T[worst]:.1%} of the pixels of "
        f"category {worst}, which is more than {PIXELS:.1%}"
    )


def compare_predictions(
    model: OpenVocabSegmentor,
    image_3HW: Tensor,
    texts: tuple[TextFeatures, TextFeatures],
    order_T: Tensor,
    what: str,
) -> None:
    """Compares merged scores and label maps of one image under two orders of the vocabulary.

    Args:
        texts: features of the vocabulary in its own order, and in the order of `order_T`.

    Raises:
        LawError: they differ; it names the segmentor if they do without post-processing too.
    """

    def scores_1THW(text: TextFeatures) -> Tensor:
        scores = model.scores(image_3HW, text)
        return scores.selection.scatter(scores.probs_BKHW, fill=-1.0)

    maps = [scores_1THW(text) for text in texts]
    found = score_difference(maps[0][:, order_T], maps[1])
    if found:
        with without_post_processing(model):
            plain = [scores_1THW(text) for text in texts]
        early = score_difference(plain[0][:, order_T], plain[1])
        part = "segmentor" if early else "post_processor"
        raise LawError(component(model, part), found.format(what=what))
    size = (40, 50)
    labels = [model.label_map(model.scores(image_3HW, text), size) for text in texts]
    large_THW = resize(maps[0].float(), size)[0]
    twin_HW = order_T[labels[1]]
    scores = [large_THW.gather(0, each[None])[0] for each in (labels[0], twin_HW)]
    wrong_HW = (labels[0] != twin_HW) & ((scores[0] - scores[1]).abs() > SCORE_TOLERANCE)
    if wrong_HW.float().mean() > PIXELS:
        share = float(wrong_HW.float().mean())
        raise LawError(
            component(model, "segmentor"),
            f"label maps {what} differ at {share:.1%} of the pixels, more than {PIXELS:.1%}",
        )


def check_finite(model: OpenVocabSegmentor, trace: Trace) -> None:
    """
    Raises:
        LawError: an output is not finite; it names the first component that gave one.
    """
    for output in trace.outputs:
        bad = float((~torch.isfinite(output.values_B)).float().mean())
        if bad:
            raise LawError(
                component(model, output.part), f"{bad:.1%} of {output.name} are not finite"
            )
