"""Calls from Python with odd arguments."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from .cases import ACCEPTED, EITHER, REFUSED, Box, Call, Group
from .images import encoded, image_of
from .odd import VALUES, damaged

CALLS = Group("api", weight=1.5)

ARRAYS: tuple[Any, ...] = (
    np.zeros((0, 0, 3), np.uint8), np.zeros((0, 5), np.uint8), np.zeros((3, 4, 2), np.uint8),
    np.zeros((3, 4, 5), np.uint8), np.zeros((2, 3, 4, 3), np.uint8), np.zeros(7, np.uint8),
    np.array(3),
    np.full((3, 4), np.nan), np.full((3, 4), np.inf), np.full((3, 4), -1), np.full((3, 4), 256),
    np.full((3, 4), 1e9), np.zeros((3, 4), complex), np.array([["a", "b"]]), np.array([[None]]),
    np.zeros((3, 4), "M8[s]"), np.zeros((3, 4), [("a", int)]), np.array([[object()]]),
    torch.zeros(0, 3), torch.zeros(2, 3, 4), torch.zeros(3, 4, 5, 6),
    torch.full((3, 4), float("nan")),
    torch.zeros(3, 4, dtype=torch.complex64), torch.zeros(3, 4, device="meta"),
    torch.zeros(3, 0, 4),
    torch.zeros(3, 4).to_sparse(), torch.full((3, 4), -1),
)  # fmt: skip
OBJECTS: tuple[Any, ...] = (
    None, True, 3, 1.5, object(), {}, {"a": 1}, {1, 2}, b"", b"text", bytearray(b"x"),
    memoryview(b"x"),
    "", " ", "\0", "a\0b", "absent.png", "x" * 5000, "\ud800", pathlib.Path("absent"),
    pathlib.Path(""),
    io.BytesIO(), io.StringIO("text"), int, len, lambda: 1, [], [None], ["absent.png"], [[]], (),
    iter(()),
    "http://", "http://[", "https://localhost:1/x.png", "file:///etc/passwd", "ftp://x/y",
    "*.nothing",
    "data:image/png;base64,AAAA", range(3), Ellipsis, np.float32(1), "~", ".", "-",
)  # fmt: skip


def inferencer(**options: Any) -> Any:
    """Inferencer of a small model."""
    from ovss import Inferencer

    return Inferencer(**{"model": "fast.py", "device": "cpu", **options})


def _fast(box: Box) -> None:
    box.write("fast.py", (box.base / "fast.py").read_bytes())
    box.write("a.png", encoded(image_of("RGB"), "PNG"))


def _lists(answer: Any) -> Any:
    """Consumes answers that are computed on request."""
    return list(answer) if hasattr(answer, "__next__") else answer


@CALLS.each(ARRAYS)
def array(box: Box, value: Any) -> Call:
    _fast(box)
    return Call(lambda: inferencer()(value, "cat, dog"), REFUSED)


@CALLS.each(OBJECTS)
def image(box: Box, value: Any) -> Call:
    _fast(box)
    statuses = EITHER if isinstance(value, list | tuple | str | pathlib.Path) else REFUSED
    return Call(lambda: inferencer()(value, "cat, dog"), statuses)


@CALLS.each(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "LAB", "HSV", "I;16", "I", "F", "YCbCr"])
def image_of_pillow(box: Box, mode: str) -> Call:
    _fast(box)
    value = Image.new("RGB", (0, 0)) if mode == "YCbCr" else image_of(mode)
    return Call(lambda: inferencer()(value, "cat, dog"), REFUSED if mode == "YCbCr" else ACCEPTED)


@CALLS.each([value for value in OBJECTS if not isinstance(value, str)] + list(VALUES))
def words(box: Box, value: Any) -> Call:
    _fast(box)
    return Call(lambda: inferencer()("a.png", value), EITHER)


@CALLS.each([*VALUES, "x", object(), np.float64(0.5), np.array([1, 2]), 2, -0.1])
def threshold(box: Box, value: Any) -> Call:
    _fast(box)
    return Call(lambda: inferencer()("a.png", "cat, dog", threshold=value), EITHER)


OPTIONS = ("model", "weights", "pretrained", "device", "synonyms", "overrides")
ODD: tuple[Any, ...] = (3, True, "", "\0", "absent", [], {}, object(), {"": 1}, {"model": None})


@CALLS.each([(key, value) for key in OPTIONS for value in ODD])
def option(box: Box, pair: tuple[str, Any]) -> Call:
    _fast(box)
    key, value = pair
    return Call(lambda: inferencer(**{key: value}), EITHER)


@CALLS.each([*OBJECTS[:12], "absent", "", "\0", pathlib.Path("."), "x" * 5000])
def config(box: Box, value: Any) -> Call:
    from ovss import load_config

    _fast(box)
    return Call(lambda: load_config(value), REFUSED)


@CALLS.each([3, "x", [], [("a", 1)], {"model.decoder.scale": object()}, {1: 2}, {"": 1},
             {"a..b": 1},
             {"model": 3}, {"model.decoder.scale": None}, {None: 1},
             {"model.encoder.type": int}])  # fmt: skip
def overrides(box: Box, value: Any) -> Call:
    from ovss import load_config

    _fast(box)
    return Call(lambda: load_config("fast.py", value), EITHER)


SAVES: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...] = (
    (("out",), {"formats": ["nothing"]}), (("out",), {"formats": "labels"}),
    (("out",), {"formats": 3}),
    (("out",), {"formats": []}), (("out",), {"formats": [None]}), ((3,), {}), ((None,), {}),
    (("",), {}),
    (("\0",), {}), (("out", "\0"), {}), (("out", "../x"), {}), (("out", "a/b"), {}),
    (("out", "x" * 5000), {}),
    (("out", ""), {}), (("out", 3), {}), (("out", "a\nb"), {}), (("a.png",), {}),
    (("a.png/x",), {}),
    (("out", "s", ["overlay"], {"opacity": 5}), {}), 
    (("out", "s", ["overlay"], {"opacity": "x"}), {}), (("out", "s", ["overlay"], 3), {}),
    (("out", "\ud800"), {}),
)  # fmt: skip


@CALLS.each(SAVES)
def save(box: Box, arguments: tuple[tuple[Any, ...], dict[str, Any]]) -> Call:
    _fast(box)
    positional, named = arguments
    return Call(lambda: inferencer()("a.png", "cat, dog").save(*positional, **named), EITHER)


METHODS: tuple[tuple[str, tuple[Any, ...], dict[str, Any]], ...] = (
    ("draw", (), {"opacity": -1}), ("draw", (), {"opacity": "x"}), ("draw", (), {"names": 3}),
    ("mask", ("absent",), {}), ("mask", (3,), {}), ("mask", (None,), {}), ("mask", ("",), {}),
    ("mask", ("cat",), {}), ("to_dict", (), {}), ("draw", (), {"opacity": float("nan")}),
)  # fmt: skip


@CALLS.each(METHODS)
def method_of_a_result(box: Box, entry: tuple[str, tuple[Any, ...], dict[str, Any]]) -> Call:
    _fast(box)
    name, positional, named = entry

    def run() -> None:
        result = inferencer()("a.png", "cat, dog")
        if hasattr(result, name):
            getattr(result, name)(*positional, **named)

    return Call(run, EITHER)


@CALLS.each([3, None, "absent", "*.nothing", [None], "a.png", [object()], iter(["absent.png"])])
def many(box: Box, value: Any) -> Call:
    _fast(box)
    return Call(lambda: _lists(inferencer().many(value, "cat, dog")), EITHER)


@CALLS.each(range(8))
def bytes_of_an_image(box: Box, number: int) -> Call:
    _fast(box)
    content = damaged(encoded(image_of("RGB"), ("PNG", "JPEG")[number % 2]), box.random)
    value: Any = io.BytesIO(content) if number % 3 else content
    return Call(lambda: inferencer()(value, "cat, dog"), EITHER)


def _vocabulary(value: Any) -> object:
    from ovss import load_vocabulary

    return load_vocabulary(value)


@CALLS.each([*VALUES, pathlib.Path("absent"), object(), ["cat", "cat"], ["a", "\0"], ("a", "b\n")])
def vocabulary(box: Box, value: Any) -> Call:
    function: Callable[[], object] = partial(_vocabulary, value)
    return Call(function, EITHER)
