"""`ovss segment`: its sources, files, messages and errors."""

from __future__ import annotations

import io
import json
import os
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.cli import main
from tests.cli.segmenting import files_of, outputs, save_image, segment


def test_segment_writes_three_files_for_each_image(here, capsys):
    assert segment("photos") == 0
    assert outputs("outputs") == files_of("one", "two")
    labels = Image.open("outputs/one_labels.png")
    assert labels.mode == "P"
    summary = json.loads(Path("outputs/one.json").read_text())
    assert summary["image"] == str(here / "photos" / "one.png")
    assert (summary["width"], summary["height"]) == labels.size == (40, 25)
    for found in summary["categories"]:
        assert found["pixels"] == (np.asarray(labels) == found["index"]).sum()
        assert 0 < found["mean_score"] <= 1
    assert "2 of 2 images segmented" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("vocabulary", "count"),
    [
        (("--words-file", "words.txt"), 2),
        (("--vocabulary", "pascal_voc_20"), 20),
        (("--vocabulary", "ade20k_847"), 847),
        (("--vocabulary", "words.txt"), 2),
    ],
)
def test_vocabularies_from_files_and_by_name(here, vocabulary, count):
    Path("words.txt").write_text("cat\nsofa, couch\n")
    assert segment("photos/one.png", vocabulary=vocabulary) == 0
    assert json.loads(Path("outputs/one.json").read_text())["vocabulary_size"] == count


