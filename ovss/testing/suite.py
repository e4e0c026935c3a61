"""The suite for methods: what every class and every composition owes its users.

One line is the whole of it:

    def test_method(): check_method("my_method_mini")     # one config
    def test_plugin(): check_plugin("my_package")         # every class and config of a package

In parts: `CONTRACT` are functions of a class, `LAWS` of a segmentor in evaluation mode; each raises
AssertionError where it is broken. Laws work from features, so an encoder that costs nothing
(`TinyEncoder`) stands in for the real one: `with_tiny_encoder`.
"""

from __future__ import annotations

import copy
import importlib
import zlib
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.structures import BaseDataElement, PixelData
from torch import Tensor, nn

from ovss.interfaces import Encoder
from ovss.models.build import build_model
from ovss.models.configs import load_config, plugin_configs
from ovss.models.parts import without_pretrained
from ovss.registry import ENCODERS
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import ImageFeatures, Masks, Selection, TextFeatures, Vocabulary

from .contract import CONTRACT, registered_by


@ENCODERS.register_module()
class TinyEncoder(Encoder):
    """An encoder for tests: fixed random projections of patch colours, hashed words.

    Args:
        joint_dim, level_dims, level_scales, text_level_dims, attention: what it declares and gives.
        patch: pixels a side of a feature cell.
        image_size: pictures are resized to this side; None: to whole patches.
    """

    def __init__(
        self,
        joint_dim: int = 16,
        level_dims: tuple[int, ...] = (),
        level_scales: tuple[int, ...] = (),
        attention: bool = False,
        text_level_dims: tuple[int, ...] = (),
        patch: int = 16,
        image_size: int | None = 96,
    ) -> None:
        super().__init__()
        self.joint_dim = joint_dim
        self.level_dims = tuple(level_dims)
        self.level_scales = tuple(level_scales)
        self.text_level_dims = tuple(text_level_dims)
        self.gives_attention = attention
        self.patch = patch
        self.image_size = image_size
        generator = torch.Generator().manual_seed(0)
        widths = (joint_dim, *self.level_dims)
        self.projections = nn.ParameterList(
            torch.randn(width, 3, 3, 3, generator=generator) for width in widths
        )

    def encode_image(self, image_B3HW: Tensor) -> ImageFeatures:
        height, width = image_B3HW.shape[-2:]
        if self.image_size is not None:
            height = width = self.image_size
        grid = (max(height // self.patch, 1), max(width // self.patch, 1))
        pixels_B3HW, maps = image_B3HW.float() / 128 - 1, []
        scales = (1, *(self.level_scales or (1,) * len(self.level_dims)))
        for weight, scale in zip(self.projections, scales, strict=True):
            size = (grid[0] * scale, grid[1] * scale)
            small_B3hw = F.interpolate(pixels_B3HW, size=size, mode="bilinear")
            maps.append(F.conv2d(small_B3hw, weight, padding=1).tanh())
        dense, *levels = maps
        attention = None
        if self.gives_attention:
            flat_BNC = dense.flatten(2).transpose(1, 2)
            attention = (flat_BNC @ flat_BNC.transpose(1, 2)).softmax(-1)
        return ImageFeatures(dense, dense.mean((2, 3)), tuple(levels), attention)

    def encode_text(self, vocabulary: Vocabulary) -> TextFeatures:
        rows = [
            [self._hashed(template.format(name)) for template in vocabulary.templates]
            for name in vocabulary.names
        ]
        hashed_TPC = torch.stack([torch.stack(row) for row in rows]).to(self.projections[0])
        embeds_TPC, *levels = hashed_TPC.split([self.joint_dim, *self.text_level_dims], dim=2)
        return TextFeatures(F.normalize(embeds_TPC, dim=2), tuple(levels), vocabulary)

    def _hashed(self, prompt: str) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(prompt.encode()))
        return torch.randn(self.joint_dim + sum(self.text_level_dims), generator=generator)


def with_tiny_encoder(config: Config, seed: int = 0) -> OpenVocabSegmentor:
    """The config's method in evaluation mode, a `TinyEncoder` of the same dimensions inside.

    Parameters are drawn anew so that zero-initialised ones cannot hide a broken law.
    """
    model_config = copy.deepcopy(config.model.to_dict())
    with torch.device("meta"):
        real = ENCODERS.build(without_pretrained(model_config["encoder"]))
    model_config["encoder"] = {
        "type": "TinyEncoder",
        "joint_dim": real.joint_dim,
        "level_dims": real.level_dims,
        "level_scales": real.level_scales,
        "attention": real.gives_attention,
        "text_level_dims": real.text_level_dims,
    }
    torch.manual_seed(seed)
    model = build_model(model_config)
    for parameter in model.decoder.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval()


def make_images(count: int, size: int = 96, seed: int = 0) -> Tensor:
    """(count, 3, size, size) smooth random make_images, 0..255."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator) * 255
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 255)


def make_names(count: int) -> tuple[str, ...]:
    """`count` different names."""
    return tuple(f"thing {i}" for i in range(count))


def make_sample(count: int, size: int = 96) -> BaseDataElement:
    """What a data set gives beside a picture: `count` words and labels of them, some ignored."""
    element = BaseDataElement(metainfo=dict(vocabulary=make_names(count), ori_shape=(40, 50)))
    element.gt_sem_seg = PixelData(data=torch.randint(-1, count, (1, size, size)))
    return element


# -- one line ------------------------------------------------------------------------------------


def check_plugin(package: str) -> None:
    """Contract of every class that a package registers; `check_method` of every config it ships.

    Args:
        package: what is imported, as its entry point says; its configs are the files in its folder
            ``configs``.
    """
    module = importlib.import_module(package)
    classes = registered_by(package)
    configs = plugin_configs(Path(module.__file__).parent) if module.__file__ else {}
    assert classes or configs, (
        f"importing {package} registers no component, and it has no configs: import the modules "
        f"of the components in its __init__.py"
    )
    for cls in classes:
        check_class(cls)
    for path in configs.values():
        check_method(path)


def check_class(cls: type) -> None:
    """Every rule of the contract."""
    for rule in CONTRACT:
        rule(cls)


def check_method(config: str | Path | Config) -> None:
    """Dimensions that fit, loss, prediction and every law, with a tiny encoder in place.

    Args:
        config: what `ovss.load_config` takes, or a config.
    """
    config = config if isinstance(config, Config) else load_config(config)
    model = with_tiny_encoder(config)
    checks: tuple[Callable[[OpenVocabSegmentor], None], ...] = (loss_and_prediction_work, *LAWS)
    for check in checks:
        try:
            check(model)
        except Exception as error:
            name = Path(config.filename or "the config").stem
            said = f"{type(error).__name__}: {error}".removesuffix(": ")
            raise AssertionError(f"{name}: {check.__name__} fails: {said}") from error


def loss_and_prediction_work(model: OpenVocabSegmentor) -> None:
    """A training step has a finite loss with gradients, a prediction has the size asked for."""
    losses = model.train()(make_images(2), [make_sample(3), make_sample(3)], mode="loss")
    total = sum(losses.values())
    assert torch.isfinite(total), f"the loss is {total}"
    total.backward()
    model.zero_grad()
    (out,) = model.eval()(list(make_images(1)), [make_sample(3)], mode="predict")
    assert out.pred_sem_seg.data.shape == (1, 40, 50)
    assert set(out.pred_sem_seg.data.unique().tolist()) <= {0, 1, 2}


# -- the laws ------------------------------------------------------------------------------------


@torch.no_grad()
def vocabulary_order_is_irrelevant(model: OpenVocabSegmentor) -> None:
    names, order = make_names(7), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    one = _logits_BTHW(model, make_images(1), names)
    other = _logits_BTHW(model, make_images(1), tuple(names[i] for i in order.tolist()))
    _assert_close(one[:, order], other, "logits after permuting the vocabulary")


@torch.no_grad()
def batch_mates_do_not_talk(model: OpenVocabSegmentor) -> None:
    images, names = make_images(3), make_names(5)
    together = _logits_BTHW(model, images, names)
    for i in range(3):
        alone = _logits_BTHW(model, images[i : i + 1], names)
        _assert_close(together[i : i + 1], alone, f"logits of image {i} beside others")


@torch.no_grad()
def padding_changes_nothing(model: OpenVocabSegmentor) -> None:
    images, text = make_images(2), model.encode_vocabulary(make_names(6))
    keep_BT = torch.tensor([[1, 0, 0, 1, 0, 0], [1, 1, 1, 0, 1, 1]], dtype=torch.bool)
    padded = _decode(model, images, text, Selection.from_mask(keep_BT))
    for i in range(2):
        one = slice(i, i + 1)
        alone = _decode(model, images[one], text, Selection.from_mask(keep_BT[one]))
        mine = padded.selection.scatter(padded.logits_BKHW)[one]
        _assert_close(mine, alone.selection.scatter(alone.logits_BKHW), f"padded image {i}")


@torch.no_grad()
def keeping_everything_equals_not_selecting(model: OpenVocabSegmentor) -> None:
    images, text = make_images(2), model.encode_vocabulary(make_names(5))
    plain = _decode(model, images, text, Selection.everything(2, 5))
    chosen = _decode(model, images, text, Selection.from_mask(torch.ones(2, 5, dtype=torch.bool)))
    _assert_close(plain.logits_BKHW, chosen.logits_BKHW, "logits with every category selected")


@torch.no_grad()
def one_category_works(model: OpenVocabSegmentor) -> None:
    logits_BTHW = _logits_BTHW(model, make_images(2), make_names(1))
    assert logits_BTHW.shape[:2] == (2, 1)
    assert torch.isfinite(logits_BTHW).all()
    text = model.encode_vocabulary(make_names(4))
    keep_BT = torch.tensor([[0, 0, 1, 0]], dtype=torch.bool)
    kept = _decode(model, make_images(1), text, Selection.from_mask(keep_BT))
    assert kept.logits_BKHW.shape[1] == 1


@torch.no_grad()
def more_than_255_categories_work(model: OpenVocabSegmentor) -> None:
    text = model.encode_vocabulary(make_names(300))
    scores = model.scores(make_images(1)[0], text)
    labels_HW = model.label_map(scores, (scores.probs_BKHW.shape[2], scores.probs_BKHW.shape[3]))
    assert labels_HW.dtype == torch.long
    assert 0 <= int(labels_HW.min()) <= int(labels_HW.max()) < 300
    kept = scores.selection.category_N
    assert set(labels_HW.unique().tolist()) <= set(kept.tolist())


@torch.no_grad()
def prediction_has_the_size_asked_for(model: OpenVocabSegmentor) -> None:
    text = model.encode_vocabulary(make_names(3))
    image_3HW = make_images(1, 120)[0][:, :97]
    labels_HW = model.label_map(model.scores(image_3HW, text), (97, 120))
    assert labels_HW.shape == (97, 120)


LAWS: tuple[Callable[[OpenVocabSegmentor], None], ...] = (
    vocabulary_order_is_irrelevant,
    batch_mates_do_not_talk,
    padding_changes_nothing,
    keeping_everything_equals_not_selecting,
    one_category_works,
    more_than_255_categories_work,
    prediction_has_the_size_asked_for,
)


def _logits_BTHW(model: OpenVocabSegmentor, images_B3HW: Tensor, names: tuple[str, ...]) -> Tensor:
    image = model.encoder.encode_image(images_B3HW)
    masks = model.segment(image, model.encode_vocabulary(names))
    return masks.selection.scatter(masks.logits_BKHW, fill=-100.0)


def _decode(model, images_B3HW: Tensor, text: TextFeatures, selection: Selection) -> Masks:
    image = model.encoder.encode_image(images_B3HW)
    return model.decoder(model.head(image, text, selection))


def _assert_close(one: Tensor, other: Tensor, what: str, tolerance: float = 2e-5) -> None:
    scale = max(1.0, float(other.abs().max()))
    worst = float((one - other).abs().max()) / scale
    assert worst <= tolerance, f"{what} differ by {worst:.2g} of their scale"
