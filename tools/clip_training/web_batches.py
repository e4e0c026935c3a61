"""Batches of whole scenes and their captions, and the schedule of a training of mini_web."""

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

SIZE, SIDE = 80, 20
CELLS = SIDE**2
_INDEX = {name: place for place, name in enumerate(object_names() + STUFF)}


def is_small(progress: float) -> bool:
    """Checks whether images have half their size, as in the first 15 % of the run."""
    return progress < 0.15


def kept_patches(progress: float) -> int:
    """Number of patches that a step sees: all of a small image, later a quarter, half, and all.

    With the class token, most numbers are multiples of 32, for which the processor is fastest.
    """
    if is_small(progress):
        return CELLS // 4
    return 95 if progress < 0.8 else 191 if progress < 0.95 else CELLS


def place_reach(progress: float) -> int:
    """Range in cells of the places of small images: 0 until 6 %, all 10 from 12 % of the run."""
    return min(10, max(0, int(11 * (progress - 0.06) / 0.06)))


def images_per_step(step: int, steps: int, batch: int) -> int:
    """Number of images in a step: `batch`, or fewer if the step is short of time or has to learn.

    Every later step has about as many patches. The first steps have half the images, because then
    the number of steps matters more.
    """
    progress = step / steps
    return batch // 2 if is_small(progress) else batch * 95 // kept_patches(progress)


def difficulty_level(progress: float) -> int:
    """Difficulty in twentieths, so that few different worlds are built: 0 to 15 %, 20 from 40 %."""
    return min(20, max(0, int(21 * (progress - 0.15) / 0.25)))


def single_share(progress: float) -> float:
    """Share of scenes with one object: all until 20 %, a third from 42 to 75 %, a tenth at 90 %."""
    falling = 1 - 0.9 * (progress - 0.2) / 0.3
    late = 0.33 - 0.23 * max(0.0, progress - 0.75) / 0.15
    return min(1.0, max(0.1, falling, late))


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
        progress, length = step / self.steps, self.steps * self.batch
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
        if is_small(step / self.steps):
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
