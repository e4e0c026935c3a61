"""Tests of annotation files: every format against labels that are known by construction."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from made_folder import label_map, labels_of, save_image
from PIL import Image

from ovss.data.folder import describe_folder
from ovss.data.image_mask import ImageMaskDataset
from ovss.data.label_formats import list_label_formats
from ovss.data.label_formats.coco import CocoIndex
from ovss.data.splits import LayoutError
from ovss.io.images import ImageError

SHAPE = (6, 8)
ROAD = [[1, 1], [6, 1], [6, 4], [1, 4]]
CAR = [[2, 2], [3, 2], [3, 3], [2, 3]]


def expected(road: int = 0, car: int = 1, rest: int = -1) -> list[list[int]]:
    labels = np.full(SHAPE, rest)
    labels[1:5, 1:7] = road
    labels[2:4, 2:4] = car
    return labels.tolist()


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def png(mask: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask).save(file, format="PNG")
    return file.getvalue()


# -- COCO ----------------------------------------------------------------------------------------


def rle(mask: np.ndarray) -> dict:
    flat = mask.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat, [1 - flat[-1]]])))
    return {"size": list(mask.shape), "counts": np.diff(np.concatenate([[0], edges])).tolist()}


def coco(*annotations: tuple, names=("road", "car"), files=("a.png",)) -> dict:
    return {
        "images": [
            {"id": 7 + i, "file_name": name, "height": SHAPE[0], "width": SHAPE[1]}
            for i, name in enumerate(files)
        ],
        "categories": [{"id": 3 * i + 2, "name": name} for i, name in enumerate(names)],
        "annotations": [
            {"id": i, "image_id": 7, "category_id": 3 * c + 2, "segmentation": s, "iscrowd": crowd}
            for i, (c, s, crowd) in enumerate(annotations)
        ],
    }


FLAT_ROAD, FLAT_CAR = np.ravel(ROAD).tolist(), np.ravel(CAR).tolist()


@pytest.mark.parametrize(
    "place", ["annotations/instances_val2017.json", "images/_annotations.json"]
)
def test_coco_polygons_and_run_lengths(tmp_path, place):
    save_image(tmp_path / "images/a.png", SHAPE)
    road = np.zeros(SHAPE, bool)
    road[1:5, 1:7] = True
    for road_shape in ([FLAT_ROAD], rle(road)):  # the car comes first but is the smaller one
        write(tmp_path / place, coco((1, [FLAT_CAR], 0), (0, road_shape, 1)))
        described = describe_folder(tmp_path)
        assert described.names == ("road", "car")
        assert described.label_format == "coco"
        assert labels_of(tmp_path) == expected()


def test_coco_compressed_run_lengths_agree_with_the_official_reader(tmp_path):
    coder = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    mask = rng.random(SHAPE) < 0.5
    packed = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
    save_image(tmp_path / "images/a.png", SHAPE)
    segmentation = {"size": packed["size"], "counts": packed["counts"].decode()}
    write(tmp_path / "annotations/instances.json", coco((0, segmentation, 0)))
    assert (np.array(labels_of(tmp_path)) == np.where(mask, 0, -1)).all()


def test_coco_with_a_class_file_splits_and_images_without_labels(tmp_path):
    for split in ("train", "val"):
        for name in "ab":
            save_image(tmp_path / f"{split}2017/{name}.png", SHAPE)
        content = coco((0, [FLAT_ROAD], 0), (1, [FLAT_CAR], 0))
        write(tmp_path / f"annotations/instances_{split}2017.json", content)
    with pytest.raises(LayoutError, match=r"several annotation files: annotations/instances_train"):
        describe_folder(tmp_path)
    described = describe_folder(tmp_path, split="val")
    assert (described.images.name, described.count, described.unpaired) == ("val2017", 1, 1)
    assert "1 images without labels are left out" in str(described)
    (tmp_path / "classes.txt").write_text("background\ncar, automobile\nroad\n")
    assert labels_of(tmp_path, split="val") == expected(2, 1, 0)
    file = tmp_path / "annotations/instances_train2017.json"
    assert labels_of(tmp_path, masks=file) == expected(2, 1, 0)


def test_coco_of_roboflow_lies_with_the_images_and_has_a_category_for_all(tmp_path):
    content = coco((1, [FLAT_ROAD], 0), (2, [FLAT_CAR], 0), names=("things", "road", "car"))
    content["categories"][0]["supercategory"] = "none"
    for category in content["categories"][1:]:
        category["supercategory"] = "things"
    save_image(tmp_path / "valid/a.png", SHAPE)
    write(tmp_path / "valid/_annotations.coco.json", content)
    assert describe_folder(tmp_path, split="val").names == ("road", "car")
    assert labels_of(tmp_path) == expected()


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([], "has only a box"),
        ([[1, 2, 3]], "at least three points"),
        ([[1, 2, 3, 4, None, 5]], "at least three points"),
        ({"size": [2, 2], "counts": [4]}, r"has \(height, width\) \(2, 2\)"),
        ({"size": [6, 8], "counts": [4]}, "expected runs of 6 x 8"),
        ({"size": [6, 8], "counts": ["a"]}, "expected a list of integers in 'counts'"),
        ({"size": [6, 8], "counts": {"a": 1}}, "expected a list of integers in 'counts'"),
        ({"size": "68", "counts": [48]}, "has \\(height, width\\) '68'"),
    ],
)
def test_coco_errors(tmp_path, segmentation, reason):
    save_image(tmp_path / "images/a.png", SHAPE)
    file = write(tmp_path / "annotations/a.json", coco((0, segmentation, 0)))
    with pytest.raises(ImageError, match=reason) as caught:
        describe_folder(tmp_path)
    assert f"{file}, annotation 0" in str(caught.value)


def test_coco_ids_that_are_none_or_are_used_twice(tmp_path):
    save_image(tmp_path / "images/a.png", SHAPE)
    content = coco((0, [FLAT_ROAD], 0))
    content["annotations"][0]["category_id"] = {"a": 1}
    file = write(tmp_path / "annotations/a.json", content)
    with pytest.raises(ValueError, match="expected 'category_id' of type int or str"):
        describe_folder(tmp_path).build().load(0)
    content["categories"][1]["id"] = content["categories"][0]["id"]
    write(file, content)
    with pytest.raises(ImageError, match="two categories with the id"):
        CocoIndex(file)


def test_coco_lists_an_image_that_does_not_exist(tmp_path):
    save_image(tmp_path / "images/a.png", SHAPE)
    write(tmp_path / "annotations/a.json", coco(files=("a.png", "b.png")))
    with pytest.raises(FileNotFoundError, match=r"1 of 2 images that .*a.json lists"):
        describe_folder(tmp_path)


# -- LabelMe -------------------------------------------------------------------------------------


def labelme(*shapes: dict, size: tuple | None = SHAPE) -> dict:
    sides = size or (None, None)
    return {"shapes": list(shapes), "imageHeight": sides[0], "imageWidth": sides[1]}


ROAD_SHAPE = {"label": "road", "points": ROAD, "shape_type": "polygon"}
CAR_SHAPE = {"label": "car", "points": [[3, 3], [2, 2]], "shape_type": "rectangle"}


@pytest.mark.parametrize(
    ("images", "labels"), [("", ""), ("images/", "annotations/"), ("img/", "img/")]
)
def test_labelme(tmp_path, images, labels):
    save_image(tmp_path / f"{images}a.jpg", SHAPE)
    write(tmp_path / f"{labels}a.json", labelme(ROAD_SHAPE, CAR_SHAPE, size=None))
    described = describe_folder(tmp_path)
    assert (described.label_format, described.names) == ("labelme", ("car", "road"))
    assert labels_of(tmp_path) == expected(1, 0)
    assert "labelme shapes" in str(described)
    assert "not labelled: other pixels" in str(described)


def test_labelme_circles_masks_and_the_order_of_shapes(tmp_path):
    save_image(tmp_path / "a.jpg", (9, 9))
    circle = {"label": "car", "points": [[4, 4], [4, 7]], "shape_type": "circle"}
    patch = base64.b64encode(png(np.array([[255, 0]], np.uint8))).decode()
    mask = {"label": "road", "points": [[4, 4], [5, 4]], "shape_type": "mask", "mask": patch}
    write(tmp_path / "a.json", labelme(circle, mask, size=(9, 9)))
    labels = np.array(labels_of(tmp_path))
    rows, columns = np.indices((9, 9))
    distance = np.hypot(rows - 4, columns - 4)
    assert (labels[distance > 3.6] == -1).all()
    inside = distance < 2.9
    inside[4, 4] = False
    assert (labels[inside] == 0).all()
    assert labels[4, 4] == 1  # road covers the circle
    assert labels[4, 5] == 0


def test_labelme_ignored_names_and_advice(tmp_path):
    save_image(tmp_path / "images/a.jpg", SHAPE)
    write(tmp_path / "labels/a.json", labelme(ROAD_SHAPE, CAR_SHAPE))
    (tmp_path / "classes.txt").write_text("road\n")
    with pytest.raises(
        ValueError, match=r"has shapes called 'car', which is not a class"
    ) as caught:
        describe_folder(tmp_path)
    text = str(caught.value)
    remedy, place = text[text.index("write {") + 6 :].split(" into ")
    Path(place).write_text(remedy)
    assert labels_of(tmp_path) == expected(0, -1)
    assert describe_folder(tmp_path).config([])["ignored_names"] == ["car"]
    (tmp_path / "classes.txt").write_text("road\ncar\n")
    with pytest.raises(ValueError, match="'car' is a category and an ignored name"):
        describe_folder(tmp_path)


def test_sizes_are_compared_before_anything_runs(tmp_path):
    save_image(tmp_path / "a.jpg", (9, 9))
    write(tmp_path / "a.json", labelme(ROAD_SHAPE))
    with pytest.raises(ValueError, match=r"\(6, 8\), but .*a.jpg has \(9, 9\)"):
        describe_folder(tmp_path)


def test_labelme_shapes_without_area(tmp_path):
    save_image(tmp_path / "a.jpg", SHAPE)
    write(tmp_path / "a.json", labelme({"label": "car", "points": [[1, 1]], "shape_type": "point"}))
    with pytest.raises(ImageError, match=r"a.json, shape 0: a 'point' has no area"):
        describe_folder(tmp_path)


# -- Cityscapes ----------------------------------------------------------------------------------


def test_polygons_of_cityscapes(tmp_path):
    stem = "aachen_000000_000019"
    objects = [
        {"label": "out of roi", "polygon": [[0, 0], [7, 0], [7, 0]]},
        {"label": "roadgroup", "polygon": ROAD},
        {"label": "sky", "polygon": ROAD, "deleted": 1},
        {"label": "car", "polygon": CAR},
    ]
    content = {"imgHeight": SHAPE[0], "imgWidth": SHAPE[1], "objects": objects}
    save_image(tmp_path / f"leftImg8bit/val/aachen/{stem}_leftImg8bit.png", SHAPE)
    write(tmp_path / f"gtFine/val/aachen/{stem}_gtFine_polygons.json", content)
    described = describe_folder(tmp_path, split="val")
    assert (described.label_format, len(described.names)) == ("cityscapes", 19)
    assert described.image_suffix == "_leftImg8bit"
    assert labels_of(tmp_path) == expected(0, 13)
    (tmp_path / "classes.txt").write_text("car\nroad\n")
    assert labels_of(tmp_path) == expected(1, 0)


@pytest.mark.parametrize("with_polygons", [False, True])
def test_label_maps_of_cityscapes(tmp_path, with_polygons):
    stem = "aachen_000000_000019"
    save_image(tmp_path / f"leftImg8bit/val/aachen/{stem}_leftImg8bit.png")
    folder = tmp_path / "gtFine/val/aachen"
    label_map(folder / f"{stem}_gtFine_labelIds.png", (7, 26, 0, 7))
    if with_polygons:
        content = {"imgHeight": 3, "imgWidth": 4, "objects": []}
        write(folder / f"{stem}_gtFine_polygons.json", content)
    classes = {"classes": {"7": "road", "26": "car"}, "ignored": [0]}
    write(tmp_path / "classes.json", classes)
    described = describe_folder(tmp_path)
    assert (described.mask_suffix, described.image_suffix) == (
        "_gtFine_labelIds.png",
        "_leftImg8bit",
    )
    assert labels_of(tmp_path)[0] == [0, 1, -1, 0]
    if with_polygons:
        described = describe_folder(tmp_path, mask_suffix="_gtFine_polygons.json")
        assert described.label_format == "cityscapes"


# -- Supervisely ---------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "ds0/"])
def test_supervisely(tmp_path, folder):
    mask = np.zeros((4, 6, 4), np.uint8)
    mask[..., 3] = 255
    data = base64.b64encode(zlib.compress(png(mask))).decode()
    hole = [[5, 1], [6, 1], [6, 2], [5, 2]]
    objects = [
        {
            "classTitle": "road",
            "geometryType": "bitmap",
            "bitmap": {"data": data, "origin": [1, 1]},
        },
        {
            "classTitle": "car",
            "geometryType": "polygon",
            "points": {"exterior": CAR, "interior": []},
        },
        {
            "classTitle": "sky",
            "geometryType": "polygon",
            "points": {"exterior": hole, "interior": [hole]},
        },
    ]
    meta = [{"title": n, "color": c} for n, c in (("sky", "#0000FF"), ("road", "#FF0000"))]
    write(tmp_path / "meta.json", {"classes": [*meta, {"title": "car", "color": "#00FF00"}]})
    save_image(tmp_path / f"{folder}img/a.jpg", SHAPE)
    size = {"height": SHAPE[0], "width": SHAPE[1]}
    write(tmp_path / f"{folder}ann/a.jpg.json", {"size": size, "objects": objects})
    described = describe_folder(tmp_path)
    assert (described.label_format, described.names) == ("supervisely", ("sky", "road", "car"))
    assert described.palette == ((0, 0, 255), (255, 0, 0), (0, 255, 0))
    assert labels_of(tmp_path) == expected(1, 2)
    damaged = {**objects[0], "bitmap": {"data": "AAAA", "origin": [0, 0]}}
    write(tmp_path / f"{folder}ann/a.jpg.json", {"size": size, "objects": [damaged]})
    with pytest.raises(ImageError, match=r"object 0: the bitmap cannot be read"):
        describe_folder(tmp_path)


# -- the dataset class ---------------------------------------------------------------------------


def test_the_config_builds_the_same_dataset_and_training_hides_unseen_names(tmp_path):
    save_image(tmp_path / "images/a.jpg", SHAPE)
    write(tmp_path / "labels/a.json", labelme(ROAD_SHAPE, CAR_SHAPE))
    (tmp_path / "classes.txt").write_text("road\ncar [unseen]\n")
    config = describe_folder(tmp_path).config([])
    config.pop("type")
    assert ImageMaskDataset(**config).load(0).labels.tolist() == expected()
    seen = ImageMaskDataset(**config, only_seen=True)
    assert seen.load(0).labels.tolist() == expected(0, -1)
    with pytest.raises(ValueError, match=f"Use one of {', '.join(list_label_formats())}"):
        ImageMaskDataset(**{**config, "label_format": "yolo"})


def test_the_hash_of_a_dataset_covers_its_annotation_file(tmp_path):
    from ovss.evaluation.plan import data_hash

    save_image(tmp_path / "images/a.png", SHAPE)
    file = write(tmp_path / "annotations/instances.json", coco((0, [FLAT_ROAD], 0)))
    dataset = describe_folder(tmp_path).build()
    before = data_hash(dataset, {})
    assert data_hash(dataset, {}) == before
    write(file, coco((0, [FLAT_CAR], 0)))
    assert data_hash(dataset, {}) != before


def test_coco128_as_annotations_agrees_with_its_label_maps(shared_dir, tmp_path):
    """The label maps were drawn from the same polygons; only the order of areas may differ."""
    root = shared_dir / "data/coco128_seg"
    names = json.loads((root / "classes.json").read_text())
    names = names if isinstance(names, list) else names["classes"]
    content: dict = {
        "categories": [{"id": i + 1, "name": n} for i, n in enumerate(names)],
        "images": [],
        "annotations": [],
    }
    for i, path in enumerate(sorted((root / "images/train2017").glob("*.jpg"))[:6]):
        width, height = Image.open(path).size
        record = {"id": i, "file_name": path.name, "height": height, "width": width}
        content["images"].append(record)
        text = root / f"labels/train2017/{path.stem}.txt"
        for line in text.read_text().splitlines() if text.exists() else ():
            number, *flat = line.split()
            points = (np.array(flat, float).reshape(-1, 2) * (width, height)).ravel().tolist()
            entry = {"image_id": i, "category_id": int(number) + 1, "segmentation": [points]}
            content["annotations"].append(entry)
    write(tmp_path / "annotations/instances.json", content)
    dataset = describe_folder(tmp_path, images=root / "images/train2017").build()
    same = total = 0
    for i, (image, _) in enumerate(dataset.pairs):
        mask = np.asarray(Image.open(root / f"masks/train2017/{image.stem}.png")).astype(int)
        mask[mask == 255] = -1
        same, total = same + int((dataset.labels_of(i) == mask).sum()), total + mask.size
    assert same / total > 0.999
