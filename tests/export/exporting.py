"""Exported models and images for the tests of this folder."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from ovss.api.inferencer import Inferencer
from ovss.export.arrays import Maps, Regions
from ovss.export.merge import View, canvas_of
from ovss.export.run import ExportedModel
from ovss.export.text_table import TextTable
from ovss.layers.region_maps import region_maps
from ovss.mini_world import MiniWorld
from ovss.postprocessors import Identity
from ovss.structures import RegionScores, Scores, TextFeatures
from ovss.vocabularies import load_names


@cache
def scene(index: int = 0) -> np.ndarray:
    """Scene of the mini world, (96, 96, 3)."""
    return np.asarray(MiniWorld("val", "mini_20", size=96, length=index + 1)[index].image)


def text_of(inferencer: Inferencer, count: int) -> TextFeatures:
    """Text features of `count` categories: those of the mini world, then made-up directions."""
    names = load_names("mini_556")[:count]
    names += tuple(f"thing {index}" for index in range(count - len(names)))
    vocabulary = inferencer.model.vocabulary(names).queries()
    shape = (count, inferencer.model.prompts.count, inferencer.model.encoder.joint_dim)
    embeds_TPC = F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(5)), dim=2)
    known = min(count, 556)
    if inferencer.name.endswith("_mini"):
        embeds_TPC[:known] = inferencer.encode(names[:known]).embeds_TPC
    return TextFeatures(embeds_TPC, vocabulary=vocabulary)


def assert_equal_stages(
    inferencer: Inferencer, exported: ExportedModel, text: TextFeatures, image_HW3: np.ndarray
) -> None:
    """Merged maps agree up to 1e-3, and the post-processor makes the same of the same maps.

    Where two categories score the same up to rounding, a post-processor that moves the scores of a
    pixel's best category may move another one's, so its results are compared for equal inputs.
    """
    assert text.vocabulary is not None
    canvas_3YX = canvas_of(image_HW3, exported.description.inference)
    table = TextTable(text.vocabulary.names, 0, text.vocabulary, text.embeds_TPC.numpy())
    found = exported.merged(image_HW3, canvas_3YX, table)
    post_processor, inferencer.model.post_processor = inferencer.model.post_processor, Identity()
    with torch.inference_mode():
        merged = inferencer.model.scores(torch.from_numpy(image_HW3).permute(2, 0, 1), text)
        inferencer.model.post_processor = post_processor
        refined = post_processor(merged)
    assert isinstance(found.scores, Maps)
    assert isinstance(merged, Scores)
    assert found.scores.index_K.tolist() == merged.selection.index_BK[0].tolist()
    np.testing.assert_allclose(found.scores.values_KYX, merged.probs_BKHW[0].numpy(), atol=1e-3)
    same = Maps(merged.probs_BKHW[0].numpy(), merged.selection.index_BK[0].numpy())
    other = exported.refined(View(same, found.features), canvas_3YX, table)
    assert isinstance(other, Maps)
    assert other.index_K.tolist() == refined.selection.index_BK[0].tolist()
    np.testing.assert_allclose(other.values_KYX, refined.probs_BKHW[0].numpy(), atol=1e-5)


def assert_equal_scores(
    inferencer: Inferencer, exported: ExportedModel, text: TextFeatures, image_HW3: np.ndarray
) -> None:
    """The exported model keeps the same categories and gives the same scores up to 1e-3."""
    assert text.vocabulary is not None
    with torch.inference_mode():
        expected = inferencer.model.scores(torch.from_numpy(image_HW3).permute(2, 0, 1), text)
    names = text.vocabulary.names
    found = exported.scores(
        image_HW3, TextTable(names, 0, text.vocabulary, text.embeds_TPC.numpy())
    )
    assert found.index_K.tolist() == expected.selection.index_BK[0].tolist()
    if isinstance(found, Regions):
        assert isinstance(expected, RegionScores)
        size = (image_HW3.shape[0], image_HW3.shape[1])
        np.testing.assert_allclose(found.share_KQ, expected.share_BKQ[0].numpy(), atol=1e-3)
        np.testing.assert_allclose(
            found.maps(size).values_KYX, region_maps(expected, size)[0].numpy(), atol=1e-3
        )
    else:
        assert isinstance(expected, Scores)
        np.testing.assert_allclose(found.values_KYX, expected.probs_BKHW[0].numpy(), atol=1e-3)
