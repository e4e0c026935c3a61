"""COCO's run-length masks: all categories of a label map in one pass, and back.

pycocotools encodes one mask at a time, so its time grows with the number of categories found. Here
the runs of the label map are found once, and every category takes those with its label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["EncodedMask", "decode_runs", "encode_label_map"]

_LONGEST = 12
"""Characters of the longest number; 5 bits each must fit into 64."""


class EncodedMask(NamedTuple):
    """Mask of one category.

    Args:
        category: label of the category.
        counts: compressed run lengths, as `pycocotools.mask.encode` gives them.
        area: number of pixels.
        bbox: left, top, width and height in pixels.
    """

    category: int
    counts: bytes
    area: int
    bbox: tuple[int, int, int, int]


def encode_label_map(labels_HW: np.ndarray) -> list[EncodedMask]:
    """Encodes the mask of every label that is at least 0, in ascending order.

    Args:
        labels_HW: (H, W) integers; pixels with a negative label belong to no mask.

    >>> masks = encode_label_map(np.array([[0, 7, 0], [7, 7, -1]]))
    >>> [(mask.category, mask.counts, mask.area, mask.bbox) for mask in masks]
    [(0, b'0130N', 2, (0, 0, 3, 1)), (7, b'132', 3, (0, 0, 2, 2))]
    """
    height = labels_HW.shape[0]
    flat_N = np.ascontiguousarray(labels_HW.T).ravel()  # column by column, as COCO counts
    if not flat_N.size:
        return []
    starts_R = np.concatenate([[0], np.flatnonzero(flat_N[1:] != flat_N[:-1]) + 1])
    ends_R = np.append(starts_R[1:], flat_N.size)
    labels_R = flat_N[starts_R]
    # a stable sort keeps the runs of one label in the order of the pixels
    order_R = np.argsort(labels_R, kind="stable")
    order_R = order_R[labels_R[order_R] >= 0]
    starts_R, ends_R, labels_R = starts_R[order_R], ends_R[order_R], labels_R[order_R]
    if not labels_R.size:
        return []
    first_M = np.concatenate([[0], np.flatnonzero(labels_R[1:] != labels_R[:-1]) + 1])
    texts = _compressed(*_counts(starts_R, ends_R, first_M, flat_N.size))
    areas_M = np.add.reduceat(ends_R - starts_R, first_M)
    boxes_M4 = _boxes(starts_R, ends_R, first_M, height)
    return [
        EncodedMask(int(label), text, int(area), (int(b[0]), int(b[1]), int(b[2]), int(b[3])))
        for label, text, area, b in zip(labels_R[first_M], texts, areas_M, boxes_M4)
    ]


def decode_runs(counts: bytes, size: int) -> np.ndarray:
    """Mask of compressed run lengths, (size,) bool, column by column.

    The lengths are checked, because pycocotools writes beyond its memory if they are wrong.

    Args:
        counts: compressed run lengths.
        size: number of pixels.

    Raises:
        ValueError: the text is not part of the code, or its runs do not fill the size.

    >>> decode_runs(b"132", 6).astype(int).tolist()
    [0, 1, 1, 1, 0, 0]
    """
    codes_D = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    is_last_D = codes_D & 32 == 0
    if not codes_D.size or (codes_D.min() < 0 or codes_D.max() > 63 or not is_last_D[-1]):
        raise ValueError("the run lengths are damaged: they hold other characters than the code")
    begin_C = np.concatenate([[0], np.flatnonzero(is_last_D)[:-1] + 1])
    digits_C = np.diff(np.append(begin_C, codes_D.size))
    rank_D = np.arange(codes_D.size) - np.repeat(begin_C, digits_C)
    if digits_C.max() > _LONGEST:
        raise ValueError("the run lengths are damaged: a number is too long")
    values_C = np.zeros(len(digits_C), np.int64)
    number_D = np.repeat(np.arange(len(digits_C)), digits_C)
    np.add.at(values_C, number_D, (codes_D & 31) << (5 * rank_D))
    is_negative_C = (codes_D[is_last_D] & 16) != 0
    values_C -= is_negative_C.astype(np.int64) << (5 * digits_C)
    for first in (1, 2):  # each is stored as the difference to the one two places before
        values_C[first::2] = np.cumsum(values_C[first::2])
    if (values_C < 0).any() or (values_C > size).any() or values_C.sum() != size:
        raise ValueError(f"the run lengths are damaged: they do not fill {size} pixels")
    return np.repeat(np.arange(len(values_C)) % 2 == 1, values_C)


def _counts(
    starts_R: np.ndarray, ends_R: np.ndarray, first_M: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Run lengths of all masks one after the other, and where each mask begins.

    A mask of n runs has the lengths of 0s and 1s in turn, 2 n of them, and a last one of 0s unless
    its last run ends the image.
    """
    runs_M = np.diff(np.append(first_M, len(starts_R)))
    gaps_R = starts_R.copy()
    gaps_R[1:] -= ends_R[:-1]
    gaps_R[first_M] = starts_R[first_M]
    last_M = ends_R[first_M + runs_M - 1]
    lengths_M = 2 * runs_M + (last_M < size)
    begin_M = np.concatenate([[0], np.cumsum(lengths_M)[:-1]])
    counts_C = np.empty(int(lengths_M.sum()), np.int64)
    place_R = 2 * (np.arange(len(starts_R)) - np.repeat(first_M, runs_M))
    place_R += np.repeat(begin_M, runs_M)
    counts_C[place_R], counts_C[place_R + 1] = gaps_R, ends_R - starts_R
    open_M = last_M < size
    counts_C[(begin_M + 2 * runs_M)[open_M]] = size - last_M[open_M]
    return counts_C, begin_M


