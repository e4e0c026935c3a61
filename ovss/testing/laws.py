"""Laws of inference: what every composition promises its users, up to the label map."""

from __future__ import annotations

import torch

from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import Selection

from .certain import check_certain_scores
from .compare import compare_predictions, compare_traces
from .report import Law, LawError, component, law
from .tiny import make_images, make_names
from .trace import check_finite, traced
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
    labels_HW = model.label_map(scores, (scores.probs_BKHW.shape[2], scores.probs_BKHW.shape[3]))
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
    if len(scores.probs_BKHW) != 1:
        raise LawError(
            component(model, "post_processor"),
            f"expected scores of 1 image, but got {len(scores.probs_BKHW)}",
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


LAWS: tuple[Law, ...] = (
    vocabulary_order_is_irrelevant,
    batch_mates_do_not_talk,
    padding_changes_nothing,
    keeping_everything_equals_not_selecting,
    one_category_works,
    more_than_255_categories_work,
    prediction_has_the_size_asked_for,
    post_processing_keeps_what_is_certain,
    ground_truth_survives_training,
    labels_have_no_influence_at_inference,
)
