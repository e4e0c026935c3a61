"""Label maps in the forms and places in which tools leave them, and parts of datasets."""

from __future__ import annotations

import numpy as np
import pytest
from made_folder import label_map, labels_of, made, save_image

from ovss.data.folder import describe_folder
from ovss.data.image_mask import ImageMaskDataset
from ovss.data.splits import LayoutError


def test_label_arrays(tmp_path):
    made(tmp_path, stems=("a",))
    (tmp_path / "masks/a.png").unlink()
    for array in (np.array([[0, 1, 2, 255]] * 3), np.array([[[0, 1, 2, -1]] * 3], np.int8)):
        np.save(tmp_path / "masks/a.npy", array)
        assert labels_of(tmp_path)[0] == [0, 1, 2, -1]
    for array, reason in (
        (np.zeros((3, 4)), "expected an integer array"),
        (np.array([{}], object), "cannot be read as an array"),
        (np.zeros((5, 5), np.uint8), "4 x 3 pixels and .*a.npy 5 x 5"),
    ):
        np.save(tmp_path / "masks/a.npy", array, allow_pickle=True)
        with pytest.raises(ValueError, match=reason):
            describe_folder(tmp_path)


@pytest.mark.parametrize("split", ["", "valid/"])
@pytest.mark.parametrize(
    ("image", "mask"), [("x.jpg", "x_mask.png"), ("x.jpg", "x.png"), ("x_sat.png", "x_mask.png")]
)
def test_label_maps_next_to_the_images(tmp_path, split, image, mask):
    save_image(tmp_path / split / image)
    label_map(tmp_path / split / mask, (0, 1, 1, 0))
    (tmp_path / split / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, car\n")
    described = describe_folder(tmp_path)
    assert (described.count, described.names) == (1, ("background", "car"))
    assert described.build().load(0).path.endswith(image)
    assert labels_of(tmp_path)[0] == [0, 1, 1, 0]


def test_all_splits_need_the_same_classes(tmp_path):
    for split, name in (("train", "car"), ("valid", "bus")):
        save_image(tmp_path / split / "x.jpg")
        label_map(tmp_path / split / "x_mask.png", (0, 1, 1, 0))
        text = f"Pixel Value, Class\n0, background\n1, {name}\n"
        (tmp_path / split / "_classes.csv").write_text(text)
    assert describe_folder(tmp_path, split="val").names == ("background", "bus")
    with pytest.raises(LayoutError, match="name different classes"):
        describe_folder(tmp_path, split="all")


def test_names_in_another_unicode_form(tmp_path):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    save_image(tmp_path / f"images/{composed}.jpg")
    label_map(tmp_path / f"masks/{decomposed}.png", (0, 1, 2, 0))
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar\n")
    assert labels_of(tmp_path)[0] == [0, 1, 2, 0]
    (tmp_path / "val.txt").write_text(f"{decomposed}\n", encoding="utf-8")
    assert describe_folder(tmp_path, split="val").count == 1


def test_a_part_of_a_dataset_is_spread_and_says_so(tmp_path):
    made(tmp_path, stems=[f"{i:02}" for i in range(10)])
    config = {**describe_folder(tmp_path).config([]), "limit": 4}
    config.pop("type")
    dataset = ImageMaskDataset(**config)
    assert [image.stem for image, _ in dataset.pairs] == ["00", "03", "06", "09"]
    assert dataset.metainfo["part"].startswith("4 of 10 images, spread evenly")
    assert "part" not in ImageMaskDataset(**{**config, "limit": 10}).metainfo
    with pytest.raises(ValueError, match="at least 1"):
        ImageMaskDataset(**{**config, "limit": 0})
