"""Comparison of two calls that must agree: the first component whose outputs differ is broken."""

from __future__ import annotations

from torch import Tensor

from ovss.inference import dense_scores
from ovss.ops import resize
from ovss.postprocessors import Identity
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Scores, TextFeatures

from .report import LawError, component, without_post_processing
from .trace import Output, Trace

TOLERANCE = 2e-5
"""Largest difference of two outputs of a component, as a share of their largest value."""

SCORE_TOLERANCE = 1e-3
"""Largest difference of two scores: a softmax enlarges differences of its logits."""

PIXELS = 0.005
"""Share of a category's pixels that may differ after post-processing. It decides by regions and
by ties, which numerical noise can turn."""

SIZE = (40, 50)
"""Size of the label maps that are compared."""


def compare_traces(model: OpenVocabSegmentor, one: Trace, other: Trace, what: str) -> None:
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
    """Text that says by how much two outputs differ, with ``{what}`` for the calls; or ""."""
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
    """Text as that of `difference`, for post-processed scores."""
    tolerance = SCORE_TOLERANCE * max(1.0, float(b_BTHW.abs().max()))
    far_BTHW = ~((a_BTHW - b_BTHW).abs() <= tolerance)
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

    Post-processed ones are compared if the scores before decide almost every pixel. Those of an
    untrained decoder may be ties, by which a post-processor cannot be judged; see `trace.traced`.

    Args:
        texts: features of the vocabulary in its own order, and in the order of `order_T`.

    Raises:
        LawError: they differ.
    """
    with without_post_processing(model):
        one, other = (dense_scores(model.scores(image_3HW, text)) for text in texts)
        found = score_difference(_spread(one)[:, order_T], _spread(other))
        if found:
            raise LawError(component(model, "segmentor"), found.format(what=what))
        if _undecided(one) > PIXELS:
            return
    if not isinstance(model.post_processor, Identity):
        one, other = (dense_scores(model.scores(image_3HW, text)) for text in texts)
        found = score_difference(_spread(one)[:, order_T], _spread(other))
        if found:
            raise LawError(component(model, "post_processor"), found.format(what=what))
    labels_HW, twin_HW = model.label_map(one, SIZE), model.label_map(other, SIZE)
    share = _label_difference(one, labels_HW, order_T[twin_HW])
    if share > PIXELS:
        raise LawError(
            component(model, "segmentor"),
            f"label maps {what} differ at {share:.1%} of the pixels, which is more than "
            f"{PIXELS:.1%}",
        )


def _spread(scores: Scores) -> Tensor:
    """(B, T, H, W) scores; -1 where a category is not kept."""
    return scores.selection.scatter(scores.probs_BKHW, fill=-1.0)


def _undecided(scores: Scores) -> float:
    """Share of the pixels whose two best categories have equal scores."""
    maps_BTHW = _spread(scores)
    if maps_BTHW.shape[1] == 1:
        return 0.0
    best_B2HW = maps_BTHW.topk(2, dim=1).values
    return float(((best_B2HW[:, 0] - best_B2HW[:, 1]) <= SCORE_TOLERANCE).float().mean())


def _label_difference(scores: Scores, labels_HW: Tensor, twin_HW: Tensor) -> float:
    """Share of the pixels with different labels; those of equal scores do not count, because the
    order of the vocabulary decides between them."""
    maps_THW = resize(_spread(scores).float(), SIZE)[0]
    gap_HW = maps_THW.gather(0, labels_HW[None]) - maps_THW.gather(0, twin_HW[None])
    wrong_HW = (labels_HW != twin_HW) & (gap_HW[0].abs() > SCORE_TOLERANCE)
    return float(wrong_HW.float().mean())
