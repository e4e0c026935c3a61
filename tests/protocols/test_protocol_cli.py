"""`ovss test` on your own folder, under named protocols and changed ones."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ovss.cli.test import main
from ovss.models.build import build_segmentor
from ovss.protocols.protocol import ProtocolError
from ovss.vocabularies import load_names
from tests.tiny_training import tiny_config


@pytest.fixture
def folder(tmp_path):
    """Two images of 40 x 48 pixels and three classes, one of which is unseen."""
    place = tmp_path / "mine"
    for name in ("images", "masks"):
        (place / name).mkdir(parents=True)
    draw = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        image = draw.integers(0, 255, (40, 48, 3)).astype(np.uint8)
        Image.fromarray(image).save(place / "images" / name)
        labels = draw.integers(0, 3, (40, 48)).astype(np.uint8)
        Image.fromarray(labels).save(place / "masks" / name)
    (place / "classes.txt").write_text("sky\nroad\ntram, streetcar [unseen]\n")
    return place


def run(config, tmp_path, *flags: str) -> dict:
    out = tmp_path / "out" / "result.json"
    places = ["--work-dir", str(tmp_path / "work"), "--out", str(out)]
    assert main([str(config), "none", *places, *flags]) == 0
    return json.loads(out.read_text())


def test_own_data_under_a_protocol_with_a_field_of_its_own(tmp_path, folder, capsys):
    config = tiny_config(tmp_path, "protocol = 'mini'")
    flags = ["--data", str(folder), "--device", "cpu"]
    plain = run(config, tmp_path, *flags)
    printed = capsys.readouterr().out
    assert plain["protocol"]["name"] == "mini"
    hashes = [plain["protocol"][key] for key in ("method_hash", "full_hash")]
    assert "protocol: mini (method hash {}, full hash {})".format(*hashes) in printed
    assert "quoted: mIoU " in printed
    assert "2 images in" in printed
    assert plain["data"]["name"] == "mine"
    assert plain["data"]["pictures"] == 2
    assert plain["categories"].keys() == {"sky", "road", "tram, streetcar"}
    assert not plain["categories"]["tram, streetcar"]["seen"]
    assert plain["protocol"]["fields"]["data"]["words"] == 3
    metrics = plain["metrics"]
    assert metrics.keys() >= {"mIoU", "mIoU_union", "pACC", "mACC", "fwIoU", "hIoU"}

    options = ["canvas.size=64", "prompts.synonyms=max", "scores.absent=union"]
    other = run(config, tmp_path, *flags, "--protocol-options", *options)
    name = "mini with prompts.synonyms=max, canvas.size=64, scores.absent=union"
    assert other["protocol"]["name"] == name
    assert other["protocol"]["method_hash"] != plain["protocol"]["method_hash"]
    assert other["protocol"]["full_hash"] != plain["protocol"]["full_hash"]
    assert other["protocol"]["fields"]["prompts"]["synonyms"] == "max"
    assert other["headline"] == "mIoU_union"
    assert f"protocol: {name} (method hash" in capsys.readouterr().out


def test_config_options_win_and_are_reported(tmp_path, folder):
    config = tiny_config(tmp_path, "protocol = 'mini'")
    options = ["model.inference.size=48", "test_dataloader.num_workers=0"]
    flags = ["--data", str(folder), "--protocol", "mini", "--cfg-options", *options]
    result = run(config, tmp_path, *flags)
    assert result["protocol"]["name"] == "mini with canvas.size=48"
    assert "num_workers=0" in result["config"].replace(" ", "")


def test_a_background_of_threshold_one_takes_every_pixel(tmp_path, folder):
    (folder / "classes.txt").write_text("cat\nbackground\ndog\n")
    config = tiny_config(tmp_path, "protocol = 'mini'")
    options = ["background.threshold=1.0", "background.words=[sky,wall]"]
    result = run(config, tmp_path, "--data", str(folder), "--protocol-options", *options)
    predicted = {name: row["predicted"] for name, row in result["categories"].items()}
    assert predicted == {"cat": 0, "background": 2 * 40 * 48, "dog": 0}
    assert "background.words=('sky', 'wall')" in result["protocol"]["name"]
    assert result["protocol"]["fields"]["data"]["words"] == 5


def test_a_threshold_on_a_dataset_that_queries_other_words_for_background(tmp_path, folder):
    classes = [{"name": "background", "words": ["sky", "wall"]}, {"name": "cat"}, {"name": "dog"}]
    (folder / "classes.txt").unlink()
    (folder / "classes.json").write_text(json.dumps(classes))
    config = tiny_config(tmp_path, "protocol = 'mini'")
    flags = ["--data", str(folder), "--protocol-options", "background.threshold=1.0"]
    result = run(config, tmp_path, *flags)
    assert result["categories"]["background"]["predicted"] == 2 * 40 * 48
    assert result["protocol"]["fields"]["background"]["name"] == "background"


@pytest.mark.parametrize(
    ("flags", "error", "message"),
    [
        (["--protocol", "cat_seq"], ProtocolError, "Did you mean cat_seg"),
        (["--protocol", "sed"], ProtocolError, "cannot run with this method"),
        (["--protocol-options", "window=3"], ProtocolError, "Unknown field 'window'"),
        (["--device", "tpu9"], ValueError, "expected a device .*'tpu9'"),
        (["--device", "cuda:77"], ValueError, "cuda:77.* cannot be used"),
    ],
)
def test_bad_flags_are_refused_before_anything_runs(tmp_path, flags, error, message):
    config = tiny_config(tmp_path)
    with pytest.raises(error, match=message):
        main([str(config), "none", "--work-dir", str(tmp_path / "work"), *flags])
    assert not (tmp_path / "work").exists()


def test_places_that_cannot_be_written_are_refused_before_anything_runs(tmp_path):
    config, file = str(tiny_config(tmp_path)), tmp_path / "file"
    file.write_text("")
    work = ["--work-dir", str(tmp_path / "work")]
    for flags in (["--out", str(tmp_path)], ["--out", str(file / "r.json")]):
        with pytest.raises(OSError, match=r"found a folder|cannot write"):
            main([config, "none", *work, *flags])
    with pytest.raises(OSError, match="cannot write"):
        main([config, "none", *work, "--show-dir", str(file)])
    assert not (tmp_path / "work").exists()


def test_flags_of_a_folder_go_with_a_folder(tmp_path, capsys):
    config = str(tiny_config(tmp_path))
    with pytest.raises(SystemExit):
        main([config, "none", "--split", "val"])
    assert "require --data DIR" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([config, "none", "--on", "mini_20", "--data", str(tmp_path)])


def test_pas_20b_asks_59_words_and_scores_21_classes(tmp_path):
    """The arg max runs over 59 names; index 20 and above count as background, the last class."""
    words = load_names("pascal_voc_20b")
    classes, draw = [*words[:20], "background"], np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    image = draw.integers(0, 255, (64, 80, 3)).astype(np.uint8)
    truth = draw.integers(0, 21, (64, 80)).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "images" / "a.png")
    Image.fromarray(truth).save(tmp_path / "masks" / "a.png")
    (tmp_path / "voc.py").write_text(
        f"test_dataloader = dict(batch_size=1, sampler=dict(type='DefaultSampler', shuffle=False), "
        f"dataset=dict(type='ImageMaskDataset', images={str(tmp_path / 'images')!r}, "
        f"masks={str(tmp_path / 'masks')!r}, vocabulary={classes}, words='pascal_voc_20b', "
        f"pipeline=[dict(type='PackSample')]))\n"
        f"test_evaluator = dict(type='OpenVocabIoU')\n"
    )
    out = tmp_path / "result.json"
    places = ["--work-dir", str(tmp_path / "work"), "--out", str(out)]
    assert main(["maskclip_mini", *places, "--on", str(tmp_path / "voc.py")]) == 0
    rows = json.loads(out.read_text())["categories"]

    model = build_segmentor("maskclip_mini")
    with torch.inference_mode():
        text = model.encode_vocabulary(words)
        image_3HW = torch.from_numpy(image).permute(2, 0, 1)
        word_HW = model.label_map(model.scores(image_3HW, text), (64, 80))
    merged_HW = word_HW.clamp(max=20).numpy()
    assert len(word_HW.unique()) > len(np.unique(merged_HW)), "some background categories won"
    for index, name in enumerate(classes):
        assert rows[name]["predicted"] == (merged_HW == index).sum()
        hit = ((merged_HW == index) & (truth == index)).sum()
        union = ((merged_HW == index) | (truth == index)).sum()
        assert rows[name]["iou"] == pytest.approx(100 * hit / union, abs=1e-3)
