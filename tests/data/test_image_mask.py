"""Tests of the dataset of your own images and label maps, and of its errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ovss.data.image_mask import ImageMaskDataset
from ovss.io.images import ImageError

PACK = [dict(type="PackSample")]
NAMES = ["sky", "road", "car, automobile"]


@pytest.fixture
def folders(tmp_path):
    for name in ("images/a", "masks/a"):
        (tmp_path / name).mkdir(parents=True)
    for i in range(2):
        pixels = np.full((4, 6, 3), (200, 10, i), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"images/a/{i}.png")
        labels = np.tile(np.array([0, 1, 2, 2, 255, 255], np.uint8), (4, 1))
        Image.fromarray(labels).save(tmp_path / f"masks/a/{i}.png")
    return tmp_path


def dataset(root, **options) -> ImageMaskDataset:
    settings = dict(vocabulary=NAMES, ignored=(255,), pipeline=PACK, **options)
    return ImageMaskDataset(str(root / "images"), str(root / "masks"), **settings)


def labels_of(data: ImageMaskDataset, index: int = 0) -> list[int]:
    return data[index]["data_samples"].gt_sem_seg.data[0, 0].tolist()


def test_images_are_rgb_and_labels_are_indices(folders):
    data = dataset(folders)
    assert len(data) == 2
    assert data[1]["inputs"][:, 0, 0].tolist() == [200, 10, 1]
    assert labels_of(data) == [0, 1, 2, 2, -1, -1]
    assert data[1]["data_samples"].img_path.endswith("1.png")


def test_training_on_seen_names_ignores_all_other_pixels(folders):
    data = dataset(folders, seen=["sky", "automobile"], only_seen=True)
    assert data.metainfo["classes"] == ("sky", "car, automobile")
    assert labels_of(data) == [0, -1, 1, 1, -1, -1]
    assert dataset(folders, seen=["sky"]).metainfo["seen"] == ("sky",)


def test_raw_values_map_to_names_or_indices(folders):
    data = dataset(folders, label_map={0: "automobile", 1: 0, 2: "road"})
    assert labels_of(data) == [2, 0, 1, 1, -1, -1]
    with pytest.raises(ValueError, match="Unknown class 'boat' in label_map"):
        dataset(folders, label_map={0: "boat"})


def test_a_vocabulary_from_a_file(folders):
    (folders / "names.txt").write_text("sky\nroad\ncar\n")
    data = ImageMaskDataset(
        str(folders / "images"), None, vocabulary=str(folders / "names.txt"), pipeline=PACK
    )
    assert data.names == ("sky", "road", "car")
    assert "gt_sem_seg" not in data[0]["data_samples"]


def test_the_error_for_an_unknown_label_gives_file_and_value(folders):
    Image.fromarray(np.full((4, 6), 9, np.uint8)).save(folders / "masks/a/1.png")
    with pytest.raises(ValueError, match=r"masks/a/1\.png holds 9 \(24 pixels\)"):
        dataset(folders)[1]


def test_the_error_for_a_different_size_gives_both_files_and_sizes(folders):
    Image.fromarray(np.zeros((5, 6), np.uint8)).save(folders / "masks/a/1.png")
    with pytest.raises(ValueError, match=r"masks/a/1\.png.*\(5, 6\).*images/a/1\.png.*\(4, 6\)"):
        dataset(folders)[1]


def test_the_error_for_a_damaged_image_gives_the_file(folders):
    (folders / "images/a/1.png").write_bytes(b"not an image")
    with pytest.raises(ImageError, match=r"images/a/1\.png"):
        dataset(folders)[1]


def test_missing_files_and_folders_are_found_before_training(folders):
    (folders / "masks/a/1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 2 .*masks/a/1\.png"):
        dataset(folders)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        ImageMaskDataset(str(folders / "nowhere"), None, NAMES, PACK)


def test_a_seen_name_outside_the_vocabulary_is_an_error(folders):
    with pytest.raises(ValueError, match=r"Seen names must be in the vocabulary.*boat"):
        dataset(folders, seen=["boat"])


def test_camvid(shared_dir):
    root = shared_dir / "data/camvid11"
    facts = json.loads((root / "classes_and_split.json").read_text())
    settings = dict(vocabulary=facts["text_names"], ignored=facts["ignore_raw"], pipeline=PACK)
    to_text = dict(zip(facts["classes"], facts["text_names"]))
    seen = [to_text[name] for name in facts["seen"]]
    for part, count in (("train", 367), ("val", 101)):
        folders = [str(next((root / kind).glob(f"{part}*"))) for kind in ("images", "labels")]
        every = ImageMaskDataset(*folders, **settings)
        narrow = ImageMaskDataset(*folders, **settings, seen=seen, only_seen=True)
        assert len(every) == len(narrow) == count
        full, cut = (data[0]["data_samples"].gt_sem_seg.data for data in (every, narrow))
        kept = cut >= 0
        assert 0 <= int(full[full >= 0].max()) < 11
        names = [every.names[i] for i in full[kept].unique()]
        assert names == [narrow.names[i] for i in cut[kept].unique()]
        assert set(names) <= set(seen)
        dropped = full[~kept]
        assert not {every.names[i] for i in dropped[dropped >= 0].unique()} & set(seen)
