"""Calibrated stacking of maps and of regions, for names with synonyms and padded selections."""

from __future__ import annotations

import pytest
import torch

from ovss.inference import dense_scores
from ovss.models.build import build_model
from ovss.postprocessors import CalibratedStacking
from ovss.regions import OWNERSHIPS
from ovss.structures import Scores, Selection, TextFeatures, Vocabulary
from ovss.testing.tiny import make_images

NAMES = ("Dog", "giraffe", "cow, cat", "bird")


def scores() -> Scores:
    torch.manual_seed(0)
    keep = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0]], dtype=torch.bool)
    selection = Selection.from_mask(keep)
    probs = torch.rand(2, 4, 3, 5) * selection.valid_BK[:, :, None, None]
    text = TextFeatures(torch.randn(4, 1, 4), vocabulary=Vocabulary(NAMES))
    return Scores(probs, selection, None, text)


def test_only_seen_categories_lose_the_constant():
    before = scores()
    after = CalibratedStacking(0.6, ("dog", "cat"))(before)
    lost = before.probs_BTHW() - after.probs_BTHW()
    expected = torch.tensor([[0.6, 0, 0.6, 0], [0, 0, 0.6, 0]])[:, :, None, None].expand_as(lost)
    torch.testing.assert_close(lost, expected)
    assert (after.probs_BKHW[1, 2:] == 0).all(), "padding stays"


@pytest.mark.parametrize("calibration", [(0.0, ("dog",)), (0.6, ())])
def test_without_a_constant_or_names_nothing_changes(calibration):
    before = scores()
    assert CalibratedStacking(*calibration)(before) is before


@pytest.mark.parametrize("ownership", OWNERSHIPS)
def test_scores_of_regions_stay_factored_and_merge_to_the_same(ownership):
    def segment(post_processor):
        torch.manual_seed(0)
        model = build_model(
            dict(
                encoder=dict(type="TinyEncoder", proposals=6),
                head=dict(type="RegionHead", joint_dim=16),
                decoder=dict(type="ComposeDecoder", ownership=ownership),
                post_processor=post_processor,
                inference=dict(activation="none"),
            )
        ).eval()
        text = model.encode_vocabulary(NAMES)
        return model, model.scores(make_images(1)[0], text)

    _, plain = segment(dict(type="Identity"))
    calibrated = dict(type="CalibratedStacking", gamma=0.3, seen=("dog", "cat"))
    _, found = segment(calibrated)
    assert type(found) is type(plain)
    lost = dense_scores(plain).probs_BKHW - dense_scores(found).probs_BKHW
    expected = torch.tensor([0.3, 0, 0.3, 0])[None, :, None, None].expand_as(lost)
    torch.testing.assert_close(lost, expected, atol=1e-5, rtol=0)


def test_a_negative_constant_is_refused():
    with pytest.raises(ValueError, match=r"gamma of at least 0, got -0\.5"):
        CalibratedStacking(-0.5, ())
