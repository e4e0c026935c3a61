"""Names in any script: a font that has the letters, or plain words, but never empty boxes."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw

from ovss.drawing import fonts
from ovss.drawing.fonts import FONT_VARIABLE, displayable, ensure_font, faces_of
from ovss.drawing.text import cut_text, draw_text, text_width, wrapped

FALLBACK = "category 7"


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.delenv(FONT_VARIABLE, raising=False)
    caches = (fonts.displayable, fonts._warn_once, fonts._face_of)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def without_fonts(monkeypatch):
    """A machine that has only the fonts which are always installed."""
    monkeypatch.setattr(fonts, "fontconfig_fonts", lambda characters: ())
    monkeypatch.setattr(fonts, "installed_fonts", lambda: ())
    monkeypatch.setattr(fonts, "_package_faces", lambda: ())


def drawn(text: str) -> np.ndarray:
    image = Image.new("L", (200, 40))
    draw_text(ImageDraw.Draw(image), 5, 20, text, 20, 255)
    return np.asarray(image)


def dejavu() -> Path:
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


@pytest.mark.parametrize("text", ["cat", "Größe", "кошка", "γάτα", "عربي", "mèo", "kočka"])
def test_common_scripts_need_no_further_font(without_fonts, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert displayable(text, FALLBACK) == text
    assert drawn(text).any()


def test_letters_differ_so_that_no_box_stands_for_them(without_fonts):
    assert (drawn("к") != drawn("ш")).any()
    assert (drawn("ع") != drawn("ر")).any()


def test_a_script_without_a_font_gets_its_number_and_one_warning(without_fonts):
    with pytest.warns(UserWarning, match=r"pip install 'ovss\[fonts\]'.*OVSS_FONT"):
        assert displayable("猫", FALLBACK) == FALLBACK
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert displayable("cat 猫", FALLBACK) == FALLBACK
        assert displayable("ｃａｔ", FALLBACK) == "cat"  # wide letters have plain forms


def test_bytes_and_controls_in_a_name_can_be_drawn(without_fonts):
    assert displayable("caf\udce9 \x1b\n bar", FALLBACK) == "caf\ufffd bar"


@pytest.mark.parametrize("text", ["猫", "고양이", "हिन्दी", "แมว", "猫 और кошка"])
def test_the_extra_has_fonts_for_other_scripts(monkeypatch, text):
    pytest.importorskip("manimgx_fonts")
    pytest.importorskip("noto_cjk_sans_otc")
    monkeypatch.setattr(fonts, "fontconfig_fonts", lambda characters: ())
    assert displayable(text, FALLBACK) == text
    assert "".join(run for run, _ in faces_of(text)) == text
    assert drawn(text).any()


def test_the_font_of_the_environment_goes_first(monkeypatch):
    monkeypatch.setenv(FONT_VARIABLE, str(dejavu()))
    assert [face.path for _, face in faces_of("cat")] == [str(dejavu())]


@pytest.mark.parametrize("content", [None, b"no font"])
def test_a_wrong_font_of_the_environment_is_named(monkeypatch, tmp_path, content):
    path = tmp_path / "a.ttf"
    if content:
        path.write_bytes(content)
    monkeypatch.setenv(FONT_VARIABLE, str(path))
    with pytest.raises(ValueError, match=rf"OVSS_FONT .*{path.name}"):
        ensure_font()


def test_a_damaged_font_of_the_system_is_passed_over(monkeypatch, tmp_path, without_fonts):
    (tmp_path / "a.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "installed_fonts", lambda: (str(tmp_path / "a.ttf"),))
    with pytest.warns(UserWarning, match="No font"):
        assert displayable("猫", FALLBACK) == FALLBACK


def test_lines_are_broken_at_spaces():
    lines = wrapped("one two three four five six seven", 20, 100)
    assert " ".join(lines) == "one two three four five six seven"
    assert len(lines) > 2
    assert all(text_width(line, 20) <= 100 for line in lines)


def test_a_long_name_is_cut_to_its_width():
    name = "a name that goes on and on"
    assert cut_text(name, 20, 1000) == name
    short = cut_text(name, 20, 100)
    assert short.endswith("...")
    assert name.startswith(short[:-3])
    assert 60 < text_width(short, 20) <= 100