def _compressed(counts_C: np.ndarray, begin_M: np.ndarray) -> list[bytes]:
    """Strings of run lengths; see `ovss.data.rle.decode_counts` for the code."""
    lengths_M = np.diff(np.append(begin_M, len(counts_C)))
    rank_C = np.arange(len(counts_C)) - np.repeat(begin_M, lengths_M)
    values_C = counts_C.copy()
    later_C = np.flatnonzero(rank_C > 2)
    values_C[later_C] -= counts_C[later_C - 2]
    # 5 bits a character: a value v of two's complement needs n characters if v >> (5 n - 1) is
    # its sign alone
    sign_C, digits_C = values_C >> 63, np.ones(len(values_C), np.int64)
    while (more_C := (values_C >> (5 * digits_C - 1)) != sign_C).any():
        digits_C += more_C
    columns = np.arange(int(digits_C.max()))
    codes_CD = (values_C[:, None] >> (5 * columns)) & 31
    codes_CD |= (columns < digits_C[:, None] - 1) << 5
    text = (codes_CD[columns < digits_C[:, None]] + 48).astype(np.uint8).tobytes()
    ends_M = np.cumsum(np.add.reduceat(digits_C, begin_M)).tolist()
    return [text[start:end] for start, end in zip([0, *ends_M[:-1]], ends_M)]


def _boxes(
    starts_R: np.ndarray, ends_R: np.ndarray, first_M: np.ndarray, height: int
) -> np.ndarray:
    """Boxes of the masks, (M, 4): left, top, width, height."""
    left_R, right_R = starts_R // height, (ends_R - 1) // height
    is_one_R = left_R == right_R  # a run over several columns has the first and the last row
    top_R = np.where(is_one_R, starts_R % height, 0)
    bottom_R = np.where(is_one_R, (ends_R - 1) % height, height - 1)
    left_M, top_M = np.minimum.reduceat(left_R, first_M), np.minimum.reduceat(top_R, first_M)
    right_M = np.maximum.reduceat(right_R, first_M)
    bottom_M = np.maximum.reduceat(bottom_R, first_M)
    return np.stack([left_M, top_M, right_M - left_M + 1, bottom_M - top_M + 1], 1)
