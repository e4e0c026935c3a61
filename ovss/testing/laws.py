"""Laws of inference: what every composition promises its users, up to the label map."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from ovss.axes import take
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Proposals, Selection, TextFeatures

from .certain import check_certain_scores
from .compare import SCORE_TOLERANCE, compare_predictions, compare_traces
from .report import Law, LawError, component, law
from .tiny import make_images, make_names
from .trace import check_finite, mask_logits, traced
from .training import ground_truth_survives_training, labels_have_no_influence_at_inference


@law
def vocabulary_order_is_irrelevant(model: OpenVocabSegmentor) -> None:
    """A permuted vocabulary gives permuted logits, scores and label maps."""
    names, order_T = make_names(7), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    text = model.encode_vocabulary(names)
    permuted = model.encode_vocabulary(tuple(names[i] for i in order_T.tolist()))
    images, what = make_images(1), "before and after permuting the vocabulary"
    one, other = traced(model, images, text), traced(model, images, permuted)
    compare_traces(model, one.reordered(order_T), other, what)
    compare_predictions(model, images[0], (text, permuted), order_T, what)


@law
def batch_mates_do_not_talk(model: OpenVocabSegmentor) -> None:
    """An image in a batch gives the same logits and scores as alone."""
    images, text = make_images(3), model.encode_vocabulary(make_names(5))
    together = traced(model, images, text)
    for i in range(3):
        alone = traced(model, images[i : i + 1], text)
        compare_traces(
            model, together.of_image(i), alone, f"of image {i} in a batch of 3 and alone"
        )


@law
def padding_changes_nothing(model: OpenVocabSegmentor) -> None:
    """An image whose categories are padded to K gives the same logits and scores as unpadded."""
    images, text = make_images(2), model.encode_vocabulary(make_names(6))
    keep_BT = torch.tensor([[1, 0, 0, 1, 0, 0], [1, 1, 1, 0, 1, 1]], dtype=torch.bool)
    padded = traced(model, images, text, Selection.from_mask(keep_BT))
    for i in range(2):
        one = slice(i, i + 1)
        alone = traced(model, images[one], text, Selection.from_mask(keep_BT[one]))
        compare_traces(model, padded.of_image(i), alone, f"of image {i} with and without padding")


@law
def keeping_everything_equals_not_selecting(model: OpenVocabSegmentor) -> None:
    """A selection of all categories gives the same logits and scores as no selection."""
    images, text = make_images(2), model.encode_vocabulary(make_names(5))
    plain = traced(model, images, text, Selection.everything(2, 5))
    chosen = Selection.from_mask(torch.ones(2, 5, dtype=torch.bool))
    what = "of no selection and of a selection of all categories"
    compare_traces(model, plain, traced(model, images, text, chosen), what)


@law
def one_category_works(model: OpenVocabSegmentor) -> None:
    """A vocabulary of one category, or a selection of one, gives finite maps of that category."""
    images, text = make_images(2), model.encode_vocabulary(make_names(1))
    check_finite(model, traced(model, images, text))
    scores = model.scores(images[0], text)
    labels = model.label_map(scores, (40, 50)).unique().tolist()
    if labels != [0]:
        raise LawError(
            component(model, "segmentor"),
            f"a vocabulary of one category gives the labels {labels}, expected [0]",
        )
    keep_BT = torch.tensor([[0, 0, 1, 0]], dtype=torch.bool)
    text, selection = model.encode_vocabulary(make_names(4)), Selection.from_mask(keep_BT)
    kept = traced(model, images[:1], text, selection).masks.selection.category_N.tolist()
    if kept != [2]:
        raise LawError(
            component(model, "decoder"), f"expected masks of category 2 alone, got {kept}"
        )


@law
def more_than_255_categories_work(model: OpenVocabSegmentor) -> None:
    """Labels are 64-bit integers of kept categories, and categories above 255 keep their maps."""
    text = model.encode_vocabulary(make_names(300))
    scores = model.scores(make_images(1)[0], text)
    labels_HW = model.label_map(scores, (48, 48))
    if labels_HW.dtype != torch.long:
        raise LawError(
            component(model, "segmentor"), f"labels are {labels_HW.dtype}, expected torch.int64"
        )
    strange = set(labels_HW.unique().tolist()) - set(scores.selection.category_N.tolist())
    if strange:
        raise LawError(
            component(model, "segmentor"),
            f"labels {sorted(strange)[:5]} are not among the categories kept of 300",
        )
    check_certain_scores(model, text, certain=(299, 40, 256, 255), uncertain=(0, 44, 298))


@law
def prediction_has_the_size_asked_for(model: OpenVocabSegmentor) -> None:
    """A label map has the size asked for, which need not be that of the image."""
    text = model.encode_vocabulary(make_names(3))
    image_3HW = make_images(1, 120)[0][:, :97]
    scores = model.scores(image_3HW, text)
    if scores.selection.batch != 1:
        raise LawError(
            component(model, "post_processor"),
            f"expected scores of 1 image, but got {scores.selection.batch}",
        )
    for size in ((97, 120), (40, 50)):
        found = tuple(model.label_map(scores, size).shape)
        if found != size:
            raise LawError(
                component(model, "segmentor"),
                f"the label map of an image of 97 x 120 pixels has the size {found}, "
                f"expected {size}",
            )


@law
def post_processing_keeps_what_is_certain(model: OpenVocabSegmentor) -> None:
    """A category that scores, features and colours agree on keeps its region.

    Post-processing may narrow, re-score or add categories, but the map of a category stays the map
    of that category.
    """
    text = model.encode_vocabulary(make_names(40))
    check_certain_scores(model, text, certain=(7, 33, 2, 39), uncertain=(0, 11, 25))


@law
def the_order_of_proposals_is_irrelevant(model: OpenVocabSegmentor) -> None:
    """Permuted proposals give the same scores; a law of methods that compare regions."""
    images, text = make_images(2), model.encode_vocabulary(make_names(5))
    image = model.encoder.encode_image(images)
    if image.proposals is None or not model.head.needs_proposals:
        return
    count = image.proposals.mask_BQhw.shape[1]
    order_Q = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    permuted = replace(image, proposals=take(image.proposals, Q=order_Q))
    _compare_maps(model, image, permuted, text, "of proposals in two orders")


@law
def an_invalid_proposal_changes_nothing(model: OpenVocabSegmentor) -> None:
    """One more proposal that is not valid leaves the scores, even if its values are NaN."""
    images, text = make_images(2), model.encode_vocabulary(make_names(5))
    image = model.encoder.encode_image(images)
    if image.proposals is None or not model.head.needs_proposals:
        return
    proposals = image.proposals
    last = slice(proposals.mask_BQhw.shape[1] - 1, None)
    extra = take(proposals, Q=last)
    extra = replace(
        extra,
        mask_BQhw=torch.full_like(extra.mask_BQhw, torch.nan),
        embed_BQSC=torch.full_like(extra.embed_BQSC, torch.nan),
        valid_BQ=torch.zeros_like(extra.valid_BQ),
    )
    longer = replace(image, proposals=_joined(proposals, extra))
    _compare_maps(model, image, longer, text, "with and without an invalid proposal")


def _joined(one: Proposals, other: Proposals) -> Proposals:
    """Proposals of two records, one after the other."""
    joined: dict[str, Any] = {
        field.name: torch.cat([getattr(one, field.name), getattr(other, field.name)], dim=1)
        for field in fields(Proposals)
        if isinstance(getattr(one, field.name), Tensor)
    }
    return replace(one, **joined)


def _compare_maps(
    model: OpenVocabSegmentor,
    one: ImageFeatures,
    other: ImageFeatures,
    text: TextFeatures,
    what: str,
) -> None:
    maps, twins = (mask_logits(model.segment(image, text)) for image in (one, other))
    worst = float((maps - twins).abs().max()) / max(1.0, float(maps.abs().max()))
    if not worst <= SCORE_TOLERANCE:
        raise LawError(
            component(model, "head"),
            f"scores {what} differ by {worst:.2g} of their largest value, which is more than "
            f"{SCORE_TOLERANCE:g}",
        )


LAWS: tuple[Law, ...] = (
    vocabulary_order_is_irrelevant,
    batch_mates_do_not_talk,
    padding_changes_nothing,
    keeping_everything_equals_not_selecting,
    one_category_works,
    more_than_255_categories_work,
    prediction_has_the_size_asked_for,
    post_processing_keeps_what_is_certain,
    the_order_of_proposals_is_irrelevant,
    an_invalid_proposal_changes_nothing,
    ground_truth_survives_training,
    labels_have_no_influence_at_inference,
)
