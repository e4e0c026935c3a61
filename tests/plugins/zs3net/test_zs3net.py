"""ZS3Net: names of its checkpoints, and its closed classifier as a text encoder."""

from __future__ import annotations

import pytest
import torch
from ovss_plugins.zs3net import ClosedDeepLabEncoder
from ovss_plugins.zs3net.convert import convert, official_names

from ovss.benchmark.complexity import on_meta
from ovss.heads import DotProductHead
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible
from ovss.structures import Selection, Vocabulary
from ovss.testing.tiny import make_images

CLASSES = ("background", "cat", "tvmonitor, tv")


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ClosedDeepLabEncoder(CLASSES).eval()


def test_a_checkpoint_has_every_name():
    assert "zs3net" in convertible()
    own = on_meta(load_config("zs3net_r101_voc")).state_dict()
    state = {n: torch.empty(own[ours].shape, device="meta") for n, ours in official_names()}
    name = "decoder.pred_conv.weight"
    state[name] = torch.empty(21, 256, 1, 1, device="meta")
    state["aspp.bn1.num_batches_tracked"] = torch.empty((), device="meta")
    conversion = convert(state)
    assert {n: x.shape for n, x in conversion.tensors.items()} == {
        n: x.shape for n, x in own.items()
    }
    assert set(conversion.dropped) == {"aspp.bn1.num_batches_tracked"}
    with pytest.raises(CheckpointError, match="1 names not known: more"):
        convert({**state, "more": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="found none"):
        convert({"weight": torch.zeros(1)})


def test_logits_are_those_of_the_classifier(encoder):
    images = make_images(2, 33)
    with torch.inference_mode():
        features = encoder.encode_image(images)
        text = encoder.encode_text(Vocabulary(("TV", "background"), ("{}", "a {}")))
        head = DotProductHead(257, lengths=True)
        found = head(features, text, Selection.everything(2, 2)).cost_BKDhw[:, :, 0]
        pixels = (images - encoder.mean_311) / encoder.std_311
        cells = encoder.network(pixels).permute(0, 2, 3, 1)
        expected = encoder.classifier(cells).permute(0, 3, 1, 2)[:, [2, 0]]
    assert cells.shape == (2, 9, 9, 256)
    torch.testing.assert_close(text.embeds_TPC.norm(dim=2), torch.ones(2, 2))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_vocabulary_is_closed(encoder):
    with pytest.raises(ValueError, match=r"cannot segment 'giraffe'.*background, cat, tvmonitor"):
        encoder.encode_text(Vocabulary(("cat", "giraffe")))


def test_nothing_trains(encoder):
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    means = {n: b.clone() for n, b in encoder.named_buffers() if n.endswith("running_mean")}
    encoder.train().encode_image(make_images(2, 33))
    encoder.eval()
    assert means
    assert all(torch.equal(b, means[n]) for n, b in encoder.named_buffers() if n in means)
