"""What the page computes, without a browser."""

from __future__ import annotations

import json
import re
import shlex
import zlib
from base64 import b64decode
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ovss.api.request import Request
from ovss.cli.main import main
from ovss.web.answers import DOWNLOADS
from ovss.web.form import Form
from ovss.web.lines import command_lines, python_lines
from ovss.web.methods import MethodChoice
from tests.web.page_parts import LIMITS, image_bytes, new_desk, uploaded

WORDS = "plain red circle, sofa|couch, sand"
TOKEN = re.compile(r"result/([\w-]+)/labels\.png")


def last_of(desk, upload, words=WORDS, background="", threshold=0.0, methods=("dcp_clip_mini",)):
    return list(desk.segment(upload, words, background, threshold, methods))[-1]


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return new_desk(tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize(
    ("words", "background", "threshold"),
    [
        (WORDS, "", 0.0),
        ("plain red circle,\nsofa | couch\n\nsand", "brick wall, grass", 0.4),
        ('it\'s a "cat", $HOME, `dog`, \\n, -dash', "", 0.25),
        ("-first, second", "-third", 0.0),
        ("mini_20", "", 0.0),
        ("single,", "", 0.1),
    ],
)
def test_the_lines_give_the_downloads(desk, tmp_path, monkeypatch, words, background, threshold):
    """The command lines and the Python lines of the page are run, and compared pixel by pixel."""
    methods = ("dcp_clip_mini", "maskclip_mini")
    content = image_bytes("jpeg", quality=80)
    upload = uploaded(desk, content, "my photo's.jpg")
    answer = last_of(desk, upload, words, background, threshold, methods)
    tokens = TOKEN.findall(answer.results)
    assert len(tokens) == 2, answer.results[:500]
    pages = []
    for token in tokens:
        pages.append({name: desk.answers.file(token, name).path for name in DOWNLOADS})
    monkeypatch.chdir(tmp_path)
    Path("my photo's.jpg").write_bytes(content)
    for line in answer.command.splitlines():
        assert main(shlex.split(line)[1:]) == 0
    by_command = read_outputs(methods)
    for folder in map(Path, methods):
        (Path("outputs") / folder).rename(folder)
    exec(answer.python, {})
    by_python = read_outputs(methods)
    for page, *others in zip(pages, by_command, by_python, strict=True):
        labels_HW = np.asarray(Image.open(page["labels.png"]))
        coco, labelme = (json.loads(page[f"{name}.json"].read_text()) for name in DOWNLOADS_JSON)
        for other in others:
            np.testing.assert_array_equal(labels_HW, other["labels"])
            assert coco == other["coco"]
            assert labelme["shapes"] == other["labelme"]["shapes"]
        assert labelme["imageData"]
        assert len(page["classes.txt"].read_text().splitlines()) == len(coco["categories"])


DOWNLOADS_JSON = ("coco", "labelme")


def read_outputs(methods):
    for method in methods:
        folder = Path("outputs") / method
        yield {
            "labels": np.asarray(Image.open(folder / "my photo's_labels.png")),
            "coco": json.loads((folder / "coco" / "my photo's.json").read_text()),
            "labelme": json.loads((folder / "labelme" / "my photo's.json").read_text()),
        }


def test_the_data_of_the_overlay_are_the_label_map(desk):
    upload = uploaded(desk, image_bytes())
    answer = last_of(desk, upload, "mini_20", "", 0.3)
    (token,) = TOKEN.findall(answer.results)
    labels_HW = np.asarray(Image.open(desk.answers.file(token, "labels.png").path)).astype(int)
    packed = re.search(r'data-labels="([^"]+)"', answer.results)[1]
    packed_HW = np.frombuffer(zlib.decompress(b64decode(packed)), "<u2").reshape(labels_HW.shape)
    np.testing.assert_array_equal(np.where(packed_HW == 65535, 255, packed_HW), labels_HW)
    names = json.loads(unescape(re.search(r'data-names="([^"]+)"', answer.results)[1]))
    rows = re.findall(r"</i>(.*?)</td><td>(.*?)</td><td>(.*?)</td>", answer.results)
    shares = {name: share for name, share, _ in rows}
    for index in np.unique(labels_HW):
        name = "unknown" if index == 255 else names[index]
        share = (labels_HW == index).mean()
        assert shares[name] == (f"{share:.1%}" if share >= 0.0005 else "&lt; 0.1%")


def test_large_images_are_shown_smaller_and_downloaded_whole(tmp_path):
    desk = new_desk(tmp_path, replace(LIMITS, upload=2**23, pixels=2_000_000))
    upload = uploaded(desk, image_bytes("jpeg", size=(1500, 900)))
    answer = last_of(desk, upload)
    assert 'data-width="1024" data-height="614"' in answer.results
    (token,) = TOKEN.findall(answer.results)
    with Image.open(desk.answers.file(token, "labels.png").path) as labels:
        assert labels.size == (1500, 900)


def test_upright_images(desk, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    answer = last_of(desk, uploaded(desk, image_bytes("jpeg", exif=exif), "turned.jpg"))
    assert 'data-width="44" data-height="60"' in answer.results


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"upload": None}, "No image is chosen. Upload one, or choose a sample."),
        ({"upload": {"path": "/etc/passwd"}}, "The image is no longer kept here."),
        ({"upload": {"path": 3}}, "No image is chosen."),
        ({"words": ""}, "Expected at least one class name"),
        ({"words": None}, "Expected at least one class name"),
        ({"words": " \n , \n"}, "Expected at least one class name"),
        ({"words": "cat, cat"}, "the vocabulary names categories twice"),
        ({"words": "cat", "background": "cat"}, "The background name 'cat' is also a category."),
        ({"words": ", ".join(f"name {i}" for i in range(201))}, "at most 200 categories"),
        ({"words": "x" * 200_000}, "at most 100,000 characters of categories, got 200,000"),
        ({"words": "ade20k_15"}, "Unknown vocabulary 'ade20k_15'. Did you mean"),
        ({"threshold": 2.0}, "Expected a threshold in 0..1"),
        ({"threshold": float("nan")}, "Expected a threshold in 0..1"),
        ({"methods": []}, "No method is chosen. Choose at least one."),
        ({"methods": None}, "No method is chosen."),
        ({"methods": "dcp_clip_mini"}, "Reload the page."),
        ({"methods": [["a"]]}, "Reload the page."),
        ({"words": ["cat"]}, "Reload the page."),
        ({"threshold": "0.5"}, "Reload the page."),
        ({"upload": "photo.png"}, "Reload the page."),
        ({"methods": ["a", "b", "c", "d"]}, "Expected at most 3 methods, got 4."),
        ({"methods": ["../../x"]}, "The method &#x27;../../x&#x27; is not offered here."),
    ],
)
def test_wrong_fields_give_a_message(desk, fields, expected):
    values = {"upload": uploaded(desk, image_bytes())} | fields
    answer = last_of(desk, **values)
    assert answer.results.startswith('<p class="ovss-error" role="alert">')
    assert expected in answer.results.replace("&#x27;", "'") or expected in answer.results
    assert not answer.command
    assert not answer.python


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "photo.png"),
        (b"no image at all", "photo.png"),
        (image_bytes()[:300], "photo.png: "),
        (image_bytes("bmp", size=(600, 600)), "1.0 MiB, and this page reads at most 1 MiB."),
        (image_bytes("jpeg", size=(600, 600)), "600 x 600 pixels (0.4 million)"),
        (image_bytes("tiff", size=(600, 500), compression="jpeg"), "600 x 500 pixels"),
    ],
)
def test_unreadable_images_give_a_message(desk, content, expected):
    answer = last_of(desk, uploaded(desk, content))
    assert answer.results.startswith('<p class="ovss-error" role="alert">')
    assert expected in answer.results


