"""PASCAL-Context: run lengths, the order of segments, category 397, and LabelMap in 16 bits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from official_files import compress, mask, run, runs, write_image

from ovss.data.rle import decode_counts, decode_mask
from ovss.prepare import Options, SourceError, prepare
from ovss.prepare.recipe import LabelError
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
    with pytest.raises(ValueError, match="2 x 3 = 6 pixels, found 5"):
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


def segment(image, category, rows, compressed=True):
    counts = runs(np.array(rows))
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": {
            "size": list(np.shape(rows)),
            "counts": compress(counts) if compressed else counts,
        },
    }


def merged(root, segments, categories=(), images=((FIRST, "val"),), size=(2, 3)):
    for name, _ in images:
        write_image(root / f"JPEGImages/{name}.jpg", *size)
    content = {
        "images": [
            {
                "file_name": f"{name}.jpg",
                "image_id": int(name.replace("_", "")),
                "phase": phase,
                "height": size[0],
                "width": size[1],
            }
            for name, phase in images
        ],
        "annos_segmentation": segments,
        "categories": [{"category_id": c, "name": n} for c, n in categories],
    }
    (root / "trainval_merged.json").write_text(json.dumps(content))


def test_marks_are_painted_in_file_order_and_59_are_kept(tmp_path):
    """aeroplane 2 everywhere, then table 397 (-> 49), then accordion 1, which is not in the 59."""
    root, image = tmp_path / "s/VOCdevkit/VOC2010", int(FIRST.replace("_", ""))
    merged(
        root,
        [
            segment(image, 2, [[1, 1, 1], [1, 1, 0]]),
            segment(99, 458, [[1, 1, 1], [1, 1, 1]]),  # belongs to another image
            segment(image, 397, [[0, 1, 1], [0, 0, 0]], compressed=False),
            segment(image, 1, [[0, 0, 1], [0, 0, 0]]),
        ],
        categories=[(2, "aeroplane"), (397, "table"), (1, "accordion")],
        images=((FIRST, "val"), ("2008_000015", "train")),
    )
    description = run("pascal_context_59", tmp_path / "s", tmp_path / "o").description
    made = mask(tmp_path / "o", FIRST)
    assert made.dtype == np.uint8
    assert made.tolist() == [[0, 49, 255], [0, 0, 255]]
    assert description["splits"]["val"]["images"] == 1
    assert load_names("pascal_context_59")[49] == "diningtable"
    run("pascal_context_60", tmp_path / "s", tmp_path / "with_background")
    assert mask(tmp_path / "with_background", FIRST).tolist() == [[1, 50, 0], [1, 1, 0]]
    assert load_names("pascal_context_60") == ("background", *load_names("pascal_context_59"))


def test_jsons_that_are_not_the_official_one(tmp_path):
    root, image = tmp_path / "VOC2010", int(FIRST.replace("_", ""))
    good = segment(image, 2, np.ones((2, 3)))

    def rejected(error, match, *args, **kwargs):
        merged(root, *args, **kwargs)
        with pytest.raises(error, match=match):
            run("pascal_context_59", tmp_path, tmp_path / "o")

    rejected(
        SourceError, "'aeroplane' for category 2, found 'dog'", [good], categories=[(2, "dog")]
    )
    rejected(SourceError, "not in the official list", [good], images=(("1999_000001", "val"),))
    rejected(SourceError, "entry 0 of 'annos_segmentation' lacks", [{"image_id": image}])
    rejected(
        LabelError, r"json:2008_000002 contains .* 460 \(6 pixels\)", [{**good, "category_id": 460}]
    )
    wrong_size = segment(image, 2, np.ones((3, 2)))
    rejected(LabelError, r"category 2 in 2008_000002 has \(height, width\) \(3, 2\)", [wrong_size])
    polygon = {**good, "segmentation": [[0, 0, 1, 1, 2, 0]]}
    rejected(LabelError, "category 2 in 2008_000002 .*expected a run-length mask", [polygon])
    (root / "trainval_merged.json").write_text("{")
    with pytest.raises(SourceError, match="not valid JSON"):
        run("pascal_context_59", tmp_path, tmp_path / "o")
    (root / "trainval_merged.json").unlink()
    with pytest.raises(SourceError, match=r"trainval_merged\.json.*Licence"):
        run("pascal_context_59", tmp_path, tmp_path / "o")


def mat(root, values, name=FIRST, key="LabelMap"):
    from scipy.io import savemat

    write_image(root / f"JPEGImages/{name}.jpg", *np.shape(values))
    (root / "trainval").mkdir(exist_ok=True)
    savemat(root / f"trainval/{name}.mat", {key: values})


def test_label_map_less_one_in_sixteen_bits(tmp_path):
    root = tmp_path / "s/VOC2010"
    mat(root, np.array([[1, 2, 256], [431, 459, 397]], np.uint16))
    mat(root, np.array([[0, 460]], np.uint16), SECOND)
    names = load_names("pascal_context_459")
    (root / "labels.txt").write_text("".join(f"{i}: {n}\n" for i, n in enumerate(names, 1)))
    description = run("pascal_context_459", tmp_path / "s", tmp_path / "o").description
    made = mask(tmp_path / "o", FIRST)
    assert made.dtype == np.uint16
    assert made.tolist() == [[0, 1, 255], [430, 458, 396]]
    assert names[430] == "unknown"
    # the official script subtracts 1, which wraps 0 to 65535; both values mean "unlabelled"
    assert mask(tmp_path / "o", SECOND).tolist() == [[65535, 459]]
    assert set(description["ignored"]) == {459, 65535}
    assert description["splits"]["val"]["ignored_pixels"] == 2
    assert description["census"]["val"][255] == [1, 1]


def test_label_maps_that_lost_something(tmp_path):
    root = tmp_path / "VOC2010"

    def rejected(match, values, **how):
        mat(root, values, **how)
        with pytest.raises(LabelError, match=match):
            run("pascal_context_459", tmp_path, tmp_path / "o")

    rejected(r"2008_000002\.mat: LabelMap has 8 bits \(uint8\).*which has 16", np.uint8([[1, 2]]))
    rejected(r"2008_000002\.mat contains .* 461 \(1 pixels\)", np.uint16([[1, 461]]))
    rejected(r"2008_000002\.mat has no numeric LabelMap", np.uint16([[1, 2]]), key="Other")
    rejected(r"2008_000002\.mat: LabelMap has fractions", np.float64([[1.5, 2]]))
    (root / f"trainval/{FIRST}.mat").write_bytes(b"MATLAB 7.3 MAT-file")
    with pytest.raises(LabelError, match=r"2008_000002\.mat cannot be read as a MATLAB file"):
        run("pascal_context_459", tmp_path, tmp_path / "o")
    mat(root, np.uint16([[1, 2]]))
    (root / "labels.txt").write_text("1: zebra\n")
    with pytest.raises(SourceError, match=r"labels\.txt: .*'accordion'.*'1: zebra'"):
        run("pascal_context_459", tmp_path, tmp_path / "o")


def test_missing_images_of_the_list(tmp_path):
    mat(tmp_path / "VOC2010", np.uint16([[1, 2]]))
    whole = Options(jobs=1, progress=False)
    with pytest.raises(SourceError, match=r"missing image and labels of 2008_000003.*5098 more"):
        run("pascal_context_459", tmp_path, tmp_path / "o", whole)


def test_damaged_json_is_named(tmp_path):
    root = tmp_path / "VOC2010"
    write_image(root / "JPEGImages/2008_000002.jpg", 2, 3)
    row = {"image_id": 1, "file_name": "2008_000002.jpg", "phase": "val", "height": 2, "width": 3}
    segment = {"image_id": 1, "category_id": 2, "segmentation": {"counts": [0, 6], "size": [2, 3]}}
    good = {"images": [row], "annos_segmentation": [segment], "categories": []}
    damaged = {
        "not valid JSON": "[" * 100_000,
        "entry 0 of 'images'": {**good, "images": [{**row, "image_id": []}]},
        "entry 0 of 'annos_segmentation'": {
            **good, "annos_segmentation": [{**segment, "category_id": "x"}]
        },
        "'categories' is not a list of objects": {**good, "categories": ["sky"]},
        "has \\(height, width\\) \\(9000000000, 3\\)": {
            **good, "images": [{**row, "height": 9_000_000_000}]
        },
    }  # fmt: skip
    for text, content in damaged.items():
        (root / "trainval_merged.json").write_text(
            content if isinstance(content, str) else json.dumps(content)
        )
        with pytest.raises(ValueError, match=f"trainval_merged.json.*{text}"):
            prepare("pascal_context_59", root.parent, tmp_path / "o", Options(allow_partial=True))
