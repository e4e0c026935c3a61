from __future__ import annotations

import dataclasses

import pytest
import torch
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from ovss.inference import InferenceConfig, best_labels, label_map, merged_scores
from ovss.losses import BinaryCrossEntropy, CrossEntropy
from ovss.ops import resize
from ovss.segmentor import NonFiniteError, OpenVocabSegmentor, present_categories
from ovss.structures import IGNORE, ImageFeatures, Masks, Scores, Selection, TextFeatures
from ovss.testing import make_images, make_names


def compose(**changes) -> OpenVocabSegmentor:
    parts = dict(
        encoder=dict(type="TinyEncoder"),
        head=dict(type="CosineHead"),
        decoder=dict(type="UpsampleDecoder", scale=10.0),
    )
    return OpenVocabSegmentor(**{**parts, **changes}).eval()


def sample(names, labels_HW=None, **meta) -> BaseDataElement:
    element = BaseDataElement(metainfo=dict(vocabulary=names, **meta))
    if labels_HW is not None:
        element.gt_sem_seg = PixelData(data=labels_HW[None])
    return element


# -- composition -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(head=dict(type="CosinHead")), "Did you mean CosineHead"),
        (dict(criterion=dict(type="dice")), "Unknown loss 'dice'"),
        (dict(criterion=dict(type="bce", gamma=2)), "gamma"),
        (dict(prompts=dict(template="x")), "Did you mean 'templates'"),
        (dict(inference=dict(mode="tiles")), "'whole', 'slide' or 'multi_scale'"),
        (dict(inference=dict(windw=3)), "Did you mean 'window'"),
        (dict(inference=dict(mode="slide", size=100)), "of at least the window"),
        (dict(inference=dict(mode="slide", size=400, stride=500)), "leaves gaps"),
    ],
)
def test_a_wrong_config_says_what_is_wrong(changes, message):
    with pytest.raises((KeyError, TypeError, ValueError), match=message):
        compose(**changes)


def test_components_that_do_not_fit_are_refused_at_build():
    from ovss.heads import CosineHead

    head = CosineHead()
    head.joint_dim = 512
    with pytest.raises(
        ValueError, match="CosineHead expects joint_dim=512, but TinyEncoder produces joint_dim=16"
    ):
        compose(head=head)


# -- training --------------------------------------------------------------------------------------


def test_loss_and_predict_through_mmengine_samples():
    model = compose().train()
    labels = torch.randint(-1, 4, (2, 96, 96))
    samples = [sample(make_names(4), labels[i]) for i in range(2)]
    losses = model(make_images(2), samples, mode="loss")
    losses["loss_mask"].backward()
    assert model.encoder.projections[0].grad is not None
    (out,) = model.eval()(
        list(make_images(1)), [sample(make_names(4), ori_shape=(50, 70))], mode="predict"
    )
    assert out.pred_sem_seg.data.shape == (1, 50, 70)


def test_labels_outside_the_vocabulary_are_an_error():
    with pytest.raises(ValueError, match=r"0\.\.3 or -1.*got 0\.\.4"):
        present_categories(torch.tensor([[[0, 4]]]), 4)
    keep = present_categories(torch.tensor([[[0, IGNORE, 2]]]), 4)
    assert keep.tolist() == [[True, False, True, False]]


def test_a_batch_of_two_vocabularies_is_an_error():
    model = compose()
    with pytest.raises(ValueError, match="share one vocabulary"):
        model(make_images(2), [sample(make_names(3)), sample(make_names(4))], mode="predict")
    with pytest.raises(ValueError, match="share one vocabulary"):
        model(make_images(1), [sample(())], mode="predict")


def test_bce_is_binary_cross_entropy_with_ignored_pixels_as_negatives():
    logits = torch.randn(2, 3, 4, 4, requires_grad=True)
    labels = torch.randint(-1, 3, (2, 8, 8))
    masks = Masks(logits, Selection.everything(2, 3))
    big = torch.nn.functional.interpolate(logits, size=(8, 8), mode="bilinear")
    target = torch.stack([(labels == c).float() for c in range(3)], dim=1)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(big, target)
    got = BinaryCrossEntropy()(masks, labels)["loss_mask"]
    torch.testing.assert_close(got, expected)
    per_element = torch.nn.functional.binary_cross_entropy_with_logits(
        big, target, reduction="none"
    )
    counted = (labels != IGNORE)[:, None].expand_as(per_element)
    got = BinaryCrossEntropy(ignore="exclude")(masks, labels)["loss_mask"]
    torch.testing.assert_close(got, per_element[counted].mean())


