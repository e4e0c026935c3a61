"""Files of results, read by the libraries that own the formats."""

from __future__ import annotations

import base64
import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.api.coco import CocoWriter
from ovss.api.formats import FORMATS, ensure_formats, output_files
from ovss.api.result import UNKNOWN, SegmentationResult
from ovss.api.stems import Outputs
from ovss.drawing.colors import palette
from ovss.io.outputs import is_own_output

NAMES = ("cat", "sofa: red, couch", "猫")


@pytest.fixture
def result(tmp_path) -> SegmentationResult:
    """Disc with a hole, a part of the disc's left, and unknown pixels on the right."""
    y, x = np.mgrid[:90, :120]
    distance = (y - 45) ** 2 + (x - 50) ** 2
    labels_HW = np.where(distance < 40**2, 1, 0)
    labels_HW[distance < 15**2] = 2
    labels_HW[:, 100:] = UNKNOWN
    image_HW3 = np.random.default_rng(0).integers(0, 256, (90, 120, 3)).astype(np.uint8)
    source = tmp_path / "in" / "photo.png"
    source.parent.mkdir()
    Image.fromarray(image_HW3).save(source)
    scores = np.array([0.5, np.nan, 0.25], np.float32)
    return SegmentationResult(labels_HW, NAMES, scores, image_HW3, str(source))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_every_format_writes_the_file_that_it_names(result, tmp_path):
    pytest.importorskip("pycocotools")
    paths = result.save(tmp_path / "out", "photo", formats=FORMATS)
    assert paths == tuple(tmp_path / "out" / file for file in output_files("photo", FORMATS))
    assert len(set(paths)) == len(FORMATS)
    assert all(path.stat().st_size for path in paths)
    assert all(is_own_output(path) for path in paths if path.suffix == ".png")
    shared = [(kind.companion, kind.listing) for kind in FORMATS.values()]
    companions = {tmp_path / "out" / file for files in shared for file in files if file}
    files = {path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {*paths, *companions}


def test_files_are_in_the_order_of_the_formats(result, tmp_path):
    json_path, overlay = result.save(tmp_path, "a", ("json", "overlay"), {"legend": False})
    assert (json_path.name, overlay.name) == ("a.json", "a_overlay.png")
    assert Image.open(overlay).size == (120, 90)


def test_a_run_after_a_kill_replaces_the_files_of_the_killed_one(result, tmp_path, monkeypatch):
    """The kill falls between two files; without the summary they would count as foreign."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ovss.api.images.write_label_png", killed)
    with pytest.raises(KeyboardInterrupt):
        result.save(tmp_path, "photo")
    outputs = Outputs(tmp_path, [], output_files)
    assert outputs.stem("photo", json.loads((tmp_path / "photo.json").read_text())["image"])
    assert outputs.used == {"photo"}


def test_a_disk_that_fills_up_leaves_no_file_of_this_image(result, tmp_path, monkeypatch):
    def fail(image, file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    result.save(tmp_path, "earlier")
    earlier = sorted(tmp_path.iterdir())
    monkeypatch.setattr("ovss.api.images.save_png", fail)
    with pytest.raises(OSError, match="cannot write"):
        result.save(tmp_path, "photo")
    assert sorted(tmp_path.iterdir()) == earlier
    with pytest.raises(OSError, match="cannot write"):
        result.save(tmp_path, "earlier")
    assert sorted(tmp_path.iterdir()) == earlier


@pytest.mark.parametrize("stem", ["\0", "a\0b", "\ud800", "x" * 300, "folder"])
def test_all_targets_are_checked_before_a_file_is_written(result, tmp_path, stem):
    (tmp_path / "folder_overlay.png").mkdir()
    with pytest.raises(OSError, match=r"NUL|characters|too long|found a folder") as caught:
        result.save(tmp_path, stem)
    assert stem in caught.value.filename
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_an_unknown_format_is_named(result, tmp_path):
    with pytest.raises(ValueError, match=r"'labelm'.*Did you mean 'labelme'"):
        result.save(tmp_path, "a", ("json", "labelm"))
    assert not (tmp_path / "a.json").exists()


def test_a_format_without_its_package_fails_before_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'ovss\[coco\]'"):
        ensure_formats(tmp_path, NAMES, ["coco-rle"])


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_files_of_two_vocabularies_are_not_mixed(result, tmp_path, name):
    result.save(tmp_path, "a", (name,))
    result.save(tmp_path, "a", (name,))
    with pytest.raises(FileExistsError, match=r"found others.*Choose another folder"):
        ensure_formats(tmp_path, ("cat", "dog"), (name,))


def test_numpy_arrays(result, tmp_path):
    (path,) = result.save(tmp_path, "a", ("npz",))
    with np.load(path, allow_pickle=False) as arrays:
        assert (arrays["label_map"] == result.label_map).all()
        assert tuple(arrays["categories"]) == NAMES
        np.testing.assert_array_equal(arrays["scores"], result.scores)
        assert arrays["unknown"] == UNKNOWN
        assert "probabilities" not in arrays
    probabilities = np.zeros((3, 90, 120), np.float32)
    more = SegmentationResult(
        result.label_map, NAMES, result.scores, result.image, probabilities=probabilities
    )
    (path,) = more.save(tmp_path, "b", ("npz",))
    with np.load(path) as arrays:
        assert arrays["probabilities"].shape == (3, 90, 120)


@pytest.mark.parametrize(("kind", "least"), [("coco", 0.95), ("coco-rle", 1.0)])
def test_pycocotools_reads_masks_areas_and_boxes(result, tmp_path, kind, least):
    pycocotools = pytest.importorskip("pycocotools.coco")
    (path,) = result.save(tmp_path, "a", (kind,))
    coco = pycocotools.COCO(str(path))
    assert coco.imgs[1]["file_name"] == "photo.png"
    assert [coco.cats[i]["name"] for i in (1, 2, 3)] == list(NAMES)
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert {a["category_id"] for a in found} == {1, 2, 3}
    for annotation in found:
        mask_HW = result.mask(annotation["category_id"] - 1)
        assert iou(coco.annToMask(annotation).astype(bool), mask_HW) >= least
        assert annotation["area"] == mask_HW.sum()
        rows, columns = mask_HW.any(1).nonzero()[0], mask_HW.any(0).nonzero()[0]
        corner = columns[0], rows[0], columns[-1] + 1 - columns[0], rows[-1] + 1 - rows[0]
        assert tuple(annotation["bbox"]) == corner
    assert {a["category_id"]: a["score"] for a in found} == {1: 0.5, 2: None, 3: 0.25}


def test_one_coco_file_for_a_run(result, tmp_path):
    path = tmp_path / "out" / "run.json"
    with CocoWriter(path, NAMES, root=tmp_path) as coco:
        coco.add(result)
        coco.add(result, "second.png")
        with pytest.raises(ValueError, match="the 3 categories of this file, got one with 1 other"):
            coco.add(SegmentationResult(result.label_map, ("x",), result.scores, result.image))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert [image["file_name"] for image in content["images"]] == ["in/photo.png", "second.png"]
    assert [a["id"] for a in content["annotations"]] == [1, 2, 3, 4, 5, 6]
    assert [a["image_id"] for a in content["annotations"]] == [1, 1, 1, 2, 2, 2]


def test_a_failed_run_leaves_no_coco_file(tmp_path):
    with pytest.raises(RuntimeError), CocoWriter(tmp_path / "run.json", NAMES):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_labelme_finds_the_image_and_polygons(result, tmp_path):
    (path,) = result.save(tmp_path / "out", "photo", ("labelme",))
    content = json.loads(path.read_text(encoding="utf-8"))
    assert not Path(content["imagePath"]).is_absolute()
    assert (path.parent / content["imagePath"]).resolve() == Path(result.source).resolve()
    assert (content["imageWidth"], content["imageHeight"]) == (120, 90)
    assert content["imageData"] is None
    assert {shape["label"] for shape in content["shapes"]} == set(NAMES)
    for shape in content["shapes"]:
        assert shape["shape_type"] == "polygon"
        assert len(shape["points"]) >= 3
        assert all(0 <= x <= 120 and 0 <= y <= 90 for x, y in shape["points"])


def test_labelme_embeds_an_image_from_memory(result, tmp_path):
    memory = SegmentationResult(result.label_map, NAMES, result.scores, result.image)
    (path,) = memory.save(tmp_path, "photo", ("labelme",))
    data = base64.b64decode(json.loads(path.read_text(encoding="utf-8"))["imageData"])
    assert (np.asarray(Image.open(io.BytesIO(data))) == result.image).all()


def test_yolo_polygons_cover_the_masks(result, tmp_path):
    import cv2

    (path,) = result.save(tmp_path, "photo", ("yolo",))
    assert path == tmp_path / "yolo" / "labels" / "photo.txt"
    classes = (tmp_path / "yolo" / "classes.txt").read_text(encoding="utf-8").splitlines()
    assert classes == list(NAMES)
    masks = np.zeros((3, 900, 1200), np.uint8)
    for line in path.read_text(encoding="utf-8").splitlines():
        index, *numbers = line.split()
        values = np.array(numbers, float)
        assert 0 <= values.min() <= values.max() <= 1
        points_N2 = (values.reshape(-1, 2) * (1200, 900)).round().astype(np.int32)
        cv2.fillPoly(masks[int(index)], [points_N2], 1)
    for index in range(3):
        assert iou(masks[index, 5::10, 5::10].astype(bool), result.mask(index)) > 0.95


def test_voc_mask_has_the_colours_of_its_labelmap(result, tmp_path):
    (path,) = result.save(tmp_path, "photo", ("voc",))
    lines = (tmp_path / "voc" / "labelmap.txt").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# label:color_rgb:parts:actions"
    rows = [line.split(":") for line in lines[1:]]
    assert [row[0] for row in rows] == ["background", "cat", "sofa red, couch", "猫"]
    colors = [tuple(map(int, row[1].split(","))) for row in rows]
    assert colors == [(0, 0, 0), *map(tuple, palette(3).tolist())]
    result.save(tmp_path, "photo", ("voc",))
    result.save(tmp_path, "second", ("voc",))
    listing = tmp_path / "voc" / "ImageSets" / "Segmentation" / "default.txt"
    assert listing.read_text(encoding="utf-8") == "photo\nsecond\n"
    image = Image.open(path)
    assert image.mode == "P"
    assert (np.asarray(image) == result.label_map + 1).all()
    assert (np.asarray(image.convert("RGB")) == np.array(colors)[result.label_map + 1]).all()


def test_more_than_254_categories_in_voc_style(tmp_path):
    labels_HW = np.arange(-1, 300).reshape(7, 43)
    names = tuple(f"thing {i}" for i in range(300))
    image_HW3 = np.zeros((7, 43, 3), np.uint8)
    many = SegmentationResult(labels_HW, names, np.zeros(300, np.float32), image_HW3)
    labels, voc = many.save(tmp_path, "a", ("labels", "voc"))
    stored = np.asarray(Image.open(labels)).astype(int)
    assert (np.where(stored == 65535, UNKNOWN, stored) == labels_HW).all()
    colors = np.concatenate([[(0, 0, 0)], palette(300)])
    assert (np.asarray(Image.open(voc)) == colors[labels_HW + 1]).all()


def test_names_and_paths_with_undecodable_bytes_are_written(result, tmp_path):
    strange = SegmentationResult(
        result.label_map, ("a\udce9", "b", "c"), result.scores, result.image, "caf\udce9.jpg"
    )
    formats = [name for name in FORMATS if name != "coco-rle"]
    for path in strange.save(tmp_path, "a", formats):
        if path.suffix in (".json", ".txt"):
            path.read_text(encoding="utf-8")
