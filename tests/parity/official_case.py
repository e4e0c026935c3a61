"""Weights, images and texts of the cases of methods that compare regions, all from formulas."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from plain_cat_seg import formula_image
from torch import Tensor

from ovss.structures import TextFeatures, Vocabulary

DATA = Path(__file__).parent / "data"


def read_case(name: str) -> tuple[dict, dict[str, Tensor]]:
    """Description of a case, and the outputs of the authors' modules."""
    with np.load(DATA / f"{name}.npz") as file:
        outputs = {key: torch.from_numpy(file[key]) for key in file.files}
    return json.loads((DATA / f"{name}.json").read_text()), outputs


def official_weights(case: dict, same: dict[str, str] | None = None) -> dict[str, Tensor]:
    """Every tensor of the authors' checkpoint.

    Args:
        case: description.
        same: name of a tensor -> name of the tensor that it shares its values with.
    """
    return {
        name: torch.from_numpy(_values((same or {}).get(name, name), tuple(shape), case))
        for name, shape in case["state_dict"].items()
    }


def _values(name: str, shape: tuple[int, ...], case: dict) -> np.ndarray:
    if name.endswith("logit_scale"):
        value = 1.0 if name.startswith("sem_seg_head") else np.log(100)
        return np.full(shape, value, dtype=np.float32)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    noise = noise.astype(np.float32)
    for suffix, (offset, scale) in case["overrides"].items():
        if name.endswith(suffix):
            return np.float32(offset) + np.float32(scale) * noise
    if len(shape) <= 1:
        return 1 + np.float32(0.1) * noise if name.endswith("weight") else np.float32(0.02) * noise
    return noise / np.float32(np.sqrt(noise.size / shape[0]))


def case_images(case: dict) -> list[Tensor]:
    """Images (3, h, w), RGB in 0..255."""
    return [formula_image(each["h"], each["w"], each["seed"]).float() for each in case["images"]]


def padded_batch(images: list[Tensor], mean_311: Tensor, std_311: Tensor) -> Tensor:
    """Normalised images of several sizes in one batch, with zeros on the right and below."""
    sides = [max(image.shape[dim] for image in images) for dim in (1, 2)]
    batch = torch.zeros(len(images), 3, *(side + -side % 32 for side in sides))
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = (image - mean_311) / std_311
    return batch


def case_text(case: dict, dim: int) -> TextFeatures:
    """Unit embeddings that stand for those of the text tower."""
    rows = []
    for name in case["names"]:
        generator = np.random.RandomState(zlib.crc32(f"text:{name}".encode()))
        row = generator.standard_normal(dim).astype(np.float32)
        rows.append(row / np.linalg.norm(row))
    embeds_T1C = torch.from_numpy(np.stack(rows))[:, None]
    return TextFeatures(embeds_T1C, vocabulary=Vocabulary(tuple(case["names"])))
