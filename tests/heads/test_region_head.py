"""Options of RegionHead: categories of training, synonyms of every source, bad numbers."""

from __future__ import annotations

import math

import pytest
import torch

from ovss.heads.region import RegionHead
from ovss.models.build import build_model
from ovss.testing.tiny import make_images


def aligned_with(names, synonyms="average", **head):
    torch.manual_seed(0)
    model = build_model(
        dict(
            encoder=dict(type="TinyEncoder", proposals=6, sources=2),
            head=dict(type="RegionHead", joint_dim=16, scales=(20.0, 30.0), void="none", **head),
            decoder=dict(type="ComposeDecoder"),
            inference=dict(activation="none"),
            prompts=dict(synonyms=synonyms),
        )
    ).eval()
    text = model.encode_vocabulary(names)
    image = model.encoder.encode_image(make_images(2))
    return model.head(image, text, model.selector(image, text)), image.proposals.embed_BQSC, text


@pytest.mark.parametrize("seen", [(), ("thing 0", "thing 2"), ("thing 0", "thing 1", "thing 2")])
def test_seen_categories_have_exponents_of_their_own(seen):
    """Without renormalising, the share of a category is the product of its own powers."""
    rule = dict(seen=(1.0, 0.0), unseen=(0.0, 1.0), renormalize=False)
    names = ("thing 0", "thing 1", "thing 2")
    aligned, embed_BQSC, text = aligned_with(names, ensemble=rule, seen=list(seen))
    unit_TC = torch.nn.functional.normalize(text.mean_TC, dim=1)
    unit_BQSC = torch.nn.functional.normalize(embed_BQSC, dim=3)
    first, second = (
        (scale * unit_TC @ unit_BQSC[:, :, source].transpose(1, 2)).softmax(1)
        for source, scale in enumerate((20.0, 30.0))
    )
    is_seen = torch.tensor([name in seen for name in names])[:, None]
    expected = torch.where(is_seen, first, second)
    torch.testing.assert_close(aligned.logits_BKQ.exp(), expected)


def test_every_source_takes_the_highest_logit_of_synonyms():
    """The maximum comes before the softmax, also in sources that run at inference only."""
    rule = dict(seen=(0.3, 0.7), unseen=(0.3, 0.7))
    names = ("thing 0, thing 1", "thing 3", "thing 4")
    aligned, embed_BQSC, text = aligned_with(names, "max", ensemble=rule)
    unit_BQSC = torch.nn.functional.normalize(embed_BQSC, dim=3)
    unit_TC = torch.nn.functional.normalize(text.mean_TC, dim=1)
    logs = []
    for source, scale in enumerate((20.0, 30.0)):
        logits = scale * unit_TC @ unit_BQSC[:, :, source].transpose(1, 2)
        merged = torch.stack([logits[:, :2].amax(1), logits[:, 2], logits[:, 3]], dim=1)
        logs.append(merged.log_softmax(1))
    expected = (0.3 * logs[0] + 0.7 * logs[1]).softmax(1)
    torch.testing.assert_close(aligned.logits_BKQ.exp(), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        dict(scales=(math.inf,)),
        dict(scales=(math.nan,)),
        dict(scales=()),
        dict(max_scale=math.inf),
        dict(void_std=math.inf),
        dict(ensemble=dict(seen=(math.inf,), unseen=(1.0,))),
        dict(ensemble=dict(seen=(math.nan,), unseen=(1.0,))),
        dict(ensemble=dict(seen=(1.0,), unseen=(1.0,), floor=math.inf)),
    ],
)
def test_numbers_that_would_give_nan_are_refused(options):
    with pytest.raises(ValueError, match="finite"):
        RegionHead(16, **options)
