"""Regions from files: formats, names of images, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from composed import region_method
from PIL import Image

from ovss.io.names import ImageError
from ovss.proposers.current import CurrentImage, current_images
from ovss.proposers.folder import read_regions, region_stems
from ovss.testing.tiny import make_images, make_sample

MASKS = np.zeros((3, 4, 6), bool)
MASKS[0, :2], MASKS[1, 1:3], MASKS[2, 3, 3:] = True, True, True


def proposals_of(folder, *names):
    model = region_method(dict(type="FolderProposer", folder=str(folder)))
    with current_images([CurrentImage(name) for name in names]):
        return model.encoder.encode_image(make_images(len(names))).proposals


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_masks_may_overlap_in_an_array(tmp_path, dtype):
    np.save(tmp_path / "a.npy", MASKS.astype(dtype))
    found = proposals_of(tmp_path, "photos/a.jpg")
    assert np.array_equal(found.mask_BQhw[0].numpy() > 0, MASKS)
    assert found.valid_BQ.all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_of_an_image_are_regions_and_0_is_none(tmp_path, dtype):
    numbers = np.zeros((4, 6), dtype)
    numbers[:2], numbers[3, 3:] = 7, 255
    Image.fromarray(numbers).save(tmp_path / "a.png")
    found = proposals_of(tmp_path, "a.jpg")
    assert np.array_equal(found.mask_BQhw[0].numpy() > 0, np.stack([numbers == 7, numbers == 255]))


def test_images_of_one_name_in_several_folders(tmp_path):
    (tmp_path / "val" / "x").mkdir(parents=True)
    np.save(tmp_path / "val" / "x" / "a.npy", MASKS)
    np.save(tmp_path / "a.npy", MASKS[:1])
    found = proposals_of(tmp_path, "/data/val/x/a.png", "/data/val/y/a.png")
    assert found.valid_BQ.sum(1).tolist() == [3, 1]
    assert region_stems("mini_world/mini_150-val-0-000001")[-1] == "mini_150-val-0-000001"
    assert region_stems("../x/v1.2.jpeg") == ["x/v1.2", "v1.2"]


def test_masks_of_another_size_than_the_first_are_resized(tmp_path):
    np.save(tmp_path / "a.npy", MASKS)
    np.save(tmp_path / "b.npy", MASKS.repeat(2, 1).repeat(2, 2))
    found = proposals_of(tmp_path, "a.jpg", "b.jpg")
    assert torch.equal(found.mask_BQhw[0], found.mask_BQhw[1])


def test_the_dataset_names_the_image(tmp_path):
    np.save(tmp_path / "a.npy", MASKS)
    model = region_method(dict(type="FolderProposer", folder=str(tmp_path)))
    sample = make_sample(3)
    with pytest.raises(LookupError, match="FolderProposer expects the name"):
        model(list(make_images(1)), [sample], mode="predict")
    sample.set_metainfo(dict(img_path="/data/a.jpg"))
    (out,) = model(list(make_images(1)), [sample], mode="predict")
    assert out.pred_sem_seg.data.shape == (1, 40, 50)
    with pytest.raises(RuntimeError, match="Train with a proposer that computes its regions"):
        model.train()(make_images(1), [sample], mode="loss")


def test_a_missing_file_or_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"image x/b.jpg .* neither b.npy nor b.png. Add"):
        proposals_of(tmp_path, "x/b.jpg")
    with pytest.raises(FileNotFoundError, match="nowhere, which is not a folder"):
        proposals_of(tmp_path / "nowhere", "b.jpg")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((4, 6), bool), "got bool of shape"),
        (np.zeros((1, 4, 6), float), "got float64"),
        (np.array([{}]), "without Python objects"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ImageError, match=message):
        read_regions(tmp_path / "a.npy")


def test_damaged_and_coloured_images_are_refused(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(ImageError, match="cannot be read"):
        read_regions(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "b.png")
    with pytest.raises(ImageError, match="one channel of region numbers, got mode RGB"):
        read_regions(tmp_path / "b.png")
    monkeypatch.setattr("ovss.proposers.folder.MAX_VALUES", 40)
    Image.fromarray(np.arange(16, dtype=np.uint8).reshape(4, 4)).save(tmp_path / "c.png")
    with pytest.raises(ImageError, match="got 16 regions of 16 pixels"):
        read_regions(tmp_path / "c.png")


def test_files_that_hold_no_array_are_refused(tmp_path, monkeypatch):
    masks = np.ones((2, 3, 4), bool)
    with (tmp_path / "a.npy").open("wb") as file:
        np.savez(file, masks=masks)
    with pytest.raises(ImageError, match="one array, got an archive of numpy"):
        read_regions(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", masks)
    cut = (tmp_path / "a.npy").read_bytes()[:-1]
    for content in (b"", b"text", cut):
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(ImageError, match="damaged file or another format"):
            read_regions(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", masks)
    monkeypatch.setattr("ovss.proposers.folder.MAX_VALUES", 23)
    with pytest.raises(ImageError, match="at most 23 values in all masks, got 2 regions of 12 pi"):
        read_regions(tmp_path / "a.npy")