def test_losses_do_not_see_padding():
    keep = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    selection = Selection.from_mask(keep)
    labels = torch.tensor([[[0, 2], [2, -1]], [[1, 1], [-1, 1]]])
    logits = torch.randn(2, 2, 2, 2)
    changed = logits.clone()
    changed[1, 1] = 1e4
    for loss in (BinaryCrossEntropy(), CrossEntropy()):
        one, other = loss(Masks(logits, selection), labels), loss(Masks(changed, selection), labels)
        torch.testing.assert_close(one["loss_mask"], other["loss_mask"])


def test_auxiliary_outputs_get_their_own_loss():
    logits = torch.randn(1, 2, 4, 4)
    masks = Masks(logits, Selection.everything(1, 2), aux=(logits[..., ::2, ::2],))
    losses = BinaryCrossEntropy()(masks, torch.zeros(1, 4, 4, dtype=torch.long))
    assert set(losses) == {"loss_mask", "loss_aux0"}


# -- inference -------------------------------------------------------------------------------------

TEXT3 = TextFeatures(torch.eye(3)[:, None])


def colour_segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
    """Masks whose logits are the channels themselves: so errors of geometry are easy to see."""
    count = len(views_V3HW)
    features = ImageFeatures(views_V3HW[..., ::8, ::8], views_V3HW.mean((2, 3)))
    return features, Masks(views_V3HW / 64 - 2, Selection.everything(count, 3))


@pytest.mark.parametrize("global_view", [True, False])
def test_sliding_equals_a_written_out_merge(global_view):
    config = InferenceConfig("slide", 80, window=48, stride=32, global_view=global_view)
    image = make_images(1, 80)[0]
    scores = merged_scores(image, TEXT3, colour_segment, config)
    total, count = torch.zeros(3, 80, 80), torch.zeros(80, 80)
    for y in (0, 32):
        for x in (0, 32):
            window = image[:, y : y + 48, x : x + 48]
            total[:, y : y + 48, x : x + 48] += (window / 64 - 2).sigmoid()
            count[y : y + 48, x : x + 48] += 1
    expected = total / count
    if global_view:
        resize = torch.nn.functional.interpolate
        small = resize(image[None], size=(48, 48), mode="bilinear")
        whole = resize((small / 64 - 2).sigmoid(), size=(80, 80), mode="bilinear")[0]
        expected = (expected + whole) / 2
    torch.testing.assert_close(scores.probs_BKHW[0], expected)
    assert (scores.features is None) == (not global_view)


def test_views_are_merged_on_the_union_of_their_selections():
    def segment(views_V3HW):
        features, _ = colour_segment(views_V3HW)
        keep = torch.zeros(len(views_V3HW), 9, dtype=torch.bool)
        keep[:, 4] = True
        bright = views_V3HW.mean((1, 2, 3)) > 100
        keep[bright, 7] = True
        selection = Selection.from_mask(keep)
        logits = torch.full((*selection.index_BK.shape, 6, 6), 3.0)
        return features, Masks(logits, selection)

    image = torch.zeros(3, 64, 96)
    image[:, :, 64:] = 255
    text = TextFeatures(torch.randn(9, 1, 4))
    config = InferenceConfig("slide", (64, 96), window=64, stride=32, global_view=False)
    scores = merged_scores(image, text, segment, config)
    assert scores.selection.index_BK.tolist() == [[4, 7]]
    p = torch.tensor(3.0).sigmoid()
    torch.testing.assert_close(scores.probs_BKHW[0, 0], p.expand(64, 96))
    assert (scores.probs_BKHW[0, 1, :, :32] == 0).all(), "kept by the right window only"
    torch.testing.assert_close(scores.probs_BKHW[0, 1, :, 70:], p.expand(64, 26))
    assert scores.probs_BTHW().shape == (1, 9, 64, 96)