def test_json_lines_on_standard_output(here, capsys):
    assert segment("photos/*.png", "photos/*.jpg", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["one.png", "two.jpg"]
    assert all(Path(file).is_file() for line in lines for file in line["files"].values())


def test_one_bad_image_is_reported_and_the_rest_go_on(here, capsys):
    Path("photos/broken.png").write_bytes(Path("photos/one.png").read_bytes()[:60])
    assert segment("photos") == 1
    printed = capsys.readouterr()
    assert "error: photos/broken.png: " in printed.err
    assert "2 of 3 images segmented" in printed.out
    assert outputs("outputs") == files_of("one", "two")


def test_missing_files_are_named_before_the_model_is_built(here, capsys, monkeypatch):
    monkeypatch.setattr("ovss.models.build.build_model", None)
    assert segment("photos/one.png", "absent.jpg", "gone.png") == 1
    assert capsys.readouterr().err == "error: absent.jpg, gone.png: no such files\n"


def test_names_that_are_not_utf8_do_not_stop_a_run(here, capsys):
    Path("photos", os.fsdecode(b"caf\xe9.png")).write_bytes(Path("photos/one.png").read_bytes())
    assert segment("photos", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 3
    assert json.loads(Path("outputs", os.fsdecode(b"caf\xe9.json")).read_text("utf-8"))


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_words_outside_the_encoding_of_the_terminal(here, monkeypatch, encoding, flags):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    assert segment("photos", *flags, vocabulary=("--words", "猫, Größe")) == 0
    assert "猫" in Path("outputs/one.json").read_text("utf-8")
    stream.flush()
    lines = stream.buffer.getvalue().decode("utf-8" if flags else encoding).splitlines()
    if flags:
        names = {row["category"] for x in map(json.loads, lines) for row in x["categories"]}
        assert names <= {"猫", "Größe"}
    else:
        assert "2 of 2 images segmented" in lines[-1]


def test_running_twice_into_the_image_folder_segments_the_same_images(here, capsys):
    for _ in range(2):
        assert segment("photos", "--out", "photos") == 0
        printed = capsys.readouterr().out
        assert "2 of 2 images segmented" in printed
    assert "outputs of earlier runs that were left out: 4" in printed
    assert outputs("photos") == {"one.png", "two.jpg", *files_of("one", "two")}


def test_pixels_that_are_none_of_the_categories(here, capsys):
    flags = ["--background", "wall, sky", "--threshold", "0.35", "--json"]
    assert segment("photos/one.png", *flags) == 0
    summary = json.loads(capsys.readouterr().out)
    labels = np.asarray(Image.open("outputs/one_labels.png"))
    assert summary["unknown"]["value"] == 255
    assert summary["unknown"]["pixels"] == (labels == 255).sum() > 0
    assert sum(row["pixels"] for row in summary["categories"]) == (labels != 255).sum()
    assert all(row["mean_score"] >= 0.35 for row in summary["categories"])


def test_one_category_alone_gets_a_warning(here, capsys):
    assert segment("photos/one.png", vocabulary=("--words", "cat")) == 0
    assert "'cat' is the only category" in capsys.readouterr().err
    assert "only category" in json.loads(Path("outputs/one.json").read_text())["warnings"][0]
    assert segment("photos/one.png", vocabulary=("--words", "cat", "--background", "wall")) == 0
    assert "only category" not in capsys.readouterr().err


def test_formats_are_chosen(here, capsys):
    formats = ["--format", "coco,labelme,yolo,voc,npz"]
    assert segment("photos", *formats) == 0
    assert {path.name for path in Path("outputs").iterdir()} == {
        *("coco", "labelme", "yolo", "voc", "one.npz", "two.npz", "one.json", "two.json"),
        "coco.json",
    }
    coco = json.loads(Path("outputs/coco.json").read_text())
    assert [image["file_name"] for image in coco["images"]] == ["one.png", "two.jpg"]
    with pytest.raises(SystemExit, match="2"):
        segment("photos", "--format", "cocoo")
    assert "expected some of overlay, labels" in capsys.readouterr().err


def test_images_of_one_name_have_names_of_their_own_in_a_coco_file(here):
    save_image(here / "more" / "one.png")
    assert segment("photos", "more", "--format", "coco") == 0
    images = json.loads(Path("outputs/coco.json").read_text())["images"]
    assert [i["file_name"] for i in images] == ["photos/one.png", "photos/two.jpg", "more/one.png"]


def test_drawing_next_to_the_image(here):
    assert segment("photos/one.png", "--show", "side-by-side", "--opacity", "1") == 0
    wide = Image.open("outputs/one_overlay.png").width
    assert segment("photos/one.png", "--no-names") == 0
    assert wide > 1.8 * Image.open("outputs/one_overlay.png").width


def test_same_stems_do_not_share_files(here):
    save_image(here / "photos" / "one.jpg", size=(9, 9))
    save_image(here / "more" / "one.png", size=(7, 7))
    assert segment("photos/one.png", "photos/one.jpg", "more") == 0
    assert outputs("outputs") == files_of("one", "one_2", "one_3")
    assert Image.open("outputs/one_3_labels.png").size == (7, 7)


def test_again_replaces_and_another_image_of_the_same_name_does_not(here):
    save_image(here / "more" / "one.png")
    for _ in range(2):
        assert segment("photos/one.png") == 0
    assert outputs("outputs") == files_of("one")
    assert segment("more/one.png") == 0
    assert outputs("outputs") == files_of("one", "one_2")


def test_inputs_and_foreign_files_are_never_overwritten(here):
    save_image(here / "photos" / "one_overlay.png")
    Path("photos/two.json").write_text('{"mine": true}')
    before = {path: path.read_bytes() for path in Path("photos").iterdir()}
    assert segment("photos", "--out", "photos") == 0
    assert all(path.read_bytes() == content for path, content in before.items())
    assert files_of("one_2", "two_2") <= outputs("photos")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["photos", "--words", ""], "no words"),
        (["photos", "--words", "cat,,dog"], "blank"),
        (["photos", "--words", "cat, Cat"], "cat"),
        (["photos", "--words-file", "absent.txt"], "absent.txt"),
        (["photos", "--vocabulary", "ade20k_15"], "ade20k_150"),
        (["photos/*.bmp", "--words", "cat"], "no file matches"),
        (["empty", "--words", "cat"], "found no images or videos in this folder"),
        (["photos", "--words", "cat", "--out", "tiny.py"], "tiny.py"),
        (["photos", "--words", "cat", "--model", "cat_seg_mimi"], "Did you mean cat_seg_mini"),
        (["photos", "--words", "cat", "--weights", "absent.safetensors"], "absent.safetensors"),
        (["photos", "--words", "cat", "--device", "tpu9"], "tpu9"),
        (["photos", "--words", "cat", "--fps", "5"], "--fps describes folders of frames"),
        (["photos", "--words", "cat", "--threshold", "2"], "threshold in 0..1"),
        (["photos", "--words", "cat", "--background", "Cat"], "'Cat' is also a category"),
        (["photos", "--words", "cat", "--templates", "nonsense"], "imagenet_80"),
        (["photos", "--words", "ade20k"], "Did you mean ade20k_150"),
        (["photos", "--words", "cat", "--cfg-options", "model.head.colour=1"], "colour"),
        (["photos", "--words", "cat", "--cfg-options", "model.head.type=CosinHead"], "CosineHead"),
    ],
)
def test_errors_are_one_line(here, capsys, arguments, message):
    Path("empty").mkdir()
    given = arguments if "--model" in arguments else [*arguments, "--model", "tiny.py"]
    assert main(["segment", *given]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert message in printed.err
    assert not list(here.rglob("*_overlay.png"))


def test_config_options_given_twice_all_count(here, capsys):
    ask = ["photos/one.png", "--words", "cat", "--model", "tiny.py"]
    given = ["--cfg-options", "model.head.colour=1", "--cfg-options", "model.inference.size=32"]
    assert main(["segment", *ask, *given]) == 1
    assert "colour" in capsys.readouterr().err


def test_the_default_model_is_one_for_photographs(here, capsys, monkeypatch):
    """Without its CLIP weights it stops with what to do; with them it runs."""

    def no_network(tag):
        raise OSError("no route")

    monkeypatch.setattr("ovss.encoders.tags.cached_weights", lambda *_: None)
    monkeypatch.setattr("ovss.encoders.tags._check_network", no_network)
    assert main(["segment", "photos/one.png", "--words", "cat, dog", "--device", "cpu"]) == 1
    printed = capsys.readouterr()
    assert "naclip_vit-b16, the default model" in printed.err
    assert "--pretrained FILE, or use --model dcp_clip_mini" in printed.err
    assert not Path("outputs").exists() or not outputs("outputs")
    monkeypatch.setattr("ovss.api.method.PHOTO_METHOD", "tiny.py")
    assert main(["segment", "photos/one.png", "--words", "cat, dog", "--device", "cpu"]) == 0


def test_random_weights_are_marked_everywhere(here, capsys):
    assert segment("photos") == 0
    printed = capsys.readouterr()
    note = "random weights in the encoder: the masks mean nothing"
    assert printed.err.count(note) == 1
    assert json.loads(Path("outputs/one.json").read_text())["note"] == note


def test_missing_pretrained_weights_are_named(here, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = ["--cfg-options", "model.encoder.pretrained=absent.pt"]
    assert segment("photos", *options) == 1
    assert "absent.pt" in capsys.readouterr().err


def test_full_disk_ends_the_run_and_leaves_no_half_file(here, capsys, monkeypatch):
    def full(self, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    assert segment("photos") == 1
    assert "No space left on device" in capsys.readouterr().err
    assert outputs("outputs") == set()


def test_videos_and_frame_folders(here, capsys):
    """Another video of the same name is numbered; the same one again replaces its files."""
    pytest.importorskip("av")
    from ovss.io.video_writer import VideoWriter

    for folder in ("a", "b"):
        Path(folder).mkdir()
        with (
            open(f"{folder}/clip.mp4", "wb") as file,
            VideoWriter(file, (48, 64), Fraction(10)) as video,
        ):
            for index in range(4):
                video.write(np.full((48, 64, 3), 40 * index, np.uint8), index / 10)
    for source in ("a/clip.mp4", "b/clip.mp4", "a/clip.mp4"):
        assert segment(source, "--every", "2", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["frames"] for line in lines] == [2, 2, 2]
    written = [Path(line["files"][0]).name for line in lines]
    assert written == ["clip_overlay.mp4", "clip_2_overlay.mp4", "clip_overlay.mp4"]
    assert len(Path("outputs/clip.jsonl").read_text().splitlines()) == 2
    for index in range(3):
        save_image(Path(f"frames/{index}.png"))
    assert segment("frames", "--frames", "--fps", "5") == 0
    assert json.loads(Path("outputs/frames.json").read_text())["seconds"] == pytest.approx(0.4)
