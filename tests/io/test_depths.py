"""Images of more than 8 bits come out with their brightness, or are refused with their range."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from ovss.io.images import ImageError, read_image, to_rgb
from ovss.io.tiles import LazyImage

RAMP = np.linspace(0, 255, 48).round().astype(np.uint8).reshape(6, 8)
COLOURS = np.stack([RAMP, 255 - RAMP, RAMP // 2], axis=2)
GREY = RAMP[..., None].repeat(3, axis=2)


def encoded(array: np.ndarray, kind: str) -> bytes:
    """File content that OpenCV writes; it keeps 16 bits and floats of colours."""
    order = [2, 1, 0, *range(3, array.shape[2])] if array.ndim == 3 else ...
    return cv2.imencode(f".{kind}", array[..., order] if array.ndim == 3 else array)[1].tobytes()


def with_depth(image: np.ndarray, bits: int) -> np.ndarray:
    return (image / 255 * ((1 << bits) - 1)).round().astype(np.uint16)


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_data_of_fewer_bits_in_16_bit_files_keeps_its_brightness(kind, bits):
    alpha = np.full((6, 8, 1), 65535, np.uint16)
    for image, wanted in (
        (with_depth(RAMP, bits), GREY),
        (with_depth(COLOURS, bits), COLOURS),
        (np.concatenate([with_depth(COLOURS, bits), alpha], axis=2), COLOURS),
    ):
        rgb_HW3 = read_image(encoded(image, kind))
        assert np.abs(rgb_HW3.astype(int) - wanted).max() <= 1
        assert (to_rgb(image) == rgb_HW3).all()  # a file and its array are one image


@pytest.mark.parametrize("bits", [12, 16])
def test_jpeg_2000_of_16_bits(bits):
    image = COLOURS.repeat(16, 0).repeat(16, 1)  # white wraps to black in Pillow
    rgb_HW3 = read_image(encoded(with_depth(image, bits), "jp2"))
    assert np.abs(rgb_HW3.astype(int) - image).max() <= 3


def tiff(array: np.ndarray, **tags: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "tiff", tiffinfo={int(k[1:]): v for k, v in tags.items()})
    return stream.getvalue()


def test_a_stated_maximum_decides():
    dark = RAMP.astype(np.uint16) * 2
    assert (read_image(tiff(dark, _281=510)) == GREY).all()
    assert read_image(tiff(dark, _281=65535)).max() == 2
    pnm = b"P5\n8 6\n4095\n" + (RAMP.astype(np.uint16) * 4).astype(">u2").tobytes()
    assert np.abs(read_image(pnm).astype(int) - GREY // 4).max() <= 1


def test_32_bit_integers_within_16_bits_are_read():
    assert (read_image(tiff(RAMP.astype(np.int32) * 257)) == GREY).all()
    assert (to_rgb(COLOURS.astype(np.uint32) * 257) == COLOURS).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (RAMP.astype(np.int32) * 1000, "reach 255000; expected at most 65535"),
        (RAMP.astype(np.int32) - 5, r"lie in -5..250; expected 0..65535"),
        ((RAMP / 200).astype(np.float32), r"0..1.275, between the ranges"),
        (np.where(RAMP > 99, np.nan, 0).astype(np.float32), "not a number"),
        (RAMP.astype(np.float32) * 4, r"0..1020; expected 0..255"),
    ],
    ids=["beyond 16 bits", "negative", "above 1", "nan", "floats beyond 255"],
)
def test_values_without_a_white_are_refused_with_their_range(array, message):
    with pytest.raises(ImageError, match=message):
        read_image(tiff(array))
    with pytest.raises(ImageError, match=message):
        LazyImage(tiff(array)).crop(0, 6, 0, 8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_tiffs(dtype):
    for array in (RAMP, COLOURS):
        wanted = GREY if array.ndim == 2 else COLOURS
        assert (read_image(encoded((array / 255).astype(dtype), "tiff")) == wanted).all()
        assert (read_image(encoded(array.astype(dtype), "tiff")) == wanted).all()


def test_tiffs_that_would_be_read_wrong_are_refused():
    tifffile = pytest.importorskip("tifffile")
    for array, options, message in (
        (
            with_depth(np.moveaxis(COLOURS, 2, 0), 16),
            {"planarconfig": "separate"},
            "separate plane",
        ),
        ((COLOURS / 255).astype(np.float16), {}, "3 channels of 16-bit floats"),
    ):
        stream = io.BytesIO()
        tifffile.imwrite(stream, array, photometric="rgb", **options)
        with pytest.raises(ImageError, match=message):
            read_image(stream.getvalue())


def test_an_alpha_has_its_own_range():
    opaque = np.ones((6, 8, 1))
    assert (to_rgb(np.concatenate([COLOURS.astype(float), opaque], axis=2)) == COLOURS).all()
    clear = np.concatenate([with_depth(COLOURS, 12), np.zeros((6, 8, 1), np.uint16)], axis=2)
    assert (to_rgb(clear) == 255).all()


def test_transparency_of_every_mode_is_laid_over_white():
    image = Image.fromarray(COLOURS)
    for mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        hidden = image.convert("LA" if mode == "La" else "RGBA" if mode == "RGBa" else mode)
        hidden.putalpha(0)
        assert (to_rgb(hidden.convert(mode)) == 255).all(), mode
    palette, grey, deep = (
        image.convert("P"),
        image.convert("L"),
        Image.fromarray(with_depth(RAMP, 16)),
    )
    for source, clear in ((palette, palette.getpixel((2, 1))), (grey, grey.getpixel((2, 1)))):
        stream = io.BytesIO()
        source.save(stream, "png", transparency=clear)
        assert (read_image(stream.getvalue())[np.asarray(source) == clear] == 255).all()
    deep.info["transparency"] = int(np.asarray(deep)[1, 2])
    assert (to_rgb(deep)[1, 2] == 255).all()


def test_print_colours_are_not_inverted():
    image = COLOURS.repeat(16, 0).repeat(16, 1)
    for kind in ("jpeg", "tiff"):
        stream = io.BytesIO()
        Image.fromarray(image).convert("CMYK").save(stream, kind)
        assert np.abs(read_image(stream.getvalue()).astype(int) - image).mean() < 3
    lab = to_rgb(Image.fromarray(image).convert("RGB").convert("LAB"))
    assert np.abs(lab.astype(int) - image).mean() < 6