def test_the_pixels_are_counted_before_they_are_decoded(desk, monkeypatch):
    """A small file that would unpack to 0.4 GB is refused by its header."""
    content = bomb()
    monkeypatch.setattr("ovss.web.uploads.decode", lambda *arguments: pytest.fail("decoded"))
    answer = last_of(desk, uploaded(desk, content))
    assert "20000 x 20000 pixels (400.0 million)" in answer.results


def bomb() -> bytes:
    """PNG of 20000 x 20000 grey pixels whose data are missing."""
    header = b"IHDR" + (20_000).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    content = b"\x89PNG\r\n\x1a\n"
    for chunk in (header, b"IDAT" + zlib.compress(bytes(100)), b"IEND"):
        content += (len(chunk) - 4).to_bytes(4, "big") + chunk
        content += zlib.crc32(chunk).to_bytes(4, "big")
    return content


def test_names_of_users_are_text(desk):
    """Names with markup are escaped, and names with paths lose the folders."""
    name = '../../<script>alert(1)</script>"$(id).png'
    words = "<img src=x onerror=alert(1)>, {{7*7}}, ${7*7}"
    answer = last_of(desk, uploaded(desk, image_bytes(), name), words)
    assert "<img src=x" not in answer.results
    assert "<script" not in answer.results
    assert "../" not in answer.command
    assert shlex.split(answer.command)[2] == 'script>"$(id).png'
    (token,) = TOKEN.findall(answer.results)
    file = desk.answers.file(token, "labels.png")
    assert file.path.parent.parent == desk.answers.folder
    assert file.file_name == 'script>"$(id)_dcp_clip_mini_labels.png'


