"""Every kind of image becomes (H, W, 3) uint8; every kind of damage becomes one clear error."""

from __future__ import annotations

import errno

import numpy as np
import pytest
import torch
from PIL import Image

from ovss.io.files import write_atomic
from ovss.io.images import ImageError, find_images, read_image, to_rgb

RAMP = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(6, 8)
COLOURS = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_any_mode(tmp_path, mode, kind):
    image = Image.fromarray(COLOURS if mode not in ("I", "F", "I;16") else RAMP)
    image = Image.fromarray(RAMP.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    path = tmp_path / f"image.{kind}"
    try:
        image.save(path)
    except OSError:
        pytest.skip(f"{kind} files have no mode {mode}")
    rgb_HW3 = read_image(path)
    assert rgb_HW3.shape == (6, 8, 3)
    assert rgb_HW3.dtype == np.uint8
    if mode in ("RGB", "RGBA"):
        assert (rgb_HW3 == COLOURS).all()
    if mode == "I;16":
        assert (rgb_HW3 == RAMP[..., None]).all()


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(COLOURS)
    exif = image.getexif()
    exif[0x0112] = 6  # rotated a quarter
    image.save(tmp_path / "turned.png", exif=exif)
    assert (read_image(tmp_path / "turned.png") == np.rot90(COLOURS, -1)).all()


def test_transparency_is_laid_over_white():
    rgba = np.dstack([COLOURS, np.zeros_like(RAMP)])
    assert (to_rgb(rgba) == 255).all()
    assert (to_rgb(Image.fromarray(rgba)) == 255).all()


@pytest.mark.parametrize(
    "array",
    [
        COLOURS,
        COLOURS.astype(np.int64),
        COLOURS.astype(np.uint16) * 257,
        COLOURS / 255,
        COLOURS.astype(np.float32),
    ],
    ids=lambda a: str(a.dtype),
)
def test_value_ranges(array):
    assert (to_rgb(array) == COLOURS).all()


def test_tensors_are_channels_first():
    assert (to_rgb(torch.from_numpy(COLOURS).permute(2, 0, 1)) == COLOURS).all()
    assert (to_rgb(torch.from_numpy(RAMP)) == RAMP[..., None]).all()
    half = torch.from_numpy(COLOURS).permute(2, 0, 1).to(torch.bfloat16)
    assert np.abs(to_rgb(half).astype(int) - COLOURS).max() <= 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 20, 20), np.uint8), "not the shape of an image"),
        (np.zeros((0, 4, 3), np.uint8), "not the shape of an image"),
        (np.full((4, 4), 300), "expected 0..255"),
        (np.full((4, 4), np.nan), "expected 0..255"),
        (np.full((4, 4), -0.1), "expected 0..255"),
        (np.zeros((4, 4), complex), "cannot hold pixel values"),
        (torch.zeros(20, 20, 3), "not the shape of an image"),
        (7, "got int"),
    ],
)
def test_what_is_not_an_image_is_rejected(wrong, message):
    with pytest.raises(ImageError, match=message):
        to_rgb(wrong)


def test_files_that_cannot_be_read_are_named(tmp_path):
    good = tmp_path / "good.jpg"
    Image.fromarray(COLOURS.repeat(20, 0).repeat(20, 1)).save(good)
    (tmp_path / "cut.jpg").write_bytes(good.read_bytes()[:500])
    (tmp_path / "text.png").write_text("not an image")
    (tmp_path / "empty.png").touch()
    for name in ("cut.jpg", "text.png", "empty.png", "absent.png", "."):
        with pytest.raises(ImageError, match=name if name != "." else "a folder"):
            read_image(tmp_path / name)


def test_find_images_in_order_and_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.png", "a.JPG", "notes.txt", "deep/c.png", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = find_images(["deep/c.png", ".", "**/*.png", "absent.png"])
    assert [str(p) for p in found] == ["deep/c.png", "a.JPG", "b.png", "odd[1].png", "absent.png"]
    assert [str(p) for p in find_images(["odd[1].png"])] == ["odd[1].png"]
    for nothing in ("deep/*.jpg", tmp_path / "bare"):
        (tmp_path / "bare").mkdir(exist_ok=True)
        with pytest.raises(ImageError, match="no "):
            find_images([nothing])


def test_write_atomic_leaves_the_old_file_when_the_disk_is_full(tmp_path):
    def full(file) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "result.json"
    target.write_text("old")
    with pytest.raises(OSError, match=r"cannot write: No space left.*result\.json"):
        write_atomic(target, full)
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    write_atomic(target, lambda file: file.write(b"new"))
    assert target.read_text() == "new"


@pytest.mark.parametrize("path", ["\ud800.png", "a\0b.png"])
def test_text_that_no_path_can_be(path):
    with pytest.raises(ImageError, match=r"cannot hold a NUL|characters that no path has"):
        to_rgb(path)


def test_words_of_python_are_kept_out_of_messages(tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(b"P6 x 2 255 ")
    with pytest.raises(ImageError, match=r"a\.ppm: cannot be read \(its content is damaged\)"):
        to_rgb(path)
