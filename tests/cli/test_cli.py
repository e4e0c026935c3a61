"""The console command: its files, messages and errors."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.api.result import OUTPUT_ENDINGS
from ovss.cli import main
from ovss.cli.main import COMMANDS
from tests.tiny_config import write_tiny_config


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty working directory with a tiny config and two images in it."""
    monkeypatch.chdir(tmp_path)
    write_tiny_config(tmp_path)
    save_image(tmp_path / "photos" / "one.png")
    save_image(tmp_path / "photos" / "two.jpg", size=(30, 20))
    return tmp_path


def save_image(path: Path, size: tuple[int, int] = (40, 25)) -> None:
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.randint(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def segment(
    *arguments: str, vocabulary: tuple[str, ...] = ("--words", "cat, dog|puppy, grass")
) -> int:
    return main(["segment", *arguments, *vocabulary, "--model", "tiny.py", "--device", "cpu"])


def outputs(folder: str) -> set[str]:
    return {path.name for path in Path(folder).iterdir()}


def files_of(*stems: str) -> set[str]:
    return {stem + ending for stem in stems for ending in OUTPUT_ENDINGS}


LIGHT = [[], *([command] for command in COMMANDS), ["benchmark", "speed"]]


@pytest.mark.parametrize("command", LIGHT, ids=" ".join)
def test_help_is_light(command):
    code = (
        "import sys\nfrom ovss.cli import main\n"
        f"try:\n    main({[*command, '--help']})\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'mmengine', 'PIL'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"usage: {' '.join(['ovss', *command])} " in done.stdout


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = capsys.readouterr().out
    assert [command for command in COMMANDS if command not in output] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys):
    pytest.importorskip(f"ovss.cli.{command.replace('-', '_')}")
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert f"ovss {command}" in capsys.readouterr().out


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


@pytest.mark.parametrize("pair", ["nonsense", "=3", "model.head=[(1,2]"])
@pytest.mark.parametrize("command", [["segment", "photos", "--words", "cat"], ["train"], ["test"]])
def test_a_config_option_that_is_no_pair_is_wrong_usage(here, capsys, command, pair):
    config = ["--model", "tiny.py"] if command[0] == "segment" else ["tiny.py"]
    with pytest.raises(SystemExit, match="2"):
        main([*command, *config, "--cfg-options", pair])
    assert "argument --cfg-options: " in capsys.readouterr().err


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


def test_debug_shows_the_traceback(here):
    with pytest.raises(ValueError, match="no words"):
        main(["segment", "photos", "--words", "", "--debug"])


def test_usage_errors_are_argparse_s():
    segment_x = ["segment", "x.png", "--words", "cat"]
    pairs = [
        ("--batch", "0"),
        ("--tile", "9"),
        ("--every", "-1"),
        ("--fps", "x"),
        ("--opacity", "2"),
    ]
    flags = [[*segment_x, *pair] for pair in pairs]
    for wrong in (["segment"], ["segment", "x.png"], ["nonsense"], *flags):
        with pytest.raises(SystemExit) as end:
            main(wrong)
        assert end.value.code == 2


def test_list_shows_everything_there_is(capsys):
    assert main(["list", "--json"]) == 0
    listing = json.loads(capsys.readouterr().out)
    assert {"OpenCLIPEncoder", "ClipTopK", "CosineHead", "CATSegDecoder", "Identity"} <= {
        row["name"] for row in listing["components"]
    }
    assert {"cat_seg_mini", "cat_seg_vit-b16"} <= {row["name"] for row in listing["methods"]}
    sizes = {row["name"]: row["categories"] for row in listing["vocabularies"]}
    assert sizes["ade20k_847"] == 847
    assert {row["name"]: row["prompts"] for row in listing["templates"]}["imagenet_80"] == 80
    (plugin,) = (row for row in listing["plugins"] if row["name"] == "cat_seg")
    assert Path(plugin["path"]).name in ("cat_seg", "plugins")
    assert plugin["problem"] == ""
    assert main(["list", "nonsense"]) == 1


def test_broken_plugin_is_listed_and_fails_the_doctor(capsys, monkeypatch):
    from ovss.models import plugins

    broken = plugins.Plugin("broken", "ovss_no_such_module", "their-package", "1.2")
    monkeypatch.setattr(plugins, "find_plugins", lambda: [broken])
    assert main(["list", "plugins", "--json"]) == 0
    assert "their-package" in json.loads(capsys.readouterr().out)["plugins"][0]["problem"]
    assert main(["doctor", "--json"]) == 1
    problems = [f for f in json.loads(capsys.readouterr().out) if f["state"] == "problem"]
    assert [problem["topic"] for problem in problems] == ["plugin broken"]
    assert main(["segment", ".", "--words", "cat"]) == 1


def test_doctor_finds_this_installation_sound(capsys):
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    for topic in ("python", "torch", "device", "weights", "text cache", "plugin cat_seg"):
        assert topic in printed
    assert "0 problems found" in printed


def test_demo_with_random_weights(here, capsys):
    options = ["--model", "tiny_demo.py", "--weights", "none", "--baselines"]
    options += ["--images", "2", "--scenes", "3"]
    base = "_base_ = ['{}']\nmodel = dict(encoder=dict(pretrained=None))\nweights = None\n"
    from ovss.models.configs import find_config

    Path("tiny_demo.py").write_text(base.format(find_config("cat_seg_mini")))
    assert main(["demo", *options]) == 0
    told = capsys.readouterr().out
    assert "2 of 2 " in told
    assert "mean IoU of" in told
    assert "images: outputs/demo/*_overlay.png" in told
    assert files_of("scene_0", "scene_1") <= outputs("outputs/demo")


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
