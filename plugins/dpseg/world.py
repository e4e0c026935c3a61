"""Visual prompts of the mini world, which draws its categories in place of a generator."""

from __future__ import annotations

import torch

from ovss.mini_world import names as world_names
from ovss.mini_world import portrait
from ovss.structures import Vocabulary, split_synonyms

from .frozen import FrozenEncoder
from .prompts import VisualPrompts

WORLD = "mini_world"
PORTRAITS = 4
_BATCH = 64


def world_prompts(
    vocabulary: Vocabulary,
    frozen: FrozenEncoder,
    joint_dim: int,
    level_dims: tuple[int, ...],
    count: int = PORTRAITS,
    size: int = 96,
) -> VisualPrompts:
    """Encodes portraits of the categories that the mini world has.

    Args:
        vocabulary: categories and templates.
        frozen: visual-prompt encoder.
        joint_dim, level_dims: dimensions of the encoder.
        count: number of portraits for each category, which take turns over the templates.
        size: side of the portraits in pixels.
    """
    drawable = {name.lower(): name for name in world_names("mini_556")}
    labels = [split_synonyms(name)[0].lower() for name in vocabulary.names]
    rows = [row for row, label in enumerate(labels) if label in drawable]
    shape = (len(vocabulary), len(vocabulary.templates))
    embeds_TPC = torch.zeros(*shape, joint_dim)
    levels = tuple(torch.zeros(*shape, dim) for dim in level_dims)
    found_T = torch.zeros(len(vocabulary), dtype=torch.bool)
    turn_P = torch.arange(len(vocabulary.templates)) % count
    step = max(1, _BATCH // count)
    for start in range(0, len(rows), step):
        batch = rows[start : start + step]
        images = [
            torch.from_numpy(portrait(drawable[labels[row]], number, size)).permute(2, 0, 1)
            for row in batch
            for number in range(count)
        ]
        embeds_NC, batch_levels = frozen(images)
        for out, vectors in [(embeds_TPC, embeds_NC), *zip(levels, batch_levels, strict=True)]:
            out[batch] = vectors.cpu().unflatten(0, (len(batch), count))[:, turn_P]
        found_T[batch] = True
    return VisualPrompts(embeds_TPC, levels, found_T)
