"""Bucketed: few shapes, the same labels."""

from __future__ import annotations

import pytest
import torch

from ovss.models.configs import load_config
from ovss.selectors import Bucketed
from ovss.structures import Selection
from ovss.testing import LAWS, loss_and_prediction_work, make_images, make_names, with_tiny_encoder

METHODS = ("dcp_clip_mini", "cat_seg_dcs_mini", "sed_dcs_mini", "maskclip_dcs_mini")


def with_buckets(name: str, sizes: tuple[int, ...] | None = None):
    """Method of a config without and with buckets, with the same parameters."""
    config = load_config(name)
    plain = with_tiny_encoder(config)
    config.model.selector = dict(type="Bucketed", selector=dict(config.model.selector))
    if sizes:
        config.model.selector["sizes"] = sizes
    bucketed = with_tiny_encoder(config)
    bucketed.head.load_state_dict(plain.head.state_dict())
    bucketed.decoder.load_state_dict(plain.decoder.state_dict())
    return plain, bucketed


@pytest.mark.parametrize("name", METHODS)
@torch.no_grad()
def test_buckets_change_no_label(name):
    plain, bucketed = with_buckets(name, (4, 8, 16))
    text = plain.encode_vocabulary(make_names(12))
    kept = set()
    for image in make_images(4, 160):
        expected = plain.scores(image, text)
        scores = bucketed.scores(image, text)
        kept.add(expected.selection.index_BK.shape[1])
        assert torch.equal(plain.label_map(scores, (50, 40)), plain.label_map(expected, (50, 40)))
        torch.testing.assert_close(scores.probs_BTHW(), expected.probs_BTHW(), atol=1e-5, rtol=1e-4)
    assert kept


@pytest.mark.parametrize("law", [loss_and_prediction_work, *LAWS], ids=lambda law: law.__name__)
def test_laws_hold_with_buckets(law):
    law(with_buckets("dcp_clip_mini", (2, 5, 400))[1])


def test_selection_is_padded_and_keeps_its_numbers():
    keep = torch.tensor([[1, 0, 1, 1, 0], [0, 1, 0, 0, 0]], dtype=torch.bool)
    plain = Selection.from_mask(keep)
    padded = plain.padded_to(5)
    assert padded.index_BK.shape == (2, 5)
    assert padded.counts == (3, 1)
    assert torch.equal(padded.mask(), plain.mask())
    assert torch.equal(padded.category_N, plain.category_N)
    assert padded.pairs.full
    assert padded.pairs.pack(padded.index_BK).shape == (10,)
    assert Selection.union([padded]).index_BK.tolist() == [[0, 1, 2, 3]]
    assert plain.pairs is plain


def test_training_keeps_the_selection():
    _, bucketed = with_buckets("dcp_clip_mini", (64,))
    bucketed.train()
    text = bucketed.encode_vocabulary(make_names(5))
    image = bucketed.encoder.encode_image(make_images(1))
    assert not bucketed.selector(image, text).padded
    assert bucketed.eval().selector(image, text).index_BK.shape[1] == 5  # the whole vocabulary


@torch.no_grad()
def test_the_decoder_compiles_once_for_each_bucket():
    _, model = with_buckets("dcp_clip_mini", (4, 8))
    graphs = []

    def backend(module, inputs):
        graphs.append(module)
        return module.forward

    decoder = torch.compile(model.decoder, backend=backend, dynamic=False)
    text = model.encode_vocabulary(make_names(12))
    image = model.encoder.encode_image(make_images(1))
    counts = []
    for kept in (3, 2, 4, 1, 7, 5, 8, 6):
        keep = torch.arange(12)[None] < kept
        selection = Selection.from_mask(keep).padded_to(4 if kept <= 4 else 8)
        decoder(model.head(image, text, selection))
        counts.append(len(graphs))
    assert counts[0] == counts[3] < counts[4] == counts[-1]


@pytest.mark.parametrize("sizes", [(), (0, 4), (8, 4), (4, 4)])
def test_sizes_are_checked(sizes):
    with pytest.raises(ValueError, match="sizes"):
        Bucketed(dict(type="KeepAll"), sizes)
