"""What a selector keeps and what it costs in accuracy: selection.py METHOD --thresholds 0 0.5"""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from ovss.benchmark.arguments import write_json
from ovss.benchmark.images import data_set
from ovss.benchmark.selection import Point, curve
from ovss.cli.options import KeyValues
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("config", metavar="METHOD", help="path or name, e.g. dcp_clip_mini")
    add("--weights", default="default", help="checkpoint [the config's own], or none")
    add("--thresholds", type=float, nargs="+", help="of the selector [as configured]")
    add("--on", nargs="+", metavar="DATASET", help="as ovss test takes them [the config's own]")
    add("--scenes", type=int, default=200, help="pictures of each")
    add("--device", default="cpu")
    add("--json", metavar="FILE")
    add("--cfg-options", nargs="+", action=KeyValues, help="model.selector.KEY=VALUE ...")
    args = parser.parse_args(argv)
    config = load_config(args.config, args.cfg_options)
    weights = None if args.weights.lower() == "none" else args.weights
    model = build_segmentor(config, weights, args.device)
    rows: list[dict[str, Any]] = []
    for name in args.on or [None]:
        data = data_set(config, name, args.scenes)
        words = name or "its own data"
        print(words, flush=True)
        thresholds = args.thresholds or [None]
        points = curve(config, model, data, thresholds, args.scenes, partial(print, flush=True))
        print(table(words, points), flush=True)
        rows += [{"data": words, **point.as_dict()} for point in points]
    if args.json:
        write_json(args.json, {**vars(args), "points": rows})


def table(words: str, points: list[Point]) -> str:
    """For people: kept as mean (smallest to largest), percents, seconds of the processor."""
    lines = [
        f"{words}: {len(points[0].names)} categories, {len(points[0].kept_picture)} pictures",
        f"{'threshold':<11}{'kept/view':>18}{'merged':>18}{'recall':>8}{'seen':>7}{'unseen':>7}"
        f"{'mIoU':>7}{'seen':>7}{'unseen':>7}{'hIoU':>7}{'s':>8}{'GMACs':>9}",
    ]
    for row in (point.as_dict() for point in points):
        threshold = "configured" if row["threshold"] is None else f"{row['threshold']:g}"
        percents = "".join(
            f"{'-' if value is None else format(value, '.1f'):>{8 if key == 'recall' else 7}}"
            for key, value in (
                (key, row[key])
                for key in ("recall", "recall_seen", "recall_unseen")
                + ("mIoU", "mIoU_seen", "mIoU_unseen", "hIoU")
            )
        )
        lines.append(
            f"{threshold:<11}{_spread(row['kept_per_view']):>18}"
            f"{_spread(row['kept_per_picture']):>18}{percents}"
            f"{row['seconds_per_picture']['processor']:>8.3f}{row['gmacs_per_picture']:>9.2f}"
        )
    return "\n".join(lines)


def _spread(kept: dict[str, float]) -> str:
    return f"{kept['mean']:.1f} ({kept['smallest']}..{kept['largest']})"


if __name__ == "__main__":
    main()
