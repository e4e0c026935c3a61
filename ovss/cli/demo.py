"""Segment and evaluate a few scenes of the mini world with the bundled model.

The scenes come from a seed that training did not use, and some of their categories do not occur in
training at all. With --web you get a page in your browser instead, for your own images.
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

from ovss.io.names import printable
from ovss.models.defaults import MINI_METHOD

from .demo_web import add_page_flags, check_page_flags, run_page
from .options import LONGEST_SIDE, integer_in

__all__ = ["HELD_OUT_SEED", "score_scenes", "score_table", "summary_table", "write_scenes"]

HELD_OUT_SEED = 20_240
"""Seed of scenes that neither training nor validation uses."""


def write_scenes(folder: Path, vocabulary: str, count: int, size: int) -> list[Path]:
    """Draws scenes of the mini world as PNG files.

    Args:
        folder: output folder, created if missing.
        vocabulary: categories that occur: ``mini_20``, ``mini_150`` or ``mini_556``.
        count: number of scenes.
        size: height and width in pixels.

    Returns:
        Paths of the files.

    Raises:
        OSError: the folder cannot be written.
    """
    from PIL import Image

    from ovss.io.files import write_atomic
    from ovss.mini_world import MiniWorld

    world = MiniWorld("val", vocabulary, size=size, seed=HELD_OUT_SEED, length=count)
    paths = [folder / f"scene_{i}.png" for i in range(count)]
    for i, path in enumerate(paths):
        write_atomic(path, partial(Image.fromarray(world[i].image).save, format="png"))
    return paths


def score_scenes(config: str, weights: str, scenes: int, folder: Path) -> dict:
    """Evaluates a method on held-out scenes of the mini world with the code of ``ovss test``.

    Args:
        config: name or path of a config whose test set is the mini world.
        weights: checkpoint, or ``default``.
        scenes: number of scenes.
        folder: output folder for the log and the result.

    Returns:
        The result, as in ``ovss test --out``.
    """
    from .test import main

    result = folder / f"{Path(config).stem}.json"
    options = [
        f"test_dataloader.dataset.length={scenes}",
        f"test_dataloader.dataset.scenes_seed={HELD_OUT_SEED}",
        "log_level=ERROR",
    ]
    outputs = ["--work-dir", str(folder / "test"), "--out", str(result)]
    with redirect_stdout(StringIO()):  # the runner's log, which is saved in the folder too
        main([config, weights, *outputs, "--cfg-options", *options])
    return json.loads(result.read_text(encoding="utf-8"))


def score_table(result: dict, limit: int = 12) -> str:
    """Formats the IoU of the `limit` categories with the most pixels."""
    categories = sorted(result["categories"].items(), key=lambda item: -item[1]["pixels"])
    occurring = [(name, score) for name, score in categories if score["pixels"]]
    width = max(len(name) for name, _ in occurring)
    lines = [f"{'category':{width}}  training  {'IoU':>6}  {'pixels':>7}"]
    for name, score in occurring[:limit]:
        seen = "seen" if score["seen"] else "unseen"
        lines.append(f"{name:{width}}  {seen:8}  {score['iou']:6.1f}  {score['pixels']:7d}")
    if len(occurring) > limit:
        lines.append(f"... and {len(occurring) - limit} more categories")
    return "\n".join(lines)


def summary_table(results: dict[str, dict]) -> str:
    """Formats one line per method: mean IoU over all, seen and unseen categories.

    Args:
        results: method -> result.
    """
    width = max(map(len, results))
    lines = [f"{'mean IoU of':{width}}     all    seen  unseen  harmonic mean"]
    for method, result in results.items():
        means = [result["metrics"][key] for key in ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")]
        cells = ["     -" if mean is None else f"{mean:6.1f}" for mean in means]
        lines.append(f"{method:{width}}  " + "  ".join(cells))
    return "\n".join(lines)


VOCABULARY = "mini_150"
BASELINES = ("cat_seg_mini", "maskclip_mini")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss demo`."""
    parser.add_argument(
        "--model", default=MINI_METHOD, metavar="METHOD", help="config (default: %(default)s)"
    )
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint (default: the config's own)",
    )
    parser.add_argument(
        "--baselines",
        nargs="*",
        default=BASELINES,
        metavar="METHOD",
        help=f"methods to evaluate on the same scenes (default: {' '.join(BASELINES)})",
    )
    parser.add_argument(
        "--out", default="outputs/demo", metavar="DIR", help="output folder (default: %(default)s)"
    )
    parser.add_argument(
        "--images", type=integer_in(1), default=6, metavar="N", help="scenes to segment"
    )
    parser.add_argument(
        "--scenes", type=integer_in(1), default=40, metavar="N", help="scenes to evaluate"
    )
    parser.add_argument(
        "--size",
        type=integer_in(1, LONGEST_SIDE),
        default=96,
        metavar="PIXELS",
        help="size of the scenes",
    )
    add_page_flags(parser)


def run(args: argparse.Namespace) -> int:
    """Draws, segments and evaluates scenes; returns 0, or the status of `ovss segment`.

    With `--web`, serves the page until it is ended.
    """
    from .main import main

    check_page_flags(args)
    if args.web:
        return run_page(args, HELD_OUT_SEED)

    start, out = time.monotonic(), Path(args.out)
    write_scenes(out / "scenes", VOCABULARY, args.images, args.size)
    command = ["segment", str(out / "scenes"), "--vocabulary", VOCABULARY, "--out", str(out)]
    command += ["--model", args.model]
    if args.weights != "default":
        command += ["--weights", args.weights]
    print(f"$ ovss {shlex.join(map(printable, command))}", flush=True)
    status = main(command)
    if status:
        return status
    print(f"\n{args.model} on {args.scenes} held-out scenes, {VOCABULARY} vocabulary:", flush=True)
    results = {args.model: score_scenes(args.model, args.weights, args.scenes, out)}
    print(score_table(results[args.model]), end="\n\n", flush=True)
    for baseline in args.baselines:
        results[baseline] = score_scenes(baseline, "default", args.scenes, out)
    print(summary_table(results))
    print(f"\nimages: {out}/*_overlay.png ({time.monotonic() - start:.0f} s in all)")
    return 0
