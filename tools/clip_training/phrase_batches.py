"""Batches of scenes for the training of mini_clip: a caption, and all phrases that are true."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ovss import mini_world
from ovss.mini_world import COLOURS, SHAPES, STUFF, SURFACES, MiniWorld

from .prompts import tokenise

SIZE, LARGE = 64, 96
OBJECTS = mini_world.object_names()
PHRASES = OBJECTS + STUFF
_MIN_PIXELS = 30  # objects with fewer visible pixels do not count as shown


def is_large(step: int, steps: int) -> bool:
    """Checks whether a step uses larger images, as every third does after 30 % of the run."""
    return step / steps >= 0.3 and step % 3 == 2


def images_per_step(step: int, steps: int, batch: int) -> int:
    """Number of images in a step; fewer if they are larger, so that a step takes equally long."""
    return batch * 3 // 8 if is_large(step, steps) else batch


class PhraseBatches(Dataset):
    """Batches of a run by step, each a pure function of the seed, the step and the run length."""

    def __init__(self, seed: int, batch: int, steps: int) -> None:
        self.seed, self.batch, self.steps = seed, batch, steps

    def __len__(self) -> int:
        return self.steps

    @staticmethod
    @lru_cache(maxsize=8)
    def _world(seed: int, length: int, size: int, level: int, single: bool) -> MiniWorld:
        objects = (1, 1) if single else None
        return MiniWorld("web", size=size, seed=seed, length=length, objects=objects,
                         difficulty=level / 20)  # fmt: skip

    def _scenes(self, step: int) -> list[mini_world.Scene]:
        """Scenes of a step: first single objects, later several, and sometimes larger images."""
        progress, length = step / self.steps, self.steps * self.batch
        # difficulty in twentieths, so that few different worlds are built and cached
        level = min(20, max(0, int(21 * (progress - 0.03) / 0.22)))
        large, count = is_large(step, self.steps), images_per_step(step, self.steps, self.batch)
        singles = 0 if large else self.batch if progress < 0.08 else int(0.4 * self.batch)
        return [
            self._world(self.seed, length, LARGE if large else SIZE, level, slot < singles)[
                step * self.batch + slot
            ]
            for slot in range(count)
        ]

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        scenes = self._scenes(step)
        images = np.stack([scene.image for scene in scenes]).transpose(0, 3, 1, 2)
        return {
            "image": torch.from_numpy(np.ascontiguousarray(images)),
            "caption": tokenise([scene.caption for scene in scenes]),
            **_targets(scenes),
        }


def _targets(scenes: list[mini_world.Scene]) -> dict[str, Tensor]:
    """Phrases and attribute values that each image shows, as boolean tables (B, n)."""
    index = {name: position for position, name in enumerate(PHRASES)}
    table = {key: torch.zeros(len(scenes), n, dtype=torch.bool) for key, n in (
        ('phrase', len(PHRASES)), ('surface', len(SURFACES)), ('colour', len(COLOURS)),
        ('shape', len(SHAPES)), ('stuff', len(STUFF)))}  # fmt: skip
    for row, scene in enumerate(scenes):
        for name in scene.stuff:
            table["phrase"][row, index[name]] = True
            table["stuff"][row, STUFF.index(name)] = True
        for item in scene.objects:
            if item.pixels >= _MIN_PIXELS:
                table["phrase"][row, index[item.category]] = True
                table["surface"][row, SURFACES.index(item.attributes.surface)] = True
                table["colour"][row, COLOURS.index(item.attributes.colour)] = True
                table["shape"][row, SHAPES.index(item.attributes.shape)] = True
    return table
