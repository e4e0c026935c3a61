"""Segment and evaluate a few scenes of the mini world with the model that comes along.

The scenes are drawn from a seed that training never used; some of their categories never occurred
in training at all.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

from PIL import Image

from ovss.io.files import write_atomic
from ovss.mini_world import MiniWorld
from ovss.models.configs import DEFAULT_METHOD

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
    from .test import main

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


VOCABULARY = "mini_150"
BASELINES = ("cat_seg_mini", "maskclip_mini")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default=DEFAULT_METHOD, help="default: %(default)s")
    parser.add_argument("--weights", default="default", metavar="FILE")
    parser.add_argument(
        "--baselines",
        nargs="*",
        default=BASELINES,
        metavar="METHOD",
        help=f"scored on the same scenes (default: {' '.join(BASELINES)})",
    )
    parser.add_argument("--out", default="outputs/demo", metavar="DIR", help="default: %(default)s")
    parser.add_argument("--pictures", type=int, default=6, metavar="N", help="scenes to draw")
    parser.add_argument("--scenes", type=int, default=40, metavar="N", help="scenes to score")
    parser.add_argument("--size", type=int, default=96, help="of the scenes, in pixels")


def run(args: argparse.Namespace) -> int:
    from .main import main

    start, out = time.monotonic(), Path(args.out)
    write_scenes(out / "scenes", VOCABULARY, args.pictures, args.size)
    command = ["segment", str(out / "scenes"), "--vocabulary", VOCABULARY, "--out", str(out)]
    if args.model != DEFAULT_METHOD:
        command += ["--model", args.model]
    if args.weights != "default":
        command += ["--weights", args.weights]
    print(f"$ ovss {shlex.join(command)}", flush=True)
    status = main(command)
    if status:
        return status
    print(f"\n{args.model} on {args.scenes} held-out scenes, {VOCABULARY} vocabulary:", flush=True)
    figures = {args.model: evaluate(args.model, args.weights, args.scenes, out)}
    print(score_table(figures[args.model]), end="\n\n", flush=True)
    for baseline in args.baselines:
        figures[baseline] = evaluate(baseline, "default", args.scenes, out)
    print(summary_table(figures))
    print(f"\npictures: {out}/*_overlay.png ({time.monotonic() - start:.0f} s in all)")
    return 0
