"""Batches of whole scenes and their captions for the training of mini_web."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from ovss.mini_world import STUFF, MiniWorld, Scene, object_names

from .captions import Phrases, captions_of, write
from .prompts import tokenise
from .web_schedule import (
    CELLS,
    SIDE,
    SIZE,
    difficulty_level,
    images_per_step,
    is_small,
    kept_patches,
    place_reach,
    progress_of,
    single_share,
)

_INDEX = {name: place for place, name in enumerate(object_names() + STUFF)}


@lru_cache(maxsize=8)
def _world(seed: int, length: int, level: int, single: bool) -> MiniWorld:
    objects = (1, 1) if single else (1, 4)
    return MiniWorld("web", size=SIZE, seed=seed, length=length, objects=objects,
                     difficulty=level / 20)  # fmt: skip


class CaptionedBatches(Dataset):
    """Batches of a run by step, each a pure function of the seed, the step and the run length.

    Args:
        seed: seed of scenes and captions.
        batch: images in a step while a quarter of the patches is kept.
        steps: length of the run.
        true: true captions of an image.
        wrong: wrong captions of an image.
    """

    def __init__(self, seed: int, batch: int, steps: int, true: int, wrong: int) -> None:
        self.seed, self.batch, self.steps = seed, batch, steps
        self.true, self.wrong = true, wrong

    def __len__(self) -> int:
        return self.steps

    def scenes(self, step: int) -> list[Scene]:
        """Scenes of a step."""
        progress, length = progress_of(step, self.steps), self.steps * self.batch
        level, count = difficulty_level(progress), images_per_step(step, self.steps, self.batch)
        singles = round(single_share(progress) * count)
        return [
            _world(self.seed, length, level, slot < singles)[step * self.batch + slot]
            for slot in range(count)
        ]

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        scenes = self.scenes(step)
        generators = [np.random.default_rng((self.seed, step, slot)) for slot in range(len(scenes))]
        written = [
            captions_of(rng, scene, self.true, self.wrong) for rng, scene in zip(generators, scenes)
        ]
        captions = [pair for true, false in written for pair in (*true, *false)]
        contents = [phrases for _, phrases in captions]
        firsts = [true[0][1] for true, _ in written]
        again = [write(rng, phrases) for rng, phrases in zip(generators, firsts)]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
        if is_small(progress_of(step, self.steps)):
            images = F.avg_pool2d(images.float(), 2).round().byte()
        counts = torch.tensor([len(true) + len(false) for true, false in written])
        return {
            "image": images.contiguous(),
            "tokens": tokenise([text for text, _ in captions]),
            "owner": torch.arange(len(scenes)).repeat_interleave(counts),
            "positive": positives(
                [[phrases for _, phrases in true] for true, _ in written], contents
            ),
            "again": tokenise(again),
            "same": torch.tensor(
                [[first.names == content.names for content in contents] for first in firsts]
            ),
        }


def positives(images: list[list[Phrases]], captions: list[Phrases]) -> Tensor:
    """Boolean table (B, N) of the captions that the captions of an image prove to be true.

    A caption is true of an image if each category that it names is named by a true caption of the
    image. The scene itself is not consulted: what no caption names remains unknown.

    Args:
        images: content of the true captions of each image.
        captions: content of all captions.
    """
    known = torch.zeros(len(images), len(_INDEX))
    for row, contents in zip(known, images):
        row[[_INDEX[name] for content in contents for name in content.names]] = 1
    wanted = torch.zeros(len(captions), len(_INDEX))
    for row, content in zip(wanted, captions):
        row[[_INDEX[name] for name in content.names]] = 1
    return known @ wanted.T == wanted.sum(1)


def patch_index(seed: int, step: int, images: int, progress: float) -> tuple[Tensor, Tensor]:
    """Numbers of the patches that a step keeps and cells of the grid that place them, both (B, M).

    A small image lies in the middle of the grid at first, where shape is easiest to learn, and
    then at places that reach up to its border. Objects thus have the distances in cells that they
    have in large images. Later the patches are drawn separately for each image.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    if not is_small(progress):
        order = torch.rand(images, CELLS, generator=generator).argsort(1)
        kept = order[:, : kept_patches(progress)]
        return kept, kept
    side, reach = SIDE // 2, place_reach(progress)
    first = (SIDE - side - reach) // 2
    row, column = first + torch.randint(reach + 1, (2, images, 1, 1), generator=generator)
    cells = torch.arange(side)
    place = SIDE * (row + cells[:, None]) + column + cells
    return torch.arange(side**2).expand(images, -1), place.flatten(1)
