"""Result of one image: categories by name, unknown pixels, drawing, summary."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from ovss.api import interop
from ovss.api.result import UNKNOWN, SegmentationResult
from ovss.drawing.colors import palette

NAMES = ("cat", "sofa, couch", "Grass", "bass, fish", "bass, guitar")


def made(labels_HW=None, names=NAMES, scores=None, **fields) -> SegmentationResult:
    labels_HW = np.array([[0, 0, 0, 1], [2, 2, UNKNOWN, 1]]) if labels_HW is None else labels_HW
    image_HW3 = np.random.default_rng(0).integers(0, 256, (*labels_HW.shape, 3)).astype(np.uint8)
    scores = np.linspace(0.1, 0.9, len(names), dtype=np.float32) if scores is None else scores
    return SegmentationResult(labels_HW, tuple(names), scores, image_HW3, **fields)


@pytest.mark.parametrize(
    ("category", "index"),
    [
        (1, 1),
        (np.int64(1), 1),
        ("sofa, couch", 1),
        ("sofa|couch", 1),
        ("couch", 1),
        ("COUCH ", 1),
        ("grass", 2),
        ("bass, fish", 3),
        ("guitar", 4),
    ],
)
def test_a_category_is_found_by_index_name_and_synonym(category, index):
    result = made()
    assert (result.mask(category) == (result.label_map == index)).all()


def test_exact_names_go_before_others():
    labels_HW = np.arange(4)[None]
    result = made(labels_HW, ("sofa, seat", "seat", "Seat", "Größe"))
    assert result.mask("seat").tolist() == [[False, True, False, False]]
    assert result.mask("Seat").tolist() == [[False, False, True, False]]
    assert result.mask("GRÖSSE").tolist() == [[False, False, False, True]]
    assert result.mask("gro\u0308ße").tolist() == [[False, False, False, True]]


@pytest.mark.parametrize(
    ("category", "error", "text"),
    [
        ("bass", KeyError, "names 2 categories: 3 .*4 "),
        ("couches", KeyError, "no category is called 'couches'; did you mean 'couch'"),
        ("zzz", KeyError, "the categories are 'cat', 'sofa'"),
        (5, IndexError, r"0\.\.4, got 5"),
        (-1, IndexError, r"0\.\.4, got -1"),
        (True, TypeError, "got a bool"),
        (np.True_, TypeError, "got a bool|an index, got np.True_"),
        (1.0, TypeError, "or an index, got 1.0"),
        (None, TypeError, "or an index, got None"),
    ],
)
def test_a_wrong_category_is_an_error_and_no_empty_mask(category, error, text):
    with pytest.raises(error, match=text):
        made().mask(category)


def test_unknown_pixels_belong_to_no_category():
    result = made()
    assert result.pixels.tolist() == [3, 2, 2, 0, 0]
    assert result.present == ("cat", "sofa, couch", "Grass")
    assert sum(result.mask(i).sum() for i in range(5)) == 7
    assert result.unknown.sum() == 1
    assert result.to_dict()["unknown"] == {"value": 255, "pixels": 1, "share": 0.125}
    assert "unknown 12.5%" in repr(result)


def test_summary_states_note_and_warnings_and_is_valid_json():
    scores = np.array([np.nan, np.inf, 0.5, 0, 0], np.float32)
    result = made(scores=scores, source="caf\udce9.jpg", note="random weights", warnings=("tiny",))
    text = json.dumps(result.to_dict(), allow_nan=False)
    text.encode()
    summary = json.loads(text)
    assert (summary["note"], summary["warnings"]) == ("random weights", ["tiny"])
    assert [row["mean_score"] for row in summary["categories"]] == [None, None, 0.5]
    assert summary["image"].endswith("caf\ufffd.jpg")
    full = made(np.zeros((2, 2), int)).to_dict()
    assert full["unknown"] == {"value": 255, "pixels": 0, "share": 0.0}
    assert full["note"] == ""


def test_a_category_has_one_colour_in_every_image_and_output():
    first, second = made(np.array([[0, 2]])), made(np.array([[2, 4]]))
    assert (first.colors == second.colors).all()
    assert (first.colors == palette(5)).all()
    colors = {
        row["index"]: row["color"]
        for result in (first, second)
        for row in result.to_dict()["categories"]
    }
    assert colors == {i: "#" + palette(5)[i].tobytes().hex() for i in (0, 2, 4)}


def test_drawing_options():
    labels_HW = np.zeros((200, 300), int)
    labels_HW[:, 150:] = 1
    result = made(labels_HW, ("cat", "dog"), note="random weights")
    plain = result.draw(legend=False, names=False)
    assert plain.size == (300, 200)
    named = result.draw(legend=False)
    assert (np.asarray(named) != np.asarray(plain)).any()
    assert (np.asarray(result.draw(0.0, False, False)) == result.image).all()
    both = result.draw(legend=False, side_by_side=True)
    assert both.height == 200
    assert (np.asarray(both)[:, :300] == result.image).all()
    assert (np.asarray(both)[:, -300:] == np.asarray(named)).all()
    assert result.draw().height > 200


def test_a_legend_shows_the_colours_of_all_that_is_in_the_image():
    labels_HW = np.repeat([0, 1, UNKNOWN], 60)[None].repeat(120, 0)
    result = made(labels_HW, ("cat", "dog", "sky"))
    legend = np.asarray(result.draw())[2 * 120 :].reshape(-1, 3)
    colors = {tuple(color) for color in legend.tolist()}
    assert {tuple(color) for color in palette(2).tolist()} | {(128, 128, 128)} <= colors
    assert tuple(palette(3)[2].tolist()) not in colors


def test_notebooks_get_a_png_of_bounded_size():
    result = made(np.zeros((40, 3000), int), ("cat",))
    assert max(Image.open(io.BytesIO(result._repr_png_())).size) <= 1024


def test_show_without_a_viewer_says_so(monkeypatch):
    monkeypatch.setattr(interop.ImageShow, "show", lambda image: False)
    with pytest.raises(OSError, match="no image viewer"):
        made().show(opacity=0.4)


def test_show_in_a_notebook_displays_the_drawing(monkeypatch):
    displayed = []
    shell = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(
        sys.modules,
        "IPython.display",
        SimpleNamespace(display=lambda image: displayed.append(image)),
    )
    made().show(legend=False)
    assert [image.size for image in displayed] == [(4, 2)]


def test_segments_are_those_of_transformers():
    segments = made().segments()
    assert [segment["label"] for segment in segments] == ["cat", "sofa, couch", "Grass"]
    assert segments[0]["mask"].mode == "L"
    assert np.asarray(segments[0]["mask"]).tolist() == [[255, 255, 255, 0], [0, 0, 0, 0]]
    assert segments[0]["score"] == pytest.approx(0.1)


def test_detections_of_supervision():
    supervision = pytest.importorskip("supervision")
    result = made()
    detections = result.detections()
    assert isinstance(detections, supervision.Detections)
    assert detections.class_id.tolist() == [0, 1, 2]
    assert detections.xyxy.tolist() == [[0, 0, 3, 1], [3, 0, 4, 2], [0, 1, 2, 2]]
    assert detections.area.tolist() == [3, 2, 2]
    assert detections.data["class_name"].tolist() == list(result.present)
    assert detections.confidence[0] == np.float32(0.1)
    assert len(made(np.full((2, 2), UNKNOWN)).detections()) == 0


def test_detections_without_supervision(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(ImportError, match=r"pip install 'ovss\[supervision\]'"):
        made().detections()


def test_everything_unknown_can_be_drawn_and_summarised():
    result = made(np.full((3, 4), UNKNOWN))
    assert result.present == ()
    assert result.draw().width >= 240
    assert result.to_dict()["categories"] == []
    assert result.segments() == []
