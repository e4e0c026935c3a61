"""Windows whose features are spliced into one canvas before they are compared."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ovss.compatibility import check_dimensions
from ovss.decoders import UpsampleDecoder
from ovss.heads import CosineHead
from ovss.inference import InferenceConfig, Stages, canvas_windows, merged_scores
from ovss.layers.splice import WindowFeatures, splice, spliced_features, window_features
from ovss.models.build import build_model
from ovss.ops import crop_padding, resize, resize_image_part
from ovss.structures import ImageFeatures, Masks, Padding, Selection, TextFeatures
from ovss.testing.tiny import make_images, make_names

SLIDE = dict(mode="slide", size=64, keep_ratio=True, window=32, stride=16, global_view=False)


def test_maps_are_averaged_on_the_grid_of_cells():
    left, right = torch.full((1, 1, 2, 4), 1.0), torch.full((1, 1, 2, 4), 3.0)
    fine = [torch.full((1, 2, 4, 8), value) for value in (1.0, 3.0)]
    pooled = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    parts = [
        WindowFeatures((coarse, fine), vector)
        for coarse, fine, vector in zip((left, right), fine, pooled, strict=True)
    ]
    found = splice(parts, [(0, 0), (0, 16)], (16, 32), (16, 48))
    assert found.maps[0][0, 0].tolist() == [[1, 1, 2, 2, 3, 3]] * 2
    assert found.maps[1].shape == (1, 2, 4, 12)
    assert found.pooled_VC.tolist() == [[0.5, 0.5]]
    together = WindowFeatures((torch.cat([left, right]),), torch.cat(pooled))
    again = splice([together], [(0, 0), (0, 16)], (16, 32), (16, 48))
    assert torch.equal(again.maps[0], found.maps[0])


@pytest.mark.parametrize("canvas", [(37, 50), (32, 33), (100, 47)])
def test_every_cell_is_covered_whatever_the_size(canvas):
    config = InferenceConfig(**{**SLIDE, "size": canvas, "keep_ratio": False, "stride": 13})
    _, places = canvas_windows(torch.zeros(1, 3, *canvas), config)
    starts = [(y.start, x.start) for y, x in places]
    ones = WindowFeatures((torch.ones(len(starts), 1, 4, 4),), torch.ones(len(starts), 1))
    found = splice([ones], starts, (32, 32), canvas).maps[0]
    assert (found == 1).all()
    assert found.shape[2:] == (round(canvas[0] / 8), round(canvas[1] / 8))


def test_padding_is_cut_off_before_splicing():
    cells = torch.arange(16.0).view(1, 1, 4, 4)
    part = WindowFeatures((cells,), torch.ones(1, 1), Padding((32, 32), (16, 32), (8, 0)))
    found = splice([part], [(0, 0)], (16, 32), (16, 32)).maps[0]
    assert torch.equal(found, cells[:, :, 1:3])


def model_of(**inference):
    encoder = dict(type="OpenCLIPEncoder", model="mini_clip", levels=(1,), text_cache="off")
    return build_model(
        dict(
            type="OpenVocabSegmentor",
            encoder=encoder,
            head=dict(type="CosineHead"),
            decoder=dict(type="UpsampleDecoder", scale=20.0),
            prompts=dict(templates=("{}",), synonyms="max"),
            inference={**SLIDE, "activation": "softmax", **inference},
        )
    ).eval()


@torch.inference_mode()
def test_scores_are_those_of_the_spliced_tokens():
    """Two windows of 32 x 32 pixels on 32 x 48, with synonyms, in batches of one and of two."""
    model = model_of(size=(32, 48), keep_ratio=False, merge="features", views_per_batch=1)
    image = make_images(1)[0][:, :32, :48]
    text = model.encode_vocabulary(("cat, kitten", "dog"))
    scores = model.scores(image, text)
    views = torch.stack([image[:, :, :32], image[:, :, 16:48]])
    dense = [model.encoder.encode_image(view[None]).dense_BChw for view in views]
    canvas = torch.zeros(1, 128, 4, 6)
    canvas[..., :4], canvas[..., 2:] = dense[0], dense[1]
    canvas[..., 2:4] = (dense[0][..., 2:] + dense[1][..., :2]) / 2
    features = ImageFeatures(canvas, torch.zeros(1, 128))
    selection = Selection.everything(1, 3)
    masks = UpsampleDecoder(20.0)(CosineHead()(features, text, selection))
    expected = masks.logits_BKHW.softmax(1)
    torch.testing.assert_close(scores.probs_BKHW, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scores.features.dense_BChw, canvas, atol=1e-5, rtol=1e-4)
    assert scores.features.levels[0].shape == (1, 192, 4, 6)
    assert scores.text.owner_T.tolist() == [0, 0, 1]
    other = model_of(size=(32, 48), keep_ratio=False, merge="features", views_per_batch=2)
    other.load_state_dict(model.state_dict())
    again = other.scores(image, text).probs_BKHW
    torch.testing.assert_close(again, scores.probs_BKHW, atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_one_window_is_the_whole_view():
    model = model_of(size=32, keep_ratio=False, merge="features")
    whole = model_of(size=32, keep_ratio=False, mode="whole")
    whole.load_state_dict(model.state_dict())
    image, text = make_images(1)[0], model.encode_vocabulary(make_names(3))
    found, expected = (m.scores(image, text).probs_BKHW for m in (model, whole))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


class Regions:
    """Encoder with proposals, and a head that reads attention."""

    joint_dim, level_dims, level_scales, text_level_dims = 4, (), (), ()
    gives_attention, class_attention_dim, needs_whole_image = True, 0, False
    gives_proposals, proposal_sources, training_sources = True, 1, 0


def test_methods_that_cannot_merge_features_are_refused():
    config = InferenceConfig(**SLIDE, merge="features", activation="softmax")
    with pytest.raises(ValueError, match=r"Regions expects merged=scores.*Set the merge"):
        check_dimensions(Regions(), CosineHead(), UpsampleDecoder(), inference=config)
    head = CosineHead()
    head.needs_attention = True
    encoder = Regions()
    encoder.gives_proposals = False
    with pytest.raises(ValueError, match=r"CosineHead expects merged=scores"):
        check_dimensions(encoder, head, UpsampleDecoder(), inference=config)
    with pytest.raises(ValueError, match="cannot be combined with a global view"):
        InferenceConfig(**{**SLIDE, "global_view": True}, merge="features")
    with pytest.raises(ValueError, match="windows of one scale"):
        InferenceConfig(mode="multi_scale", size=64, window=32, stride=16, scales=(1.0,),
                        merge="features")  # fmt: skip
    with pytest.raises(ValueError, match="cannot merge features"):
        merged_scores(torch.zeros(3, 64, 64), None, None, config)


def test_all_windows_come_together_if_the_encoder_needs_it():
    batches = []

    def encode(views_V3HW: Tensor) -> WindowFeatures:
        batches.append(len(views_V3HW))
        return WindowFeatures(
            (torch.ones(len(views_V3HW), 2, 4, 4),), torch.ones(len(views_V3HW), 2)
        )

    def segment(features: ImageFeatures) -> Masks:
        return Masks(features.dense_BChw, Selection.everything(1, 2))

    def join(windows: WindowFeatures, canvas_13HW: Tensor) -> ImageFeatures:
        assert canvas_13HW.shape == (1, 3, 64, 64)
        return spliced_features(windows, 0)

    text = TextFeatures(torch.ones(2, 1, 2))
    for together, expected in ((True, [9]), (False, [4, 4, 1])):
        batches.clear()
        config = InferenceConfig(**SLIDE, merge="features", activation="softmax", views_per_batch=4)
        stages = Stages(encode, join, segment, together)
        merged_scores(torch.zeros(3, 64, 64), text, lambda _: None, config, stages)
        assert batches == expected


def test_class_attention_is_spliced_and_attention_is_left_out():
    features = ImageFeatures(
        torch.rand(1, 4, 2, 2), torch.rand(1, 4), (torch.rand(1, 3, 4, 4),),
        torch.rand(1, 4, 4), torch.rand(1, 5, 2, 2),
    )  # fmt: skip
    found = spliced_features(window_features(features), 1)
    assert torch.equal(found.class_attention_BMhw, features.class_attention_BMhw)
    assert torch.equal(found.levels[0], features.levels[0])
    assert found.attention_BNN is None


@pytest.mark.parametrize("global_view", [False, True])
def test_a_canvas_may_be_narrower_than_a_window(global_view):
    """With `longest`, the shorter side of a long image falls below the window."""
    config = InferenceConfig(mode="slide", size=32, keep_ratio=True, longest=64, window=32,
                             stride=16, global_view=global_view, activation="none")  # fmt: skip
    shapes = []

    def segment(views_V3HW: Tensor) -> tuple[ImageFeatures, Masks]:
        shapes.append(tuple(views_V3HW.shape[2:]))
        features = ImageFeatures(views_V3HW, views_V3HW.mean((2, 3)))
        return features, Masks(views_V3HW, Selection.everything(len(views_V3HW), 3))

    image = make_images(1, 120)[0][:, :20, :]
    text = TextFeatures(torch.ones(3, 1, 2))
    scores = merged_scores(image, text, segment, config)
    assert config.canvas(20, 120) == (11, 64)
    assert set(shapes) == {(11, 32), (32, 32)} if global_view else {(11, 32)}
    if not global_view:
        expected = resize(image[None], (11, 64))
        torch.testing.assert_close(scores.probs_BKHW, expected, atol=1e-3, rtol=0)


def test_image_part_of_padded_maps():
    """One resize of the part equals resizing to the padded input and cutting."""
    maps, padding = torch.rand(1, 2, 5, 6), Padding((50, 60), (33, 41), (7, 11))
    expected = resize(maps, (50, 60))[..., 7:40, 11:52]
    torch.testing.assert_close(resize_image_part(maps, (33, 41), padding), expected)
    even = Padding((50, 60), (20, 30), (10, 20))
    assert torch.equal(crop_padding(maps, even), maps[:, :, 1:3, 2:5])
    assert crop_padding(maps, padding).shape == (1, 2, 4, 5)
    with pytest.raises(ValueError, match="inside the padded size"):
        Padding((50, 60), (45, 60), (10, 0))
