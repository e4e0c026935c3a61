"""Save a method with its weights as a folder that needs no other file, and push it to the hub.

The folder holds config.json, model.safetensors and README.md, the model card. Load it with
`ovss segment --model FOLDER` or Inferencer.from_pretrained(FOLDER).

ovss save cat_seg_vit-b16 my_model --weights trained.safetensors --license mit --result r.json
ovss save my_model --push-to me/my-model      push a folder that is saved already
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .options import add_config_options

if TYPE_CHECKING:
    from ovss.api.inferencer import Inferencer
    from ovss.hub.records import ModelFacts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss save`."""
    parser.add_argument(
        "model", metavar="MODEL", help="config name or file, or the folder of a saved model"
    )
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", help="folder to create; none to push MODEL as it is"
    )
    parser.add_argument(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint (default: the one that the config names)",
    )
    parser.add_argument(
        "--pretrained",
        metavar="FILE",
        help="weights of the encoder: a file or an open_clip tag (default: the config's)",
    )
    parser.add_argument(
        "--half", action="store_true", help="write float16, half of the size; changes rounding"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace FOLDER if it holds a saved model"
    )
    add_config_options(parser)
    card = parser.add_argument_group("model card")
    card.add_argument("--license", metavar="NAME", help="licence of the weights, such as mit")
    card.add_argument(
        "--result", nargs="+", default=[], metavar="FILE", help="results of `ovss test --out`"
    )
    card.add_argument("--training", metavar="TEXT", help="training data, as a sentence")
    card.add_argument("--limits", metavar="TEXT", help="known limits, as sentences")
    hub = parser.add_argument_group("Hugging Face hub")
    hub.add_argument(
        "--push-to", metavar="REPO", help="repository to push the folder to, such as me/my-model"
    )
    hub.add_argument("--private", action="store_true", help="create a private repository")
    hub.add_argument("--revision", metavar="NAME", help="branch to push to (default: main)")


def run(args: argparse.Namespace) -> int:
    """Saves the model, pushes it if requested, and returns 0.

    Raises:
        FileExistsError: the folder exists and may not be replaced.
        SavedModelError: the model cannot be saved, or the hub refuses it.
        ResultError: a result cannot be read, or belongs to other weights.
        ValueError: flags that contradict each other.
    """
    if args.folder is None and args.push_to is None:
        raise ValueError("Expected a folder to create. Name it after the model, or use --push-to")
    if args.push_to is None and (args.private or args.revision):
        raise ValueError("--private and --revision need --push-to. Give it, or leave them out")
    if args.folder is not None:
        _save(args)
    if args.push_to is not None:
        from ovss.hub.upload import push_model

        address = push_model(
            args.folder or args.model, args.push_to, private=args.private, revision=args.revision
        )
        print(f"pushed to {address}")
    return 0


def _save(args: argparse.Namespace) -> None:
    from ovss.hub.saving import check_target
    from ovss.results.result_file import read_result

    check_target(Path(args.folder), args.force)
    results = [(str(path), read_result(path)) for path in args.result]

    from ovss.api.inferencer import Inferencer
    from ovss.models.plugins import load_plugins
    from ovss.results.facts import metric_of_result

    load_plugins()
    inferencer = Inferencer(
        args.model,
        weights=None if args.weights.lower() == "none" else args.weights,
        pretrained=args.pretrained,
        device="cpu",
        overrides=dict(args.cfg_options),
    )
    metrics = tuple(
        metric_of_result(each, inferencer.model, inferencer.name, path) for path, each in results
    )
    facts = _facts(args, inferencer)
    description = inferencer.save_pretrained(
        args.folder,
        facts=replace(facts, metrics=metrics or facts.metrics),
        half=args.half,
        overwrite=args.force,
    )
    weights = description.weights
    print(f"wrote {args.folder}: {weights['parameters']:,} parameters, SHA-256 {weights['sha256']}")
    if not facts.license:
        print("The model card states no licence. Give one with --license, such as mit")


def _facts(args: argparse.Namespace, inferencer: Inferencer) -> ModelFacts:
    from ovss.models.configs import list_configs
    from ovss.results.facts import links_of_config, recorded_metric

    facts = inferencer.facts()
    path = list_configs().get(args.model)
    if path is not None:
        facts = replace(facts, links=links_of_config(path))
    if path is not None and not args.cfg_options:
        recorded = recorded_metric(inferencer.name, inferencer.model)
        facts = replace(facts, metrics=() if recorded is None else (recorded,))
    given = {"license": args.license, "training": args.training, "limits": args.limits}
    return replace(facts, **{key: value for key, value in given.items() if value is not None})
