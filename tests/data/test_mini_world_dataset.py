"""Tests of the mini world as training data: vocabulary, labels and reproducible augmentation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ovss.data import register_data
from ovss.data.mini_world_dataset import MiniWorldDataset
from ovss.data.sampler import EndlessSampler
from ovss.mini_world import MiniWorld, names, seen_names

register_data()

AUGMENT = [
    dict(type="ShortestEdge", size=80, max_size=400),
    dict(type="RandomCrop", crop_size=(72, 72)),
    dict(type="PhotoMetricDistortion"),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Pad", size=(88, 88), pad_val=dict(img=128, seg=-1)),
    dict(type="PackSample"),
]


def dataset(split: str = "train", pipeline: list | None = None) -> MiniWorldDataset:
    pipeline = AUGMENT if pipeline is None else pipeline
    return MiniWorldDataset(split, "mini_20", 96, 6, pipeline)


def same(a: dict, b: dict) -> bool:
    gt_a, gt_b = (x["data_samples"].gt_sem_seg.data for x in (a, b))
    return torch.equal(a["inputs"], b["inputs"]) and torch.equal(gt_a, gt_b)


def test_training_has_seen_categories_only():
    data = dataset("train", [dict(type="PackSample")])
    assert data.metainfo["classes"] == seen_names("mini_20") == data.metainfo["seen"]
    world = MiniWorld("train", "mini_20", size=96, seed=0, length=6)
    for item, scene in zip(map(data.__getitem__, range(6)), world):
        labels = item["data_samples"].gt_sem_seg.data[0].numpy()
        names_HW = np.array(data.names)[labels]
        assert (names_HW == np.array(names("mini_20"))[scene.mask]).all()
        assert (item["inputs"].permute(1, 2, 0).numpy() == scene.image).all()


def test_validation_has_all_categories_and_marks_the_seen():
    data = dataset("val", [dict(type="PackSample")])
    assert data.metainfo["classes"] == names("mini_20")
    assert data.metainfo["seen"] == seen_names("mini_20")
    sample = data[2]["data_samples"]
    assert sample.vocabulary == names("mini_20")
    assert sample.ori_shape == (96, 96)
    assert sample.img_path.startswith("mini_world/mini_20-val-0-000002")


def test_mmseg_transforms_keep_ignore_and_pad():
    item = dataset()[0]
    labels = item["data_samples"].gt_sem_seg.data
    assert item["inputs"].shape == (3, 88, 88)
    assert item["inputs"].dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert (item["inputs"][:, 72:] == 128).all()
    assert (labels[:, 72:] == -1).all()
    assert (labels[:, :72, :72] >= 0).all()


def test_the_scope_of_an_earlier_run_does_not_hide_the_transforms():
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmengine"):
        assert dataset()[0]["inputs"].shape == (3, 88, 88)


def test_an_item_depends_on_seed_and_epoch_only():
    data, other = dataset(), dataset()
    np.random.seed(5)
    first = data[3]
    np.random.seed(6)
    assert same(first, other[3])
    assert not same(first, data[3 + len(data)])
    assert np.random.rand() == np.random.RandomState(6).rand(), "global generators are restored"


def test_a_resumed_sampler_continues_an_uninterrupted_one():
    whole = list(itertools.islice(EndlessSampler(dataset(), seed=3), 20))
    late = EndlessSampler(dataset(), seed=3)
    late.skip(13)
    assert list(itertools.islice(late, 7)) == whole[13:]
    assert (
        sorted(item % 6 for item in whole[:6])
        == list(range(6))
        == sorted(item % 6 for item in whole[6:12])
    )
    assert [item // 6 for item in whole[:12]] == [0] * 6 + [1] * 6
    assert list(itertools.islice(EndlessSampler(dataset(), seed=4), 20)) != whole


def test_ranks_divide_the_samples():
    parts = []
    for rank in range(2):
        sampler = EndlessSampler(dataset(), seed=0)
        sampler.rank, sampler.world_size = rank, 2
        parts.append(list(itertools.islice(sampler, 6)))
    whole = list(itertools.islice(EndlessSampler(dataset(), seed=0), 12))
    assert [item for pair in zip(*parts) for item in pair] == whole


def test_workers_give_the_samples_of_a_single_process():
    streams = []
    for workers in (0, 2):
        data = dataset()
        loader = DataLoader(
            data, 2, sampler=EndlessSampler(data, seed=1), num_workers=workers, collate_fn=list
        )
        streams.append([x for batch in itertools.islice(loader, 3) for x in batch])
    assert all(same(a, b) for a, b in zip(*streams))


def test_the_sampler_raises_an_error_for_other_datasets():
    with pytest.raises(TypeError, match="InfiniteSampler"):
        EndlessSampler([1, 2], seed=0)


def test_scenes_of_a_small_image_may_show_four_objects():
    pack = [dict(type="PackSample")]
    data = MiniWorldDataset("val", "mini_150", 80, 40, pack, objects=(1, 4), name="mini_web")
    counts = {len(data.world[index].objects) for index in range(40)}
    assert max(counts) > 2
    assert data[2]["data_samples"].img_path.startswith("mini_world/mini_web-val-0-000002")
    scene = MiniWorld("val", "mini_150", size=80, length=40, objects=(1, 4))[2]
    assert (data[2]["inputs"].permute(1, 2, 0).numpy() == scene.image).all()
