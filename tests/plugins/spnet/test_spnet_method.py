"""SPNet: names of its checkpoints, laws, scales, word vectors as a text encoder, recipe."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from ovss_plugins.spnet import ScaleMaxDecoder, WordVectorEncoder
from ovss_plugins.spnet.convert import convert, official_names

from ovss.benchmark.complexity import on_meta
from ovss.heads import DotProductHead
from ovss.io.shapes_only import shapes_only
from ovss.layers.resnet import ResNet
from ovss.models.build import build_model
from ovss.models.checkpoint import CheckpointError
from ovss.models.configs import load_config
from ovss.models.conversion import convertible
from ovss.structures import Alignment, ImageFeatures, Selection, TextFeatures, Vocabulary
from ovss.testing import LAWS
from ovss.testing.tiny import make_images
from ovss.training.optim import NamedRules

BACKBONE = dict(type="ResNet", depth=50, output_stride=8, stride_first=True)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return WordVectorEncoder(None, 12, BACKBONE, dilations=(1, 2), image_size=33).eval()


@pytest.fixture(scope="module")
def model(encoder):
    model = build_model(
        dict(
            encoder=encoder,
            head=dict(type="DotProductHead", joint_dim=12, levels=2),
            decoder=dict(type="ScaleMaxDecoder", cost_dim=3),
            criterion=dict(type="cross_entropy"),
            inference=dict(size=33, activation="softmax"),
        )
    )
    return model.eval()


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_laws_with_the_real_encoder(model, law):
    law(model)
    model.eval()


def test_a_checkpoint_has_every_name_and_its_first_convolution_sees_rgb():
    assert "spnet" in convertible()
    own = on_meta(load_config("spnet_r101_voc")).state_dict()
    state = {}
    for name, ours in official_names():
        state[f"module.scale.{name}"] = torch.empty(own[ours].shape, device="meta")
        if name.endswith("running_var"):
            counter = name.replace("running_var", "num_batches_tracked")
            state[f"module.scale.{counter}"] = torch.empty((), device="meta")
    first = "module.scale.layer1.conv1.conv.weight"
    state[first] = torch.arange(3.0).view(1, 3, 1, 1).expand(64, 3, 7, 7)
    conversion = convert(state)
    assert {n: x.shape for n, x in conversion.tensors.items()} == {
        n: x.shape for n, x in own.items()
    }
    assert set(conversion.source.values()) | set(conversion.dropped) == set(state)
    turned = conversion.tensors["encoder.backbone.stem.0.weight"]
    assert turned[0, :, 0, 0].tolist() == [2, 1, 0]
    with pytest.raises(CheckpointError, match=r"names missing: .*aspp\.stages\.c3\.bias"):
        convert({n: x for n, x in state.items() if not n.endswith("c3.bias")})
    with pytest.raises(CheckpointError, match="found none"):
        convert({"weight": torch.zeros(1)})


def test_a_stride_of_eight_has_the_grid_and_the_dilations_of_deeplab():
    """An image of 513 pixels has 65 cells; the last two stages are dilated by 2 and 4."""
    with shapes_only():
        backbone = ResNet(101, output_stride=8, stride_first=True)
        maps = backbone(torch.empty(1, 3, 513, 513))
    assert [tuple(x.shape[1:]) for x in maps] == [
        (256, 129, 129), (512, 65, 65), (1024, 65, 65), (2048, 65, 65)
    ]  # fmt: skip
    dilations = [{block.conv2.dilation[0] for block in stage} for stage in backbone.stages]
    assert dilations == [{1}, {1}, {2}, {4}]
    assert backbone.stages[1][0].conv1.stride == (2, 2)
    with pytest.raises(ValueError, match="output_stride of 32, 16 or 8, got 4"):
        ResNet(101, output_stride=4)


def test_dense_tokens_are_a_sum_and_levels_are_smaller_scales(encoder):
    images = make_images(2, 33)
    with torch.inference_mode():
        found = encoder.encode_image(images)
        pixels = images - encoder.mean_311
        last = encoder.backbone(pixels)[-1]
        expected = encoder.project[0](last) + encoder.project[1](last)
        small = F.interpolate(pixels, size=(16, 16), mode="bilinear")
        level = sum(layer(encoder.backbone(small)[-1]) for layer in encoder.project)
        level = F.interpolate(level, size=found.dense_BChw.shape[2:], mode="bilinear")
    torch.testing.assert_close(found.dense_BChw, expected)
    torch.testing.assert_close(found.levels[1], level)


def test_texts_are_word_vectors_under_every_template(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("cat 3 4\ndog 0 2\n", encoding="utf-8")
    encoder = WordVectorEncoder(str(path), 2, BACKBONE, dilations=(1,))
    templates = ("{}", "a photo of a {}.")
    text = encoder.encode_text(Vocabulary(("cat", "dog, cat"), templates, "average"))
    assert text.embeds_TPC.shape == (2, 2, 2)
    torch.testing.assert_close(text.embeds_TPC[0], torch.tensor([[0.6, 0.8]] * 2))
    mean = F.normalize(torch.tensor([0.3, 0.9]), dim=0)
    torch.testing.assert_close(text.embeds_TPC[1, 0], mean)


def test_products_are_not_normalised_and_the_highest_scale_wins():
    torch.manual_seed(0)
    levels = (torch.randn(1, 4, 2, 3),)
    image = ImageFeatures(torch.randn(1, 4, 2, 3), torch.randn(1, 4), levels)
    text = TextFeatures(torch.randn(5, 1, 4), levels=(torch.rand(5, 1),))
    selection = Selection.from_mask(torch.tensor([[1, 0, 1, 1, 0]], dtype=torch.bool))
    plain = DotProductHead(4, levels=1)(image, text, selection)
    expected = torch.einsum("kc,bchw->bkhw", text.embeds_TPC[[0, 2, 3], 0], image.dense_BChw)
    torch.testing.assert_close(plain.cost_BKDhw[:, :, 0], expected)
    scaled = DotProductHead(4, lengths=True)(image, text, selection)
    lengths = text.levels[0][[0, 2, 3]][None, :, :, None]
    torch.testing.assert_close(scaled.cost_BKDhw[:, :, 0], expected * lengths)
    with pytest.raises(ValueError, match="the first level of the text"):
        DotProductHead(4, lengths=True)(image, TextFeatures(text.embeds_TPC), selection)

    decoder = ScaleMaxDecoder(2, stride=4)
    aligned = Alignment(plain.cost_BKDhw, image, text, selection)
    masks = decoder.eval()(aligned)
    assert masks.logits_BKHW.shape == (1, 3, 5, 9)
    highest = torch.maximum(*plain.cost_BKDhw.unbind(2))
    expected = F.interpolate(highest, size=(5, 9), mode="bilinear")
    torch.testing.assert_close(masks.logits_BKHW, expected)
    assert masks.aux == ()
    assert len(decoder.train()(aligned).aux) == 2


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: WordVectorEncoder(None, 0, BACKBONE), "dims must be at least 1"),
        (lambda: WordVectorEncoder(None, 4, BACKBONE, dilations=()), "dilations must be"),
        (lambda: WordVectorEncoder(None, 4, BACKBONE, scales=(0.0,)), "scales above 0"),
        (lambda: ScaleMaxDecoder(0), "cost_dim must be at least 1"),
        (lambda: DotProductHead(4, levels=-1), "levels must be at least 0"),
    ],
)
def test_options_that_do_not_fit_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_rates_of_the_recipe():
    """Projection x 10, its biases x 20 without decay."""
    config = load_config("spnet_r101_voc")
    wrapper = dict(config.optim_wrapper)
    groups = NamedRules(wrapper, dict(wrapper.pop("paramwise_cfg"))).groups(on_meta(config))
    found = {(g["lr"], g["weight_decay"], len(g["params"])) for g in groups}
    assert found == {(2.5e-4, 5e-4, 104), (2.5e-3, 5e-4, 4), (5e-3, 0.0, 4)}
