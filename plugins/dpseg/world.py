"""Visual prompts of the mini world: it draws what a text-to-image model would."""

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
    """Portraits of the categories that the mini world has; `count` each, in turn over templates."""
    known = {name.lower(): name for name in world_names("mini_556")}
    first = [split_synonyms(name)[0].lower() for name in vocabulary.names]
    rows = [row for row, name in enumerate(first) if name in known]
    shape = (len(vocabulary), len(vocabulary.templates))
    embeds_TPC = torch.zeros(*shape, joint_dim)
    levels = tuple(torch.zeros(*shape, dim) for dim in level_dims)
    found_T = torch.zeros(len(vocabulary), dtype=torch.bool)
    turn_P = torch.arange(len(vocabulary.templates)) % count
    step = max(1, _BATCH // count)
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        pictures = [
            torch.from_numpy(portrait(known[first[row]], number, size))
            for row in some
            for number in range(count)
        ]
        embeds_NC, own = frozen([picture.permute(2, 0, 1) for picture in pictures])
        for out, vectors in ((embeds_TPC, embeds_NC), *zip(levels, own, strict=True)):
            out[some] = vectors.cpu().unflatten(0, (len(some), count))[:, turn_P]
        found_T[some] = True
    return VisualPrompts(embeds_TPC, levels, found_T)
