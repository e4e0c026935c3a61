"""Loads saved models in a fresh process and writes what they predict: OUT.npz FOLDER..."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from ovss import Inferencer
from ovss.mini_world import MiniWorld

WORDS = "plain red star, plain blue circle, grass, brick wall"
SCENE = 3


def outputs(run: Inferencer) -> np.ndarray:
    """Label map (1, H, W) of one scene of the mini world, and the maps (T, H, W) below it."""
    scene = MiniWorld("val", "mini_150", size=96, seed=0, length=8)[SCENE]
    result = run(scene.image, WORDS, probabilities=True)
    return np.concatenate([result.label_map[None].astype(np.float32), result.probabilities])


def main(out: str, *folders: str) -> None:
    """Segments with the model of each folder."""
    found = {Path(f).name: outputs(Inferencer.from_pretrained(f, device="cpu")) for f in folders}
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
