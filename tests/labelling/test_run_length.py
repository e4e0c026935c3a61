"""Run lengths are those of pycocotools, for every shape of mask."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from ovss.labelling.run_length import decode_runs, encode_label_map


def maps():
    numbers = np.random.default_rng(0)
    for height, width in ((1, 1), (1, 9), (9, 1), (2, 3), (17, 23), (120, 160)):
        for most in (1, 2, 5, 60):
            yield numbers.integers(-1, most, (height, width))
            yield np.kron(numbers.integers(-1, most, (height, width)), np.ones((5, 4), int))
    yield np.full((700, 900), 3)  # run lengths of five characters
    yield np.full((4, 4), -1)
    yield np.zeros((3, 0), int)
    big = np.zeros((3000, 3000), np.int32)
    big[-1, -1] = big[5, 2999] = 1
    yield big


@pytest.mark.parametrize("labels_HW", maps(), ids=lambda labels: "x".join(map(str, labels.shape)))
def test_masks_are_those_of_pycocotools(labels_HW):
    coco = pytest.importorskip("pycocotools.mask")
    masks = encode_label_map(labels_HW)
    assert [mask.category for mask in masks] == sorted({*labels_HW.ravel().tolist()} - {-1})
    for mask in masks:
        expected = coco.encode(np.asfortranarray((labels_HW == mask.category).astype(np.uint8)))
        assert mask.counts == expected["counts"]
        assert mask.area == coco.area(expected)
        mask_HW = labels_HW == mask.category
        assert (decode_runs(mask.counts, mask_HW.size) == mask_HW.T.ravel()).all()
        assert list(mask.bbox) == coco.toBbox(expected).tolist()


@pytest.mark.parametrize(
    "counts",
    [b"", b"1", b"8", b"132", b"1 2", b"\xff", b"13P", b"PPPPPPPPPPPPPPP0", b"OOOO", b"O9"],
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(counts):
    with pytest.raises(ValueError, match="damaged"):
        decode_runs(counts, 7)


def test_random_run_lengths_are_masks_or_refused():
    numbers, masks = np.random.default_rng(0), 0
    for _ in range(2000):
        counts = bytes(numbers.integers(44, 116, numbers.integers(0, 20)).tolist())
        with contextlib.suppress(ValueError):
            masks += decode_runs(counts, 9).shape == (9,)
    assert 0 < masks < 2000
