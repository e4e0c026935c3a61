"""Tests that the advice of messages about a dataset folder works if it is followed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from made_folder import label_map, made, save_image

from ovss.data.folder import describe_folder
from ovss.data.splits import LayoutError


def message(root: Path, error: type[Exception] = LayoutError, **options) -> str:
    with pytest.raises(error) as caught:
        describe_folder(root, **options)
    return str(caught.value)


def test_a_suffix_written_into_a_json_file(tmp_path):
    made(tmp_path)
    for stem in "ab":
        label_map(tmp_path / f"masks/{stem}_color.png")
    remedy = re.search(r"\{.*?\}", message(tmp_path))[0]
    (tmp_path / "dataset.json").write_text(remedy)
    assert describe_folder(tmp_path).mask_suffix == "_color.png"


def test_a_class_file_where_none_was(tmp_path):
    made(tmp_path, classes=None)
    place = re.search(r"Write (\S+) with one class per line", message(tmp_path))[1]
    Path(place).write_text("sky\nroad\ncar\n")
    assert describe_folder(tmp_path).names == ("sky", "road", "car")


def test_a_palette_for_label_maps_in_colour(tmp_path):
    made(tmp_path, "sky\nroad\n", row=((9, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 0)), kind="RGB")
    text = message(tmp_path)
    assert "a.png has [0, 0, 0], [0, 9, 0], [9, 0, 0]." in text
    place = re.search(r"write (\S+palette.json) with", text)[1]
    palette = {"sky": [9, 0, 0], "road": [0, 9, 0]}
    Path(place).write_text(json.dumps(palette))
    text = message(tmp_path, ValueError)  # black is not in the palette yet
    assert "or to its 'ignored' if they mean 'not labelled'" in text
    Path(place).write_text(json.dumps({**palette, "ignored": [0, 0, 0]}))
    assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == [0, 0, 1, -1]


def test_a_list_of_the_images_that_have_a_label_map(tmp_path):
    made(tmp_path)
    (tmp_path / "masks/b.png").unlink()
    assert "list the images that have one in a file val.txt" in message(tmp_path, FileNotFoundError)
    (tmp_path / "val.txt").write_text("a\n")
    assert describe_folder(tmp_path).count == 1


def test_the_name_of_the_folder_of_images(tmp_path):
    made(tmp_path)
    (tmp_path / "images").rename(tmp_path / "stuff")
    name = re.search(r"Name the folder '(\w+)'", message(tmp_path))[1]
    (tmp_path / "stuff").rename(tmp_path / name)
    assert describe_folder(tmp_path).count == 2


def test_a_split_folder_as_the_dataset(tmp_path):
    for split in ("train", "val"):
        made(tmp_path / split, classes=None)
    (tmp_path / "classes.txt").write_text("sky\nroad\ncar")
    folder = re.search(r"Give (\S+) as the dataset", message(tmp_path))[1]
    assert describe_folder(folder, classes=tmp_path / "classes.txt").count == 2


def test_label_values_above_255_as_16_bits(tmp_path):
    made(tmp_path, [f"thing {i}" for i in range(300)], stems=("a",))
    assert "Export it as PNG or TIFF with 16 bits" in message(tmp_path, ValueError)
    label_map(tmp_path / "masks/a.png", (0, 255, 299, 65535), "16")
    assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == [0, 255, 299, -1]


def test_an_array_saved_as_the_message_says(tmp_path):
    save_image(tmp_path / "images/a.png")
    (tmp_path / "masks").mkdir()
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    labels, path = np.array([[0.0, 1.0, 1.0, 0.0]] * 3), tmp_path / "masks/a.npy"
    np.save(path, labels)
    code = re.search(r"with (numpy\.save\(.*\))$", message(tmp_path, ValueError))[1]
    eval(code, {"numpy": np, "path": path, "labels": labels})
    assert describe_folder(tmp_path).build().load(0).labels[0].tolist() == [0, 1, 1, 0]


def test_a_part_without_labels_gives_a_valid_result_that_says_so(tmp_path):
    from ovss.cli.main import main
    from ovss.results.result_file import read_result
    from tests.tiny_config import write_tiny_config

    made(tmp_path / "set", "sky\nroad\n", stems=("a", "b", "c"), row=(255,) * 4)
    file = tmp_path / "out.json"
    flags = ["--limit", "2", "--work-dir", str(tmp_path / "work"), "--out", str(file)]
    command = [
        "test",
        str(write_tiny_config(tmp_path)),
        "none",
        "--data",
        str(tmp_path / "set"),
        *flags,
    ]
    assert main(command) == 0
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name))
    result = read_result(file)
    assert result.metrics["pACC"] is None
    assert (result.data.name, result.data.images) == ("set (limit 2)", 2)
    assert result.protocol.fields["data"]["limit"] == 2


def test_a_limit_is_a_number_of_images_and_needs_a_dataset_that_takes_it():
    from ovss.cli.evaluation_config import limit_dataset
    from ovss.cli.test import build_parser

    for text in ("0", "-1", "x"):
        with pytest.raises(SystemExit):
            build_parser().parse_args(["config", "--limit", text])
    dataset = {"type": "MiniWorldDataset", "split": "val"}
    limit_dataset(dataset, 3)
    assert dataset["limit"] == 3
    with pytest.raises(TypeError, match="MadeUpDataset has no option 'limit'"):
        limit_dataset({"type": "MadeUpDataset"}, 3)
