"""Tests of the pre-processor: stacked batches in training, separate images in testing."""

from __future__ import annotations

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from ovss.data.preprocessor import OpenVocabPreProcessor


def batch(*shapes: tuple[int, int]) -> dict:
    samples = []
    for shape in shapes:
        sample = SegDataSample()
        sample.gt_sem_seg = PixelData(data=torch.zeros(1, *shape, dtype=torch.long))
        samples.append(sample)
    images = [torch.full((3, *shape), 7, dtype=torch.uint8) for shape in shapes]
    return {"inputs": images, "data_samples": samples}


def test_training_stacks_and_pads_right_and_bottom_with_ignored_pixels():
    out = OpenVocabPreProcessor()(batch((4, 6), (5, 3)), training=True)
    assert out["inputs"].shape == (2, 3, 5, 6)
    assert (out["inputs"][0, :, 4:] == 128).all()
    assert (out["inputs"][1, :, :, :3] == 7).all()
    labels = torch.stack([sample.gt_sem_seg.data for sample in out["data_samples"]])
    assert (labels[1, :, :, 3:] == -1).all()
    assert (labels[1, :, :, :3] == 0).all()


def test_images_keep_their_sizes_in_testing():
    out = OpenVocabPreProcessor()(batch((4, 6), (5, 3)))
    assert [tuple(image.shape) for image in out["inputs"]] == [(3, 4, 6), (3, 5, 3)]


def test_bgr_images_become_rgb():
    data = batch((2, 2))
    data["inputs"][0][0] = 1
    out = OpenVocabPreProcessor(bgr_to_rgb=True)(data)
    assert out["inputs"][0][:, 0, 0].tolist() == [7, 7, 1]


def test_a_batch_keeps_categories_with_pixels_and_samples_others():
    names = tuple(f"word {i}" for i in range(40))
    drawn = set()
    for seed in range(3):
        torch.manual_seed(seed)
        data = batch((4, 4), (4, 4))
        for sample, label in zip(data["data_samples"], (7, 30)):
            sample.set_metainfo({"vocabulary": names})
            sample.gt_sem_seg.data[:, 0] = label
            sample.gt_sem_seg.data[:, 1] = -1
        first, second = OpenVocabPreProcessor(sample_words=9)(data, training=True)["data_samples"]
        assert first.vocabulary == second.vocabulary
        assert len(set(first.vocabulary)) == 9
        for sample, name in ((first, "word 7"), (second, "word 30")):
            labels = sample.gt_sem_seg.data[0]
            assert (labels[1] == -1).all()
            assert [sample.vocabulary[i] for i in labels[:, 0][[0, 2]]] == [name, "word 0"]
        drawn.add(first.vocabulary)
    assert len(drawn) == 3


def test_all_categories_with_pixels_stay_beyond_the_limit():
    data = batch((1, 6))
    data["data_samples"][0].set_metainfo({"vocabulary": tuple("abcdefgh")})
    data["data_samples"][0].gt_sem_seg.data[0, 0] = torch.arange(6)
    (sample,) = OpenVocabPreProcessor(sample_words=3)(data, training=True)["data_samples"]
    assert sample.vocabulary == tuple("abcdef")