def test_merged_logits_are_the_mean_over_the_windows_that_kept_a_category():
    def segment(views_V3HW):
        features, _ = colour_segment(views_V3HW)
        keep = torch.ones(len(views_V3HW), 3, dtype=torch.bool)
        keep[views_V3HW.mean((1, 2, 3)) < 100, 2] = False
        selection = Selection.from_mask(keep)
        logits = selection.gather(torch.eye(3)[0])[..., None, None] + views_V3HW.mean(1)[:, None]
        return features, Masks(logits / 64, selection)

    image = torch.linspace(0, 255, 96).expand(3, 64, 96).contiguous()
    config = InferenceConfig(
        "slide", (64, 96), window=64, stride=16, global_view=False, activation="softmax"
    )
    logits = dataclasses.replace(config, merge="logits")
    scores = merged_scores(image, TEXT3, segment, logits)
    total, count = torch.zeros(3, 64, 96), torch.zeros(3, 64, 96)
    for x in (0, 16, 32):
        view = image[None, :, :, x : x + 64]
        masks = segment(view)[1]
        for slot in masks.selection.valid_BK[0].nonzero()[:, 0].tolist():
            category = int(masks.selection.index_BK[0, slot])
            total[category, :, x : x + 64] += masks.logits_BKHW[0, slot]
            count[category, :, x : x + 64] += 1
    expected = (total / count).nan_to_num(-torch.inf).softmax(0)
    assert (count == 0).any(), "somewhere no window kept the last category"
    torch.testing.assert_close(scores.probs_BKHW[0], expected)
    every = merged_scores(image, TEXT3, colour_segment, logits).probs_BKHW
    torch.testing.assert_close(every[0], (image / 64 - 2).softmax(0))
    with pytest.raises(ValueError, match="global_view=False"):
        dataclasses.replace(logits, global_view=True)


def test_union_is_ascending():
    masks = torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1]], dtype=torch.bool)
    both = Selection.union([Selection.from_mask(masks[i : i + 1]) for i in range(2)])
    assert both.index_BK.tolist() == [[0, 1, 3]]


def test_views_per_batch_changes_nothing():
    model = compose()
    text = model.encode_vocabulary(make_names(5))
    results = []
    for views in (1, 3, 8):
        model.inference = InferenceConfig(
            "slide", 128, window=96, stride=32, views_per_batch=views, activation="softmax"
        )
        results.append(model.scores(make_images(1, 150)[0], text).probs_BKHW)
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_label_map_in_chunks_equals_arg_max():
    torch.manual_seed(0)
    keep = torch.rand(2, 40) > 0.4
    selection = Selection.from_mask(keep)
    probs = torch.rand(*selection.index_BK.shape, 5, 5) * selection.valid_BK[:, :, None, None]
    scores = Scores(probs, selection, None, TextFeatures(torch.randn(40, 1, 4)))
    big = torch.nn.functional.interpolate(probs, size=(9, 7), mode="bilinear")
    expected = Scores(big, selection, None, scores.text).labels_BHW()
    for chunk in (1, 7, 100):
        labels, best = best_labels(scores, (9, 7), chunk)
        assert torch.equal(labels, expected)
        torch.testing.assert_close(best, big.masked_fill(big == 0, -1).amax(1))


def test_the_lower_index_wins_a_tie_and_padding_never_does():
    selection = Selection.from_mask(torch.tensor([[0, 1, 1], [0, 0, 1]], dtype=torch.bool))
    scores = Scores(torch.zeros(2, 2, 2, 2), selection, None, TextFeatures(torch.randn(3, 1, 4)))
    assert label_map(scores, (2, 2)).unique(dim=0).flatten(1)[:, 0].tolist() == [1, 2]
    assert scores.labels_BHW()[:, 0, 0].tolist() == [1, 2]


