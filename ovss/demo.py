"""Scenes that nobody has seen, segmented and scored by the model that comes along."""

from __future__ import annotations

import json
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from PIL import Image

from .data.mini_world import MiniWorld
from .files import write_atomic

__all__ = ["HELD_OUT_SEED", "evaluate", "score_table", "summary_table", "write_scenes"]

HELD_OUT_SEED = 20_240
"""Of scenes that neither training nor validation draws."""


def write_scenes(folder: Path, vocabulary: str, count: int, size: int) -> list[Path]:
    """Draw scenes of the mini world into `folder` as PNG files.

    Args:
        folder: made if it is not there.
        vocabulary: ``mini_20``, ``mini_150`` or ``mini_556``: which categories occur.
        count: how many.
        size: height and width in pixels.

    Raises:
        OSError: the folder cannot be written.
    """
    world = MiniWorld("val", vocabulary, size=size, seed=HELD_OUT_SEED, length=count)
    paths = [folder / f"scene_{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        write_atomic(path, partial(Image.fromarray(world[i].image).save, format="png"))
    return paths


def evaluate(config: str, weights: str, scenes: int, folder: Path) -> dict:
    """Score a method on held-out scenes of the mini world, by the same code as ``ovss test``.

    Args:
        config: whose test set is the mini world.
        weights: a checkpoint, or ``default``.
        scenes: how many.
        folder: where logs and figures go.

    Returns:
        the result, as in ``ovss test --out``.
    """
    from .test_cli import main

    figures = folder / f"{Path(config).stem}.json"
    options = [
        f"test_dataloader.dataset.length={scenes}",
        f"test_dataloader.dataset.scenes_seed={HELD_OUT_SEED}",
        "log_level=ERROR",
    ]
    places = ["--work-dir", str(folder / "test"), "--out", str(figures)]
    with redirect_stdout(StringIO()):  # the runner's log, which is a file in the folder too
        main([config, weights, *places, "--cfg-options", *options])
    return json.loads(figures.read_text())


def score_table(figures: dict, most: int = 12) -> str:
    """IoU of the categories with the most pixels."""
    categories = sorted(figures["categories"].items(), key=lambda item: -item[1]["pixels"])
    occurring = [(name, figure) for name, figure in categories if figure["pixels"]]
    width = max(len(name) for name, _ in occurring)
    lines = [f"{'category':{width}}  training  {'IoU':>6}  {'pixels':>7}"]
    for name, figure in occurring[:most]:
        seen = "seen" if figure["seen"] else "unseen"
        lines.append(f"{name:{width}}  {seen:8}  {figure['iou']:6.1f}  {figure['pixels']:7d}")
    if len(occurring) > most:
        lines.append(f"... and {len(occurring) - most} more categories")
    return "\n".join(lines)


def summary_table(figures_of: dict[str, dict]) -> str:
    """One line for each method: mean IoU over all categories, those seen in training, and not."""
    width = max(map(len, figures_of))
    lines = [f"{'mean IoU of':{width}}     all    seen  unseen  harmonic mean"]
    for method, figures in figures_of.items():
        means = [figures["metrics"][key] for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")]
        cells = ["     -" if mean is None else f"{mean:6.1f}" for mean in means]
        lines.append(f"{method:{width}}  " + "  ".join(cells))
    return "\n".join(lines)
