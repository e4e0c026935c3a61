"""Label values against a rule for a single pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ovss.data.image_mask import ImageMaskDataset
from ovss.data.labels import ColorMapper, LabelMapper
from ovss.selection import IGNORE

KINDS = {np.uint8: 8, np.uint16: 16, np.int16: 16, np.int32: 32}


def label_of(raw: int, bits: int, signed: bool, classes: int, ignored: tuple[int, ...]) -> int:
    """Category of one raw value."""
    if 0 <= raw < classes and raw not in ignored:
        return raw
    same = {value if signed or value >= 0 else value + (1 << bits) for value in ignored}
    if raw in same:
        return IGNORE
    raise ValueError(raw)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("ignored", [(), (-1,), (255,), (-1, 3), (-2, -1)])
@pytest.mark.parametrize("classes", [4, 300])
def test_every_value(dtype, ignored, classes):
    bits, signed = KINDS[dtype], np.issubdtype(dtype, np.signedinteger)
    mapper = LabelMapper(classes, ignored=ignored)
    limits = np.iinfo(dtype)
    values = {0, 1, 3, 4, 254, 255, 256, 299, 300, -1, -2, 65534, 65535}
    for raw in sorted(v for v in values if limits.min <= v <= limits.max):
        label_map = np.array([[raw]], dtype)
        try:
            expected = label_of(raw, bits, signed, classes, ignored)
        except ValueError:
            with pytest.raises(ValueError, match="outside the vocabulary"):
                mapper(label_map, "a.png")
            continue
        assert mapper(label_map, "a.png").tolist() == [[expected]]


def test_colours_are_red_green_blue():
    mapper = ColorMapper({(1, 2, 3): 0, (3, 2, 1): 1, (0, 0, 0): IGNORE})
    colours = np.array([[[3, 2, 1], [1, 2, 3], [0, 0, 0]]], np.uint8)
    assert mapper(colours, "a.png").tolist() == [[1, 0, IGNORE]]
    with pytest.raises(ValueError, match=r"\[2, 1, 3\] \(1 pixels\)"):
        mapper(np.array([[[2, 1, 3]]], np.uint8), "a.png")


NAMES, COLOURS = ("cat", "dog", "sky", "road"), [[9, 0, 0], [0, 9, 0], [0, 0, 9], [9, 9, 9]]


@pytest.mark.parametrize("seen", [("cat", "sky"), ("dog", "road"), ("sky",), NAMES])
@pytest.mark.parametrize("raw_of", [{}, {10: "road", 11: "cat", 12: 2, 13: "dog"}])
def test_classes_of_training_have_their_own_numbers_and_colours(tmp_path, seen, raw_of):
    """Only seen classes are kept, so that their numbers are not those of the whole vocabulary."""
    names_of = {raw: NAMES[x] if isinstance(x, int) else x for raw, x in raw_of.items()}
    names_of = names_of or dict(enumerate(NAMES))
    raw = np.array([sorted(names_of)], np.uint8)
    for folder, array in (("images", np.zeros((1, 4, 3), np.uint8)), ("masks", raw)):
        (tmp_path / folder).mkdir()
        Image.fromarray(array).save(tmp_path / folder / "a.png")
    data = ImageMaskDataset(
        str(tmp_path / "images"),
        str(tmp_path / "masks"),
        NAMES,
        [],
        seen=seen,
        only_seen=True,
        label_map=raw_of or None,
        colors=COLOURS,
    )
    kept = [name for name in NAMES if name in seen]
    assert list(data.names) == kept
    assert data.metainfo["palette"] == [COLOURS[NAMES.index(name)] for name in kept]
    expected = [kept.index(n) if n in kept else IGNORE for _, n in sorted(names_of.items())]
    assert data.labels_of(0).tolist() == [expected]
