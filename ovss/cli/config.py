"""Print a config with its bases resolved and overrides applied, and check that it builds.

Nothing is downloaded and no weights or images are read: what a config names is looked up, and the
model is built without memory. Components, arguments, datasets, transforms, hooks, metrics,
optimizer, protocol and the dimensions of the parts are checked.

  ovss config cat_seg_mini
  ovss config my_config.py --cfg-options model.selector.k=64
"""

from __future__ import annotations

import argparse
import json

from .options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", metavar="CONFIG", help="name or path of a config")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the config; a config that cannot be built raises."""
    from ovss.models.configs import load_config
    from ovss.results.config_text import dump_config
    from ovss.training.build import register_training
    from ovss.training.validation import check_builds

    register_training()
    config = load_config(args.config, args.cfg_options)
    check_builds(config)
    if args.json:
        print(json.dumps(config.to_dict(), indent=2, default=str, ensure_ascii=False))
    else:
        print(dump_config(config), end="")
    return 0
