"""Tests of names to segment and of the classes that they count as."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from made_folder import made
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ovss.data.image_mask import ImageMaskDataset
from ovss.data.sampler import EndlessSampler
from ovss.data.words import words_of_classes
from ovss.evaluation.images import comparison
from ovss.evaluation.metric import OpenVocabIoU
from ovss.vocabularies import load_names

NAMES = ("cat", "sofa, couch", "background")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (None, None),
        (list(NAMES), None),
        ({}, None),
        (
            {"background": ["sky", "wall"]},
            (("cat", "sofa, couch", "sky", "wall"), (0, 1, 2, 2)),
        ),
        ({"couch": "settee"}, (("cat", "settee", "background"), (0, 1, 2))),
        (
            [("sky", "background"), ("couch", 1), ("cat", 0)],
            (("sky", "couch", "cat"), (2, 1, 0)),
        ),
        (["Couch", "sky", "cat", "wall"], (("Couch", "sky", "cat", "wall"), (1, 2, 0, 2))),
        ("each synonym", (("cat", "sofa", "couch", "background"), (0, 1, 1, 2))),
    ],
)
def test_words(words, expected):
    assert words_of_classes(words, NAMES) == expected


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ({"boat": ["ship"]}, "Unknown class 'boat' in `words`"),
        ({"background": []}, "got none for 'background'"),
        (["cat", "sky"], "got none for 'sofa, couch'"),
        ([("cat", 3)], r"must be in 0\.\.2, got class 3"),
        ({"cat": ["kitten"], "couch": ["Kitten"]}, "belongs to two classes"),
    ],
)
def test_malformed_words(words, reason):
    with pytest.raises(ValueError, match=reason):
        words_of_classes(words, NAMES)
    with pytest.raises(ValueError, match="classes have no 'background' to count it as"):
        words_of_classes(["cat", "sky"], ["cat"])


def test_59_words_of_voc_count_as_21_classes():
    classes = (*load_names("pascal_voc_20"), "background")
    words, word_class = words_of_classes("pascal_voc_20b", classes)
    assert words == load_names("pascal_voc_20b")
    assert word_class == tuple(min(i, 20) for i in range(59))


@pytest.fixture
def dataset(tmp_path) -> ImageMaskDataset:
    root = made(tmp_path, stems=("a",), row=(0, 1, 2, 255))
    return ImageMaskDataset(
        str(root / "images"),
        str(root / "masks"),
        vocabulary=NAMES,
        ignored=(255,),
        words={"background": ["sky", "wall"]},
        pipeline=[dict(type="PackSample")],
    )


def test_samples_carry_words_and_labels_stay_classes(dataset):
    sample = dataset[0]["data_samples"]
    assert sample.vocabulary == ("cat", "sofa, couch", "sky", "wall")
    assert sample.gt_sem_seg.data[0, 0].tolist() == [0, 1, 2, -1]
    assert dataset.metainfo["classes"] == NAMES
    assert dataset.metainfo["word_class"] == (0, 1, 2, 2)


def test_metrics_and_drawings_show_classes(dataset):
    sample = dataset[0]["data_samples"]
    words_HW = torch.tensor([[0, 1, 3, 0]]).expand(3, 4)
    sample.pred_sem_seg = PixelData(data=words_HW[None])
    metric = OpenVocabIoU()
    metric.dataset_meta = dataset.metainfo
    metric.process({}, [sample.to_dict()])
    assert metric.evaluate(1)["mIoU"] == 100
    sheet = np.asarray(comparison(np.zeros((3, 4, 3), np.uint8), sample, dataset.metainfo))
    plain = SegDataSample(metainfo={"vocabulary": NAMES}, gt_sem_seg=sample.gt_sem_seg)
    plain.pred_sem_seg = PixelData(data=words_HW.clamp(max=2)[None])
    expected = np.asarray(comparison(np.zeros((3, 4, 3), np.uint8), plain))
    assert sheet.shape == expected.shape
    assert (sheet == expected).all()


def test_training_raises_an_error_for_words_that_differ_from_classes(dataset):
    with pytest.raises(ValueError, match=r"4 words for 3 classes.*Train without `words`"):
        EndlessSampler(dataset, seed=0)
