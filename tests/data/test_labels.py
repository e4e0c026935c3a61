"""Tests of the label mapper: raw values become indices or IGNORE, all others are errors."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ovss.data.files import read_labels
from ovss.data.labels import LabelMapper
from ovss.data.transforms import resize_labels
from ovss.io.images import ImageError
from ovss.vocabularies.seen import seen_mask


def test_255_is_a_category_of_a_large_vocabulary_and_65535_is_ignored():
    mapper = LabelMapper(847, ignored=(65535,))
    raw = np.array([[0, 255, 846, 65535]], np.uint16)
    assert mapper(raw, "a.tif").tolist() == [[0, 255, 846, -1]]


def test_the_error_for_unknown_values_gives_file_values_and_pixels():
    mapper = LabelMapper(11, ignored=(255,))
    with pytest.raises(ValueError, match=r"street\.png.* 11 \(2 pixels\).*11 categories.*ignored"):
        mapper(np.array([[11, 11, 3, 255]], np.uint8), "street.png")


def test_negative_and_huge_raw_values_are_errors():
    mapper = LabelMapper(3)
    for value in (-1, 70000):
        with pytest.raises(ValueError, match=rf"{value} \(1 pixels\)"):
            mapper(np.array([[0, value]]), "a.png")


def test_a_mapping_can_merge_and_drop_values():
    mapper = LabelMapper(2, {7: 0, 9: 0, 24: 1, 3: -1})
    assert mapper(np.array([[7, 9, 24, 3]]), "x").tolist() == [[0, 0, 1, -1]]
    with pytest.raises(ValueError, match="raw value 1 to 2"):
        LabelMapper(2, {1: 2})


@pytest.mark.parametrize(("mode", "dtype"), [("L", np.uint8), ("I;16", np.uint16)])
def test_label_files_keep_their_bits(tmp_path, mode, dtype):
    raw = np.array([[0, 1], [200, np.iinfo(dtype).max]], dtype)
    Image.fromarray(raw).save(tmp_path / "a.png")
    assert Image.open(tmp_path / "a.png").mode == mode
    assert read_labels(tmp_path / "a.png").tolist() == raw.tolist()
    Image.fromarray(raw).save(tmp_path / "a.tif")
    assert read_labels(tmp_path / "a.tif").tolist() == raw.tolist()


def test_palette_files_give_indices_not_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 5]], np.uint8)).convert("P")
    image.putdata([0, 5])
    image.putpalette([255, 0, 0] * 256)
    image.save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png").tolist() == [[0, 5]]


def test_colour_images_and_damaged_files_are_errors(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    with pytest.raises(ImageError, match=r"rgb\.png.*mode RGB"):
        read_labels(tmp_path / "rgb.png")
    good = tmp_path / "good.png"
    Image.fromarray(np.random.randint(0, 9, (64, 64), np.uint8)).save(good)
    (tmp_path / "half.png").write_bytes(good.read_bytes()[:900])
    with pytest.raises(ImageError, match=r"half\.png"):
        read_labels(tmp_path / "half.png")
    with pytest.raises(ImageError, match=r"none\.png does not exist"):
        read_labels(tmp_path / "none.png")


def test_seen_names_match_any_synonym_in_any_case():
    names = ("Sofa, couch", "traffic  light", "car")
    assert seen_mask(names, ["COUCH, settee", "Traffic Light"]).tolist() == [True, True, False]


def test_labels_are_resized_by_pixel_centres_in_any_integer_type():
    for dtype in (np.int16, np.int32):
        labels = np.arange(-1, 11, dtype=dtype).reshape(3, 4)
        assert resize_labels(labels, (3, 4)).tolist() == labels.tolist()
        assert resize_labels(labels, (6, 8))[::2, ::2].tolist() == labels.tolist()
        assert resize_labels(np.repeat(labels, 3, 1), (3, 4)).tolist() == labels.tolist()
