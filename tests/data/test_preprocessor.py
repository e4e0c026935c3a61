"""From loader to segmentor: stacked in training, left alone at test."""

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


def test_at_test_pictures_keep_their_sizes():
    out = OpenVocabPreProcessor()(batch((4, 6), (5, 3)))
    assert [tuple(image.shape) for image in out["inputs"]] == [(3, 4, 6), (3, 5, 3)]


def test_blue_first_pictures_are_turned_once():
    data = batch((2, 2))
    data["inputs"][0][0] = 1
    out = OpenVocabPreProcessor(bgr_to_rgb=True)(data)
    assert out["inputs"][0][:, 0, 0].tolist() == [7, 7, 1]
