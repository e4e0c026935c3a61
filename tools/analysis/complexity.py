"""Parameters and FLOPs by stage of any config, without weights: complexity.py CONFIG."""

from __future__ import annotations

import argparse
import json

from ovss.benchmark.complexity import as_table, complexity
from ovss.cli.options import KeyValues
from ovss.models.configs import load_config
from ovss.vocabularies import load_names


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path or name, e.g. cat_seg_vit-b16")
    words = parser.add_mutually_exclusive_group()
    words.add_argument("--vocabulary", default="ade20k_150", help="registered name or text file")
    words.add_argument("--categories", type=int, help="that many made-up names instead")
    parser.add_argument("--kept", type=int, help="categories that a view keeps [the selector's]")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(640, 640), metavar=("H", "W"), help="of the picture"
    )
    parser.add_argument("--json", action="store_true", help="for machines; FLOPs, not GFLOPs")
    parser.add_argument("--cfg-options", nargs="+", action=KeyValues, help="key=value ...")
    args = parser.parse_args(argv)
    names = load_names(args.vocabulary)
    if args.categories is not None:
        names = tuple(f"category {number}" for number in range(args.categories))
    config = load_config(args.config, args.cfg_options)
    cost = complexity(config, tuple(names), args.kept, tuple(args.size))
    print(json.dumps(cost.as_dict(), indent=2) if args.json else as_table(cost))


if __name__ == "__main__":
    main()
