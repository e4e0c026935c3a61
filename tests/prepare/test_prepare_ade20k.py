"""ADE20K in 150 and 847 classes: real samples, the index file, 16 bits, the size of 512."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from official_files import SOME, colour_png, index_png, mask, run, write_image
from PIL import Image

from ovss.prepare import Options, SourceError
from ovss.prepare.index_file import read_file_list
from ovss.prepare.recipe import LabelError
from ovss.vocabularies import load_names

TRAIN = Options(("train",), jobs=1, allow_partial=True, progress=False)
STREET = "ADE20K_2021_17_01/images/ADE/validation/urban/street"


def test_150_shifts_by_one_and_zero_is_unlabelled(tmp_path):
    root = tmp_path / "s/ADEChallengeData2016"
    write_image(root / "images/validation/ADE_val_00000001.jpg", 1, 5)
    index_png(root / "annotations/validation/ADE_val_00000001.png", [[0, 1, 2, 149, 150]])
    description = run("ade20k_150", tmp_path / "s", tmp_path / "o").description
    made = mask(tmp_path / "o", "ADE_val_00000001")
    assert made.dtype == np.uint8
    assert made.tolist() == [[255, 0, 1, 148, 149]]
    assert description["splits"]["val"]["ignored_pixels"] == 1
    assert description["census"]["val"][149] == [1, 1]
    index_png(root / "annotations/validation/ADE_val_00000001.png", [[0, 1, 2, 255, 151]])
    with pytest.raises(LabelError, match=r"ADE_val_00000001\.png contains .*151 .*255"):
        run("ade20k_150", tmp_path / "s", tmp_path / "again")


def seg(*rows: list[tuple[int, int]]) -> np.ndarray:
    """Label file of (R, G) pairs; B holds instances, which are ignored."""
    return np.array([[(r, g, 17 * i % 256) for i, (r, g) in enumerate(row)] for row in rows])


def test_847_needs_more_than_eight_bits(tmp_path):
    """Raw 2978 = 11 * 256 + 162: R of 110..119. In 8 bits 11 * 256 is 0."""
    folder = tmp_path / "s" / STREET
    write_image(folder / "ADE_val_00000001.jpg", 2, 3)
    table = {v: k for k, v in _table().items()}
    raw_255, raw_846 = table[255], table[846]
    pixels = seg(
        [(110, 162), (119, 162), (0, 0)],
        [
            (raw_255 // 256 * 10 + 3, raw_255 % 256),
            (raw_846 // 256 * 10, raw_846 % 256),
            (255, 255),
        ],
    )
    colour_png(folder / "ADE_val_00000001_seg.png", pixels)
    description = run("ade20k_847", tmp_path / "s", tmp_path / "o").description
    path = tmp_path / "o/masks/val/ADE_val_00000001.tif"
    with Image.open(path) as image:
        assert image.mode == "I;16"
    made = mask(tmp_path / "o", "ADE_val_00000001")
    assert made.dtype == np.uint16
    assert made.tolist() == [[0, 0, 65535], [255, 846, 65535]]
    assert (description["ignored"], description["bits"]) == ([65535], 16)
    assert description["census"]["val"][255] == [1, 1]
    assert load_names("ade20k_847")[0].startswith("wall")


def _table() -> dict[int, int]:
    from ovss.prepare.tables import load_table

    return load_table("ade20k_847")["pairs"]


def test_847_at_a_short_side_of_512(tmp_path):
    """1024 x 1200 is halved; an image of 512 is left unchanged."""
    folder = tmp_path / "s" / STREET
    raw = np.zeros((1024, 1200, 3), np.uint8)
    raw[:, :600, :2] = (110, 162)
    raw[0, 0, :2] = (110, 163)  # nearest: pixel 0 of the small map is pixel 0 of the large one
    write_image(folder / "ADE_val_00000001.jpg", 1024, 1200)
    colour_png(folder / "ADE_val_00000001_seg.png", raw)
    write_image(folder / "ADE_val_00000002.jpg", 600, 512)
    colour_png(folder / "ADE_val_00000002_seg.png", raw[:600, :512])
    run("ade20k_847", tmp_path / "s", tmp_path / "o")
    made = mask(tmp_path / "o", "ADE_val_00000001")
    assert made.shape == (512, 600)
    assert made[0, 0] == _table().get(11 * 256 + 163, 65535)
    assert (made[1:, :300] == 0).all()
    assert (made[:, 300:] == 65535).all()
    with Image.open(tmp_path / "o/images/val/ADE_val_00000001.png") as image:
        small = np.array(image).astype(int)
    with Image.open(folder / "ADE_val_00000001.jpg") as image:
        large = np.array(image.convert("RGB")).astype(int)
    blocks = large.reshape(512, 2, 600, 2, 3).mean((1, 3))  # bilinear by exactly two
    assert np.abs(small - blocks).max() <= 1
    assert mask(tmp_path / "o", "ADE_val_00000002").shape == (600, 512)
    kept = tmp_path / "o/images/val/ADE_val_00000002.jpg"
    assert kept.samefile(folder / "ADE_val_00000002.jpg")


def test_847_rejects_label_maps_of_one_channel_and_other_sizes(tmp_path):
    folder = tmp_path / "s" / STREET
    write_image(folder / "ADE_val_00000001.jpg")
    index_png(folder / "ADE_val_00000001_seg.png", np.zeros((4, 6)))
    write_image(folder / "ADE_val_00000002.jpg", 600, 700)
    colour_png(folder / "ADE_val_00000002_seg.png", np.zeros((700, 600, 3)))
    with pytest.raises(LabelError) as error:
        run("ade20k_847", tmp_path / "s", tmp_path / "o")
    assert "00000001_seg.png: expected an RGB image, found mode L" in str(error.value)
    assert "00000002_seg.png: the label map has (height, width) (700, 600)" in str(error.value)


def _index(path, folders, names, **more):
    path.write_bytes(pickle.dumps({"folder": folders, "filename": names, **more}))


def test_index_lists_the_images_and_file_names_give_the_split(tmp_path):
    folder = tmp_path / "s" / STREET
    for name in ("ADE_val_00000001", "ADE_val_00000002", "ADE_train_00000003"):
        write_image(folder / f"{name}.jpg")
        colour_png(folder / f"{name}_seg.png", np.zeros((4, 6, 3)))
    names = ["ADE_train_00000003.jpg", "ADE_val_00000002.jpg"]
    _index(
        tmp_path / "s/ADE20K_2021_17_01/index_ade20k.pkl",
        [STREET] * 2,
        names,
        objectPresence=np.zeros((3, 2)),
        objectnames=np.array(["a", "b"], dtype=object),
        wordnet_found=np.float64(1),
    )
    # the source may be the folder itself
    run("ade20k_847", tmp_path / "s/ADE20K_2021_17_01", tmp_path / "o")
    made = sorted(path.stem for path in (tmp_path / "o/masks/val").iterdir())
    assert made == ["ADE_val_00000002"]
    run("ade20k_847", tmp_path / "s", tmp_path / "t", TRAIN)
    assert (tmp_path / "t/masks/train/ADE_train_00000003.tif").is_file()


class _Harm:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


def test_index_executes_nothing(tmp_path):
    path = tmp_path / "index_ade20k.pkl"
    path.write_bytes(pickle.dumps({"folder": [], "filename": [], "x": _Harm(tmp_path / "made")}))
    with pytest.raises(SourceError, match=r"index_ade20k\.pkl cannot be read.*refers to .*open"):
        read_file_list(path)
    assert not (tmp_path / "made").exists()
    for content in (b"no pickle", pickle.dumps([1]), pickle.dumps({"folder": ["a"]})):
        path.write_bytes(content)
        with pytest.raises(SourceError, match="or remove it to have the folders searched"):
            read_file_list(path)
    for folder in ("../..", "/etc"):
        _index(path, [folder], ["ADE_val_00000001.jpg"])
        with pytest.raises(SourceError, match="outside the dataset folder"):
            read_file_list(path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        index = {"folder": np.array(["a/b"], dtype=object), "filename": ["ADE_val_00000001.jpg"]}
        path.write_bytes(pickle.dumps({**index, "presence": np.ones((2, 1))}, protocol))
        assert read_file_list(path) == [("a/b", "ADE_val_00000001.jpg")]


def test_real_samples_have_the_classes_that_their_json_names(shared_dir, tmp_path):
    source = shared_dir / "data" / "ade20k_full_samples" / "dataset"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    out = tmp_path / "o"
    assert run("ade20k_847", source, out, TRAIN).made == 3
    names, all_present = load_names("ade20k_847"), set()
    for path in sorted(source.rglob("ADE_train_*.json")):
        objects = json.loads(path.read_text())["annotation"]["object"]
        named = {o["name"] for o in objects}
        made = mask(out, path.stem)
        present = {names[index] for index in np.unique(made) if index != 65535}
        assert present <= named
        all_present |= present
        with Image.open(out / f"images/train/{path.stem}.png") as image:
            assert min(image.size) == 512
            assert image.size[::-1] == made.shape
    assert len(all_present) == 24


def test_source_without_the_set(tmp_path):
    (tmp_path / "s").mkdir()
    with pytest.raises(SourceError, match=r"images/ADE.*request_data.*Licence: ADE20K"):
        run("ade20k_847", tmp_path / "s", tmp_path / "o", SOME)
