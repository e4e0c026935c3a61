"""Class files and label maps of wrong kinds are refused by a sentence that names the file."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.data.class_file import read_class_file
from ovss.data.files import read_label_colors, read_labels, read_list
from ovss.data.label_formats import label_source
from ovss.io.advice import advice_of
from ovss.io.images import ImageError
from ovss.vocabularies import load_names

CLASS_FILES = {
    b"": "has no names",
    b"\n\n  \n": "has no names",
    b"\x00\x01\x02": "byte 0 is zero",
    b"sky\x00road\n": "byte 3 is zero",
    "sky\nroad\n".encode("utf-16"): "not UTF-8 text but UTF-16",
    b"sky\nro\xe9d\n": "not UTF-8 text",
    b"sky\nroad\x1b[2J\n": r"line 2: .*control character \\x1b",
    "sky\nroad\u202eedis\n".encode(): r"line 2: .*control character \\u202e",
    b"sky\n\nroad\n": "line 2: the name is blank",
    b"sky\nsky\n": "names categories twice",
}


@pytest.mark.parametrize("content", CLASS_FILES)
def test_text_files_that_hold_no_names_are_refused(tmp_path, content):
    path = tmp_path / "classes.txt"
    path.write_bytes(content)
    for read in (read_class_file, load_names):
        with pytest.raises(ValueError, match=CLASS_FILES[content]) as caught:
            read(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["road\u2028side", "road\x0bside"])
def test_line_breaks_inside_of_a_name_are_spaces(tmp_path, name):
    path = tmp_path / "classes.txt"
    path.write_text(f"sky\n{name}\n", encoding="utf-8")
    assert read_class_file(path).names == load_names(path) == ("sky", "road side")


def test_lines_of_many_brackets_are_read_in_linear_time(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("[" * 60_000 + "]" * 60_000)
    start = time.process_time()
    assert len(read_class_file(path).names) == 1
    assert time.process_time() - start < 5
    path.write_text("sky\nroad [ sean ]\n")
    with pytest.raises(ValueError, match=r"unknown mark \[ sean \]. Did you mean \[seen\]"):
        read_class_file(path)


def test_a_value_of_a_class_file_is_quoted_in_a_bounded_length(tmp_path):
    path = tmp_path / "classes.json"
    path.write_text('{"classes": ["sky"], "ignored": [["' + "x" * 100_000 + '"]]}')
    with pytest.raises(ValueError, match="Ignored values must be integers") as caught:
        read_class_file(path)
    assert len(str(caught.value)) < 600
    path.write_text('{"classes": ["sky"], "ignored": [' + "9" * 5000 + "]}")
    with pytest.raises(ValueError, match="holds an integer of more than 4,300 digits"):
        read_class_file(path)


def test_a_byte_order_mark_and_any_line_end_are_read(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_bytes(b"\xef\xbb\xbfsky\r\nroad\rcar\n\n")
    assert read_class_file(path).names == load_names(path) == ("sky", "road", "car")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nest too deeply"),
        ('["a", "b\\u0000"]', r"control character \\x00"),
        ('["a", 3]', "must be a string, got 3"),
        ("{}", "."),
        ("[]", "has no names"),
        ("NaN", "."),
        ('{"0": "a", "0": "b"}', "twice|must hold a list"),
    ],
)
def test_json_files_that_hold_no_names_are_refused(tmp_path, content, message):
    path = tmp_path / "classes.json"
    path.write_text(content)
    for read in (read_class_file, load_names):
        with pytest.raises((ValueError, TypeError), match=message) as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_folders_and_files_that_are_too_large_are_refused(tmp_path):
    for read in (read_class_file, read_list):
        with pytest.raises(ValueError, match="is a folder"):
            read(tmp_path)
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        load_names(tmp_path)
    path = tmp_path / "classes.txt"
    with path.open("wb") as file:
        file.truncate((64 << 20) + 1)
    for read in (read_class_file, load_names, read_list):
        with pytest.raises(ValueError, match="too large for a list of names"):
            read(path)


def test_a_million_lines_are_not_a_class_file(tmp_path):
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"class {i}\n" for i in range(1_000_000)))
    with pytest.raises(ValueError, match="has 1,000,000 lines, but label maps have at most 65,536"):
        read_class_file(path)


def bomb(path: Path, side: int, mode: int) -> None:
    """PNG of a few kilobytes whose header states a square image; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, mode, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(side + 1)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b""))


@pytest.mark.parametrize(("read", "mode"), [(read_labels, 0), (read_label_colors, 2)])
def test_a_label_map_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path, read, mode):
    path = tmp_path / "a.png"
    bomb(path, 20_000, mode)
    with pytest.raises(ImageError, match=r"a\.png: the image has 20000 x 20000 pixels") as caught:
        read(path)
    assert advice_of(caught.value).topics == ("large",)


def test_label_maps_of_wrong_kinds_are_refused(tmp_path):
    draw = np.random.default_rng(0).integers(0, 3, (8, 8), np.uint8)
    png, tif, npy = (tmp_path / f"a.{kind}" for kind in ("png", "tif", "npy"))
    Image.fromarray(draw).convert("RGB").save(png)
    Image.fromarray(draw.astype(np.float32)).save(tif)
    for path, message in ((png, "got mode RGB"), (tif, "got mode F")):
        with pytest.raises(ImageError, match=message):
            read_labels(path)
    np.save(npy, np.array([{"a": 1}], object))
    with pytest.raises(ImageError, match="cannot be read as an array"):
        read_labels(npy)
    np.save(npy, np.zeros((0, 4), np.uint8))
    with pytest.raises(ImageError, match=r"a\.npy: the label map is empty \(0 x 4\)"):
        read_labels(npy)
    np.save(npy, draw)
    npy.write_bytes(npy.read_bytes().replace(b"(8, 8)", b"(9, 9)"))
    with pytest.raises(ImageError, match="cannot be read as an array"):
        read_labels(npy)


@pytest.mark.parametrize("kind", ["cityscapes", "labelme", "supervisely"])
@pytest.mark.parametrize("side", [10**9, 0, -4])
def test_annotations_of_an_impossible_size_are_refused(tmp_path, kind, side):
    content = {
        "cityscapes": '{"imgHeight": %d, "imgWidth": 9, "objects": []}',
        "labelme": '{"imageHeight": %d, "imageWidth": 9, "shapes": []}',
        "supervisely": '{"size": {"height": %d, "width": 9}, "objects": []}',
    }[kind]
    image, labels = tmp_path / "a.png", tmp_path / "a.json"
    Image.new("RGB", (9, 9)).save(image)
    labels.write_text(content % side)
    with pytest.raises(ImageError, match=r"a\.json: expected the size of .*a\.png"):
        label_source(kind).shapes_of(image, labels)
