"""The encoder of EBSeg at small sizes: its parts against plain formulas, training, and options."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.ebseg.parts import RegionBias
from ovss_plugins.ebseg.sam import SAMPyramid, load_sam

from ovss.encoders import OpenCLIPEncoder
from ovss.models.build import build_model
from ovss.models.checkpoint import write_weights
from ovss.testing.tiny import make_images, make_names, make_sample

SAM = dict(width=32, depth=4, heads=2, image_size=64, window=3, whole=(0, 1, 2, 3))
SMALL = dict(
    type="EBSegEncoder",
    model="mini_clip",
    sam=SAM,
    split=4,
    surgery=1,
    taps=(1, 2, 4),
    queries=5,
    dim=64,
    heads=4,
    pixel_layers=1,
    pixel_feedforward=64,
    layers=3,
    feedforward=64,
)


def small_model(**encoder):
    torch.manual_seed(0)
    return build_model(
        dict(
            encoder=SMALL | encoder,
            head=dict(
                type="RegionHead",
                joint_dim=128,
                scales=(100.0, 100.0, 100.0),
                normalize=(False,),
                trained=2,
                ensemble=dict(seen=(0.21, 0.7, 0.09), unseen=(0.0, 0.7, 0.3), product_floor=1e-8),
                seen=("thing 1",),
            ),
            decoder=dict(type="ComposeDecoder"),
            criterion=dict(type="set_matching", points=64, similarity_weight=10.0),
            inference=dict(activation="none"),
        )
    )


@pytest.fixture(scope="module")
def model():
    return small_model().eval()


def test_an_image_is_the_same_alone_and_in_a_batch(model):
    images = make_images(3)[:, :, :70]
    with torch.inference_mode():
        together = model.encoder.encode_image(images)
        alone = model.encoder.encode_image(images[1:2])
    pairs = (
        (together.dense_BChw, alone.dense_BChw),
        (together.pooled_BC, alone.pooled_BC),
        (together.proposals.mask_BQhw, alone.proposals.mask_BQhw),
        (together.proposals.embed_BQSC, alone.proposals.embed_BQSC),
    )
    for many, one in pairs:
        torch.testing.assert_close(many[1:2], one, atol=1e-4, rtol=1e-4)


def test_at_inference_only_the_last_layer_is_there_with_three_embeddings(model):
    with torch.inference_mode():
        features = model.encoder.encode_image(make_images(1)[:, :, :70])
    proposals = features.proposals
    assert proposals.earlier == ()
    assert proposals.embed_BQSC.shape == (1, 5, 3, 128)
    assert proposals.mask_BQhw.shape == (1, 5, 24, 24)  # stride 4 of the padded input
    assert features.padding == proposals.padding
    assert (features.padding.padded, features.padding.image) == ((96, 96), (70, 96))
    lengths_BQS = proposals.embed_BQSC.norm(dim=3)
    assert torch.allclose(lengths_BQS[..., :2], torch.ones(1, 5, 2), atol=1e-5)
    assert (lengths_BQS[..., 2] <= 1 + 1e-5).all()


def test_dense_tokens_are_those_of_clip_surgery(model):
    """The image is a multiple of the padding, so that the other encoder sees the same pixels."""
    images, clip = make_images(2, 128), model.encoder.clip
    with torch.inference_mode():
        found = model.encoder.encode_image(images)
        surgery = OpenCLIPEncoder("mini_clip", dense=dict(type="clip_surgery", depth=5))
        surgery.clip.load_state_dict(clip.state_dict())
        expected = surgery.eval().encode_image(F.interpolate(images, (64, 64), mode="bilinear"))
    torch.testing.assert_close(found.dense_BChw, expected.dense_BChw, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found.pooled_BC, expected.pooled_BC, atol=1e-4, rtol=1e-4)


def test_biases_are_products_of_queries_and_pixels():
    torch.manual_seed(0)
    part, heads, dim = RegionBias(8, 3), 3, 8
    torch.nn.init.constant_(part.scale.weight, -1.7)
    query_BMD, fine_BDhw = torch.randn(2, 4, dim), torch.randn(2, dim, 7, 9)
    pixel_BLE = part.out(part.hidden(fine_BDhw.flatten(2).transpose(1, 2)).relu())
    pixel_BLHD = pixel_BLE.unflatten(2, (heads, dim))
    bias_BHML = part.scale(torch.einsum("bmd,blhd->bhml", query_BMD, pixel_BLHD)[..., None])
    expected = F.adaptive_max_pool2d(bias_BHML[..., 0].flatten(1, 2).unflatten(2, (7, 9)), (3, 4))
    found = part(query_BMD, fine_BDhw, (3, 4))
    torch.testing.assert_close(found.flatten(1, 2), expected.flatten(2), atol=1e-5, rtol=1e-5)


def test_training_reaches_what_trains_and_nothing_else():
    model = small_model().train()
    losses = model(make_images(2), [make_sample(4), make_sample(4)], mode="loss")
    parts = ("loss_class", "loss_class_source1", "loss_mask", "loss_dice")
    layers = ("", "_0", "_1", "_2")
    assert set(losses) == {f"{p}{i}" for p in parts for i in layers} | {"loss_similarity"}
    sum(losses.values()).backward()
    without = {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
    assert not without
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None}
    frozen = {n for n in with_gradient if n.startswith(("encoder.clip.", "encoder.sam."))}
    assert frozen == {"encoder.clip.visual.positional_embedding", "encoder.sam.trunk.pos_embed"}


def test_images_without_labels_give_finite_losses():
    model, sample = small_model().train(), make_sample(4)
    sample.gt_sem_seg.data.fill_(-1)
    losses = model(make_images(2), [sample, make_sample(4)], mode="loss")
    assert all(torch.isfinite(value) for value in losses.values())
    losses = model(make_images(1), [sample], mode="loss")
    assert all(torch.isfinite(value) for value in losses.values())
    assert losses["loss_similarity"] == 0


def test_a_photograph_of_any_size_is_segmented(model):
    text = model.encode_vocabulary(make_names(3))
    for size in ((1, 1), (33, 100)):
        scores = model.scores(255 * torch.rand(3, *size), text)
        assert model.label_map(scores, size).shape == size


def test_weights_of_sam_are_read_from_its_published_layout(tmp_path):
    torch.manual_seed(1)
    one, other = SAMPyramid(**SAM), SAMPyramid(**SAM)
    published = {
        "image_encoder." + name.replace("mlp.fc", "mlp.lin"): value
        for name, value in one.trunk.state_dict().items()
    }
    path = tmp_path / "sam.safetensors"
    write_weights(published | {"prompt_encoder.x": torch.zeros(1)}, path, {}, "sam")
    load_sam(other, str(path))
    pixels = torch.randn(1, 3, 64, 96)
    assert all(torch.equal(a, b) for a, b in zip(one(pixels), other(pixels), strict=True))
    published.popitem()
    write_weights(published, path, {}, "sam")
    with pytest.raises(RuntimeError, match=r"do not fit this SAM encoder: 1 of \d+ tensors"):
        load_sam(other, str(path))
    with pytest.raises(FileNotFoundError, match=r"none\.pth of SAM does not exist"):
        load_sam(other, "none.pth")
    with pytest.raises(ValueError, match=r"are a \.pth, .pt or \.safetensors file, got 'sa1b'"):
        load_sam(other, "sa1b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(split=6), r"split in 1\.\.5 and surgery in 0\.\.5, got 6 and 1"),
        (dict(taps=(1, 2)), r"taps expects 3 of CLIP's blocks 1 to split=4, got \[1, 2\]"),
        (dict(taps=(1, 2, 5)), "taps expects 3"),
        (dict(divisor=16), "even number of SAM's patches of 16 pixels"),
        (dict(clip_scale=0.1), "at least CLIP's patch of 8 pixels"),
        (dict(sam=dict(SAM, whole=(0, 1))), "`whole` expects 4 blocks"),
        (dict(divisor=0), "divisor must be at least 1"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        small_model(**options)