def test_a_method_that_fails_leaves_the_others(desk, monkeypatch):
    failures = []
    monkeypatch.setattr(desk, "report", failures.append)
    monkeypatch.setattr(desk, "describe", lambda error: f"about {error}")
    build = desk.models.build

    def failing(name):
        if name == "cat_seg_mini":
            raise OSError("the disk")
        return build(name)

    monkeypatch.setattr(desk.models, "build", failing)
    methods = ("cat_seg_mini", "maskclip_mini")
    answers = list(desk.segment(uploaded(desk, image_bytes()), WORDS, "", 0, methods))
    assert [answer.results.count("ovss-wait") for answer in answers] == [2, 1, 0]
    assert "about the disk" in answers[-1].results
    assert answers[-1].results.count("<figure") == 1
    assert [str(failure) for failure in failures] == ["the disk"]


def test_old_results_are_deleted(tmp_path):
    desk = new_desk(tmp_path, methods=("maskclip_mini",))
    upload = uploaded(desk, image_bytes())
    tokens = []
    for _ in range(5):
        tokens += TOKEN.findall(last_of(desk, upload, methods=("maskclip_mini",)).results)
    assert len(list(desk.answers.folder.iterdir())) == LIMITS.answers
    with pytest.raises(KeyError, match="no longer kept"):
        desk.answers.file(tokens[1], "labels.png")
    assert desk.answers.file(tokens[2], "coco.json").path.is_file()
    with pytest.raises(KeyError, match="no such file"):
        desk.answers.file(tokens[2], "label_map.npy")


def test_warnings_are_shown(desk):
    answer = last_of(desk, uploaded(desk, image_bytes()), "cat,")
    assert "&#x27;cat&#x27; is the only category" in answer.results
    assert "bundled mini weights: trained on synthetic shapes only" in answer.results


def test_lines_name_the_files_of_weights(tmp_path, monkeypatch, repo_root):
    """A config file of the user with a checkpoint gives the same result by its lines."""
    config, weights = tmp_path / "mine.py", repo_root / "ovss" / "weights"
    config.write_text('_base_ = ["cat_seg_mini.py"]\nweights = None\n')
    desk = new_desk(tmp_path, methods=(f"{config}={weights / 'cat_seg_mini.safetensors'}",))
    content = image_bytes()
    answer = last_of(desk, uploaded(desk, content), methods=(str(config),))
    (token,) = TOKEN.findall(answer.results)
    labels_HW = np.asarray(Image.open(desk.answers.file(token, "labels.png").path))
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(content)
    assert main(shlex.split(answer.command)[1:]) == 0
    exec(answer.python.replace("outputs/", "python/"), {})
    for folder in ("outputs", "python"):
        other_HW = np.asarray(Image.open(f"{folder}/mine/photo_labels.png"))
        np.testing.assert_array_equal(labels_HW, other_HW)


def test_lines_of_a_method_without_training_name_its_encoder():
    request = Request.of("cat, dog")
    form = Form("cat, dog", "", 0.0, ("naclip_vit-b16",), request)
    choice = MethodChoice("naclip_vit-b16", pretrained="/clip files/open.pt")
    assert "--pretrained '/clip files/open.pt'" in command_lines(form, [choice], "a.png")
    assert "pretrained='/clip files/open.pt')" in python_lines(form, [choice], "a.png")
