"""Print a config with its bases resolved and overrides applied, and check that it builds.

The check covers components, arguments, datasets, transforms, hooks, metrics, optimizer, protocol
and the dimensions of the parts. The model is built without memory. Nothing is downloaded, and no
weights or images are read.

  ovss config cat_seg_mini
  ovss config my_config.py --cfg-options model.selector.k=64
"""

from __future__ import annotations

import argparse
import json

from .options import add_config_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss config`."""
    parser.add_argument(
        "config", metavar="CONFIG", help="config name (ovss list methods) or config file"
    )
    parser.add_argument("--json", action="store_true", help="print the config as one JSON object")
    add_config_options(parser)


def run(args: argparse.Namespace) -> int:
    """Prints the config, or raises if it cannot be built."""
    from ovss.models.config_text import dump_config
    from ovss.models.configs import load_config
    from ovss.training.build import register_training
    from ovss.training.validation import check_builds

    register_training()
    config = load_config(args.config, args.cfg_options)
    check_builds(config)
    if args.json:
        from ovss.io.json_text import json_text

        # twice, because only the second step knows infinity, which JSON does not have
        plain = json.loads(json.dumps(config.to_dict(), default=str))
        print(json_text(plain), end="")
    else:
        print(dump_config(config), end="")
    return 0
