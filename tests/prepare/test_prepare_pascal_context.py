"""PASCAL-Context: run lengths, the order of painting, table 397; LabelMap in 16 bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from official_files import compress, mask, picture, run, runs

from ovss.prepare import Options, SourceError
from ovss.prepare.recipe import LabelError
from ovss.prepare.rle import decode_counts, decode_mask
from ovss.prepare.tables import load_text
from ovss.vocabularies import load_names

FIRST, SECOND = load_text("pascal_context_val.txt")[:2]


def test_the_official_list():
    assert len(load_text("pascal_context_val.txt")) == 5104
    assert FIRST == "2008_000002"


def test_run_lengths_by_hand():
    """6 zeros, 1 one, 40 zeros, 3 ones: 6, 1, 40 = 8 + 32 then 1, and 3 - 1 = 2."""
    assert compress([6, 1, 40, 3]) == "61X12"
    assert decode_counts("61X12") == [6, 1, 40, 3]
    assert decode_counts(b"61X12") == [6, 1, 40, 3]
    # the fourth less than the second: 1 - 5 = -4, the 5 bits 11100 = 28
    assert decode_counts("152L") == [1, 5, 2, 1]
    for text in ("\x20", "X"):
        with pytest.raises(ValueError, match="run lengths"):
            decode_counts(text)
    with pytest.raises(ValueError, match="runs of 5 pixels for 2 x 3 = 6"):
        decode_mask({"size": [2, 3], "counts": [5]})
    with pytest.raises(ValueError, match="expected a run-length mask"):
        decode_mask([[0, 0, 1, 1]])  # a polygon


@pytest.mark.parametrize("seed", range(5))
def test_run_lengths_there_and_back(seed):
    random = np.random.default_rng(seed)
    mask_HW = random.random((37, 53)) < random.random()
    counts = runs(mask_HW)
    assert decode_counts(compress(counts)) == counts
    for coded in (counts, compress(counts), compress(counts).encode()):
        assert np.array_equal(decode_mask({"size": [37, 53], "counts": coded}), mask_HW)


def mark(image, category, rows, compressed=True):
    counts = runs(np.array(rows))
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {
            "size": list(np.shape(rows)),
            "counts": compress(counts) if compressed else counts,
        },
    }


def merged(root, marks, categories=(), pictures=((FIRST, "val"),), size=(2, 3)):
    for name, _ in pictures:
        picture(root / f"JPEGImages/{name}.jpg", *size)
    content = {
        "images": [
            {
                "file_name": f"{name}.jpg",
                "image_id": int(name.replace("_", "")),
                "phase": phase,
                "height": size[0],
                "width": size[1],
            }
            for name, phase in pictures
        ],
        "annos_segmentation": marks,
        "categories": [{"category_id": c, "name": n} for c, n in categories],
    }
    (root / "trainval_merged.json").write_text(json.dumps(content))


def test_marks_are_painted_in_file_order_and_59_are_kept(tmp_path):
    """aeroplane 2 everywhere; then table 397 (-> 49); then accordion 1, which is none of the 59."""
    root, image = tmp_path / "s/VOCdevkit/VOC2010", int(FIRST.replace("_", ""))
    merged(
        root,
        [
            mark(image, 2, [[1, 1, 1], [1, 1, 0]]),
            mark(99, 458, [[1, 1, 1], [1, 1, 1]]),  # another picture's
            mark(image, 397, [[0, 1, 1], [0, 0, 0]], compressed=False),
            mark(image, 1, [[0, 0, 1], [0, 0, 0]]),
        ],
        categories=[(2, "aeroplane"), (397, "table"), (1, "accordion")],
        pictures=((FIRST, "val"), ("2008_000015", "train")),
    )
    said = run("pascal_context_59", tmp_path / "s", tmp_path / "o").description
    made = mask(tmp_path / "o", FIRST)
    assert made.dtype == np.uint8
    assert made.tolist() == [[0, 49, 255], [0, 0, 255]]
    assert said["splits"]["val"]["images"] == 1
    assert load_names("pascal_context_59")[49] == "diningtable"


def test_jsons_that_are_not_the_official_one(tmp_path):
    root, image = tmp_path / "VOC2010", int(FIRST.replace("_", ""))
    good = mark(image, 2, np.ones((2, 3)))

    def refused(error, match, *args, **kwargs):
        merged(root, *args, **kwargs)
        with pytest.raises(error, match=match):
            run("pascal_context_59", tmp_path, tmp_path / "o")

    refused(SourceError, "category 2 'dog'.*'aeroplane'", [good], categories=[(2, "dog")])
    refused(SourceError, "not in the official list", [good], pictures=(("1999_000001", "val"),))
    refused(SourceError, "entry 0 of 'annos_segmentation' lacks", [{"image_id": image}])
    refused(LabelError, r"json:2008_000002: holds 460 \(6 pixels\)", [{**good, "category_id": 460}])
    wrong_size = mark(image, 2, np.ones((3, 2)))
    refused(LabelError, r"category 2 in 2008_000002 has \(height, width\) \(3, 2\)", [wrong_size])
    polygon = {**good, "segmentation": [[0, 0, 1, 1, 2, 0]]}
    refused(LabelError, "category 2 in 2008_000002: expected a run-length mask", [polygon])
    (root / "trainval_merged.json").write_text("{")
    with pytest.raises(SourceError, match="no JSON"):
        run("pascal_context_59", tmp_path, tmp_path / "o")
    (root / "trainval_merged.json").unlink()
    with pytest.raises(SourceError, match=r"trainval_merged\.json.*Licence"):
        run("pascal_context_59", tmp_path, tmp_path / "o")


def mat(root, values, name=FIRST, key="LabelMap"):
    from scipy.io import savemat

    picture(root / f"JPEGImages/{name}.jpg", *np.shape(values))
    (root / "trainval").mkdir(exist_ok=True)
    savemat(root / f"trainval/{name}.mat", {key: values})


def test_label_map_less_one_in_sixteen_bits(tmp_path):
    root = tmp_path / "s/VOC2010"
    mat(root, np.array([[1, 2, 256], [431, 459, 397]], np.uint16))
    mat(root, np.array([[0, 460]], np.uint16), SECOND)
    names = load_names("pascal_context_459")
    (root / "labels.txt").write_text("".join(f"{i}: {n}\n" for i, n in enumerate(names, 1)))
    said = run("pascal_context_459", tmp_path / "s", tmp_path / "o").description
    made = mask(tmp_path / "o", FIRST)
    assert made.dtype == np.uint16
    assert made.tolist() == [[0, 1, 255], [430, 458, 396]]
    assert names[430] == "unknown"
    # 0 wraps to 65535 where the script subtracts; both values mean "not labelled"
    assert mask(tmp_path / "o", SECOND).tolist() == [[65535, 459]]
    assert set(said["ignored"]) == {459, 65535}
    assert said["splits"]["val"]["ignored_pixels"] == 2
    assert said["census"]["val"][255] == [1, 1]


def test_label_maps_that_lost_something(tmp_path):
    root = tmp_path / "VOC2010"

    def refused(match, values, **how):
        mat(root, values, **how)
        with pytest.raises(LabelError, match=match):
            run("pascal_context_459", tmp_path, tmp_path / "o")

    refused(r"2008_000002\.mat: LabelMap has type uint8, 8 bits.*which has 16", np.uint8([[1, 2]]))
    refused(r"2008_000002\.mat: holds 461 \(1 pixels\)", np.uint16([[1, 461]]))
    refused(r"2008_000002\.mat: has no LabelMap", np.uint16([[1, 2]]), key="Other")
    refused(r"2008_000002\.mat: LabelMap has fractions", np.float64([[1.5, 2]]))
    (root / f"trainval/{FIRST}.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(LabelError, match=r"2008_000002\.mat: cannot be read as a MATLAB file"):
        run("pascal_context_459", tmp_path, tmp_path / "o")
    mat(root, np.uint16([[1, 2]]))
    (root / "labels.txt").write_text("1: zebra\n")
    with pytest.raises(SourceError, match=r"labels\.txt: line '1: zebra'.*'accordion'"):
        run("pascal_context_459", tmp_path, tmp_path / "o")


def test_pictures_of_the_list_that_are_missing(tmp_path):
    mat(tmp_path / "VOC2010", np.uint16([[1, 2]]))
    whole = Options(jobs=1, progress=False)
    with pytest.raises(SourceError, match=r"no picture and no labels of 2008_000003.*5098 more"):
        run("pascal_context_459", tmp_path, tmp_path / "o", whole)
