"""Laws of training: losses, gradients, and what labels may and may not influence."""

from __future__ import annotations

import torch
from torch import Tensor

from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import IGNORE, TextFeatures

from .report import PARTS, LawError, component, law
from .tiny import make_images, make_names, make_sample
from .trace import check_finite, mask_logits, traced


@law
def loss_and_prediction_work(model: OpenVocabSegmentor) -> None:
    """A training step has a finite loss and gradients, a prediction has the size asked for."""
    images, samples = make_images(2), [make_sample(3), make_sample(3)]
    with torch.enable_grad():
        losses = model.train()(images, samples, mode="loss")
        total = sum(losses.values(), start=torch.zeros(()))
        if not torch.isfinite(total):
            check_finite(model, traced(model, images, model.encode_vocabulary(make_names(3))))
            raise LawError(component(model, "criterion"), f"the loss is {total.item()}")
        total.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            part = name.partition(".")[0]
            where = component(model, part if part in PARTS else "segmentor")
            raise LawError(where, f"the gradient of the parameter {name} is not finite")
    model.zero_grad()
    (out,) = model.eval()(list(images[:1]), [make_sample(3)], mode="predict")
    labels_1HW = out.pred_sem_seg.data
    found, labels = tuple(labels_1HW.shape), labels_1HW.unique().tolist()
    if found != (1, 40, 50) or not set(labels) <= {0, 1, 2}:
        raise LawError(
            component(model, "segmentor"),
            f"the prediction has shape {found} and labels {labels}, expected (1, 40, 50) and "
            f"labels of 0..2",
        )


@law
def ground_truth_survives_training(model: OpenVocabSegmentor) -> None:
    """In training, selector, head and decoder keep every category that the labels show.

    Tried with those categories that the method likes least at inference. The labels of one step
    leave no trace in the selections after it.
    """
    image = model.encoder.encode_image(make_images(2))
    text = model.encode_vocabulary(make_names(300))
    usual_BT = model.selector(image, text).mask()
    keep_BT = _truth(usual_BT.float())
    kept_BT = model.selector.train()(image, text, keep_BT).mask()
    _check_kept(model, "selector", kept_BT, keep_BT)
    after_BT = model.selector.eval()(image, text).mask()
    if not torch.equal(usual_BT, after_BT):
        changed = int((usual_BT != after_BT).sum())
        raise LawError(
            component(model, "selector"),
            f"{changed} of {usual_BT.numel()} choices at inference changed after a training step",
        )

    text = model.encode_vocabulary(make_names(40))
    keep_BT = _truth(_liking(model, text))
    model.train()
    selection = model.selector(image, text, keep_BT)
    _check_kept(model, "selector", selection.mask(), keep_BT)
    aligned = model.head(image, text, selection)
    _check_kept(model, "head", aligned.selection.mask(), keep_BT)
    _check_kept(model, "decoder", model.decoder(aligned).selection.mask(), keep_BT)


def _liking(model: OpenVocabSegmentor, text: TextFeatures) -> Tensor:
    """(B, T) highest logit of each category at inference; very low if it was not kept."""
    masks = model.segment(model.encoder.encode_image(make_images(2)), text)
    return masks.selection.scatter(mask_logits(masks), fill=-1e4).amax((2, 3))


def _truth(liking_BT: Tensor, count: int = 3) -> Tensor:
    """(B, T) ground truth: the categories liked least; none for the last image, all of whose
    labels are ignored."""
    least_BQ = liking_BT.topk(count, dim=1, largest=False).indices
    keep_BT = torch.zeros_like(liking_BT, dtype=torch.bool).scatter_(1, least_BQ, True)
    keep_BT[-1] = False
    return keep_BT


def _check_kept(model: OpenVocabSegmentor, part: str, kept_BT: Tensor, keep_BT: Tensor) -> None:
    lost = (keep_BT & ~kept_BT).nonzero()[:, 1].tolist()
    if lost:
        raise LawError(
            component(model, part),
            f"{len(lost)} of {int(keep_BT.sum())} ground-truth categories are dropped in "
            f"training, of {keep_BT.shape[1]} categories: {lost}",
        )


@law
def labels_have_no_influence_at_inference(model: OpenVocabSegmentor) -> None:
    """Samples with other labels, or without any, give the same prediction.

    Encoders that declare ``reads_labels`` are upper bounds, for which this does not hold.
    """
    if model.encoder.reads_labels:
        return
    images, found = list(make_images(1)), []
    for label in (None, IGNORE, 3):
        sample = make_sample(5)
        if label is None:
            del sample.gt_sem_seg
        else:
            sample.gt_sem_seg.data = torch.full((1, 96, 96), label)
        (out,) = model(images, [sample], mode="predict")
        found.append(out.pred_sem_seg.data)
    for labels_1HW in found[1:]:
        share = float((labels_1HW != found[0]).float().mean())
        if share:
            raise LawError(
                component(model, "segmentor"),
                f"predictions with and without labels differ at {share:.1%} of the pixels",
            )
