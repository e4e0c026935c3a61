"""Files, folders, patterns and addresses become the images a user means, and nothing else."""

from __future__ import annotations

import json
import os
import sys

import pytest
from PIL import Image

from ovss.io.images import ImageError, find_images, read_image
from ovss.io.names import IMAGE_SUFFIXES, VIDEO_SUFFIXES, printable, stem_of
from ovss.io.outputs import is_own_output, save_png
from ovss.io.sources import find_sources


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(folder, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with open(folder / name, "wb") as file:
            Image.new("RGB", (4, 3)).save(file, "png")


def names(found) -> list[str]:
    return [str(source) for source in found.sources]


def test_hidden_files_are_left_out(here):
    put(here, "photos/a.png", "photos/._a.png", "photos/.trash.jpg")
    (here / "photos" / "._b.jpg").write_bytes(b"resource fork")
    assert names(find_sources(["photos"])) == ["photos/a.png"]
    assert names(find_sources(["photos/*"])) == ["photos/a.png"]
    assert names(find_sources(["photos/.trash.jpg"])) == ["photos/.trash.jpg"]


def test_outputs_of_earlier_runs_are_left_out(here):
    put(here, "a.png", "old_overlay.png", "old_labels.png", "own_overlay.png", "other_labels.png")
    with open(here / "a_masks.png", "wb") as file:
        save_png(Image.new("L", (2, 2)), file)
    (here / "old.json").write_text(json.dumps({"image": "old.jpg", "categories": []}))
    (here / "own.json").write_text(json.dumps({"image": "mine"}))  # a file of the user
    wanted = ["a.png", "other_labels.png", "own_overlay.png"]
    for items in (["."], ["*.png"], [".", "*.png"]):
        found = find_sources(items)
        assert names(found) == wanted
        assert sorted(p.name for p in found.skipped) == [
            "a_masks.png",
            "old_labels.png",
            "old_overlay.png",
        ]
    assert find_images(["."]) == list(find_sources(["."]).sources)
    for items in (["a_masks.png", "."], [".", "a_masks.png"]):  # the user named it
        found = find_sources(items)
        assert "a_masks.png" in names(found)
        assert len(found.skipped) == 2


def test_videos_of_earlier_runs_are_left_out(here):
    for name in ("a.mp4", "a_overlay.mp4", "a.jsonl", "b_overlay.mp4"):
        (here / name).touch()
    found = find_sources(["."], IMAGE_SUFFIXES | VIDEO_SUFFIXES)
    assert names(found) == ["a.mp4", "b_overlay.mp4"]
    assert is_own_output("a_overlay.mp4")


def test_all_problems_are_listed_at_once(here):
    put(here, "a.png")
    (here / "notes.txt").touch()
    (here / "bare").mkdir()
    with pytest.raises(ImageError) as caught:
        find_sources(["a.png", "x.png", "y.png", "bare", "*.jpg", "*.txt", "ftp://host/a.png"])
    for part in (
        "x.png, y.png: no such files",
        "bare: found no images in this folder",
        "*.jpg: no file matches this pattern",
        "*.txt: no images among the 1 files that match, such as notes.txt",
        "ftp://host/a.png: expected an http or https address",
    ):
        assert part in str(caught.value)


def test_patterns(here):
    put(here, "a.JPG", "b.jpg", "photo[1].jpg", "set[2]/c.PNG", "set2/d.png", "e.txt")
    assert names(find_sources(["*.JPG"])) == ["a.JPG", "b.jpg", "photo[1].jpg"]
    assert names(find_sources(["photo[1].jpg"])) == ["photo[1].jpg"]
    assert names(find_sources(["set[2]/*.png"])) == ["set[2]/c.PNG"]
    assert names(find_sources(["set?/*.png"])) == ["set2/d.png"]
    assert names(find_sources(["[ab].*"])) == ["a.JPG", "b.jpg"]
    assert len(find_sources(["**/*"]).sources) == 5


def test_addresses_and_the_standard_input_stay_text(here):
    put(here, "a.png")
    found = find_sources(["https://host/x.png", "-", "a.png", "-", "https://host/x.png"])
    assert names(found) == ["https://host/x.png", "-", "a.png"]
    assert [stem_of(source) for source in found.sources] == ["x", "stdin", "a"]
    with pytest.raises(ImageError, match="expected a file"):
        find_images(["https://host/x.png"])


@pytest.mark.parametrize(
    ("url", "stem"),
    [
        ("https://host/", "host"),
        ("https://host/a/..%2F..%2Fpasswd", "_"),
        ("https://host/cat.jpg?x=../y", "cat"),
        ("https://host/%2e%2e", "image"),
    ],
)
def test_stems_of_addresses_are_file_names(url, stem):
    assert stem_of(url) == stem
    assert not set("/\\") & set(stem_of(url))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_names_that_are_not_utf8(here):
    name = os.fsdecode(b"caf\xe9.png")
    put(here, name)
    (found,) = find_sources(["."]).sources
    assert found.name == name
    assert read_image(found).shape == (3, 4, 3)
    found.write_bytes(b"damaged")
    with pytest.raises(ImageError, match=r"caf\\xe9\.png: not an image") as caught:
        read_image(found)
    str(caught.value).encode()
    with pytest.raises(ImageError, match=r"d\\xe9: no such file"):
        find_sources([os.fsdecode(b"d\xe9")])
    assert printable("a\nb\x1b[0m") == r"a\nb\x1b[0m"