def test_memory_of_the_map_follows_the_kept_categories():
    """A vocabulary of 20,000 categories with 4 kept makes maps of 4."""
    model = compose(selector=dict(type="ClipTopK", k=4))
    embeds = torch.nn.functional.normalize(torch.randn(20_000, 1, 16), dim=2)
    scores = model.scores(make_images(1)[0], TextFeatures(embeds))
    assert scores.probs_BKHW.shape[1] == 4
    assert scores.selection.num_categories == 20_000


# -- synonyms --------------------------------------------------------------------------------------


def test_with_max_a_category_scores_as_its_best_synonym():
    """Maximum over the synonyms, at full resolution and after the softmax."""
    parts = dict(inference=dict(activation="softmax"))
    best = compose(prompts=dict(synonyms="max"), **parts)
    plain = compose(**parts)
    plain.load_state_dict(best.state_dict())
    image, owners = make_images(1)[0], torch.tensor([0, 1, 1, 1, 2])
    names, queries = (
        ("cat", "sofa, couch, settee", "dog"),
        ("cat", "sofa", "couch", "settee", "dog"),
    )
    scores = plain.scores(image, plain.encode_vocabulary(queries))
    probs_QHW = resize(scores.probs_BTHW(), (50, 70))[0]
    probs_THW = torch.stack([probs_QHW[owners == t].amax(0) for t in range(3)])
    text = best.encode_vocabulary(names)
    labels_HW = best.label_map(best.scores(image, text), (50, 70))
    assert torch.equal(labels_HW, probs_THW.argmax(0))
    assert labels_HW.unique().tolist() == [0, 1, 2]
    assert best.encode_vocabulary(("cat", "dog")).vocabulary.owners is None


def test_max_is_not_a_rule_for_training():
    model = compose(prompts=dict(synonyms="max"))
    labels = torch.zeros(8, 8, dtype=torch.long)
    with pytest.raises(ValueError, match="Train with synonyms='first' or 'average'"):
        model.forward(make_images(1), [sample(("sofa, couch", "cat"), labels)], mode="loss")


# -- values that are not finite --------------------------------------------------------------------


class Spoilt(nn.Module):
    """Component whose output has one value that is not finite."""

    def __init__(self, component: nn.Module, field: str | None, value: float = torch.nan) -> None:
        super().__init__()
        self.component, self.field, self.value = component, field, value
        self.reads_regions = False

    def forward(self, *arguments):
        output = self.component(*arguments)
        getattr(output, self.field).view(-1)[0] = self.value
        return output


@pytest.mark.parametrize(
    ("part", "field", "kind"),
    [
        ("head", "cost_BKDhw", "cost volume"),
        ("decoder", "logits_BKHW", "masks"),
        ("post_processor", "probs_BKHW", "scores"),
    ],
)
@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_nan_is_an_error_that_names_the_stage(part, field, kind, activation):
    model = compose(inference=dict(activation=activation))
    setattr(model, part, Spoilt(getattr(model, part), field))
    text = model.encode_vocabulary(make_names(3))
    message = f"the {kind} of the {part.replace('_', '-')} \\(Spoilt\\)"
    with pytest.raises(NonFiniteError, match=message):
        model.scores(make_images(1)[0], text)


def test_a_logit_that_overflows_is_an_error_although_its_probability_is_1():
    model = compose(inference=dict(activation="sigmoid"))
    model.decoder = Spoilt(model.decoder, "logits_BKHW", torch.inf)
    text = model.encode_vocabulary(make_names(3))
    with pytest.raises(NonFiniteError, match=r"the masks of the decoder \(Spoilt\)"):
        model.scores(make_images(1)[0], text)


def test_minus_infinity_excludes_a_category_and_is_no_error():
    model = compose(inference=dict(activation="sigmoid"))
    model.decoder = Spoilt(model.decoder, "logits_BKHW", -torch.inf)
    scores = model.scores(make_images(1)[0], model.encode_vocabulary(make_names(3)))
    assert scores.probs_BKHW.isfinite().all()


def test_nan_in_the_text_embeddings_is_an_error():
    model = compose()
    text = model.encode_vocabulary(make_names(3))
    text.embeds_TPC[1, 0, 0] = torch.nan
    with pytest.raises(NonFiniteError, match="text embeddings of the encoder"):
        model.scores(make_images(1)[0], text)
