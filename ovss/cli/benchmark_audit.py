"""`ovss benchmark audit`: names of a vocabulary that are too close in a method's text space."""

from __future__ import annotations

import argparse

from .options import integer_in
from .values import positive_number

__all__ = ["add_audit_flags", "run_audit"]


def add_audit_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of `ovss benchmark audit`."""
    add = parser.add_argument
    add("config", metavar="METHOD", help="config name or path: dcp_clip_mini")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--on", metavar="DATASET", help="dataset whose names are audited")
    source.add_argument(
        "--words",
        metavar="NAMES",
        help="names to audit; separate categories with commas and synonyms with |",
    )
    source.add_argument(
        "--vocabulary", metavar="NAME", help="vocabulary name (see ovss list vocabularies) or file"
    )
    add(
        "--weights",
        default="default",
        metavar="FILE",
        help="checkpoint, or none for random weights (default: the config's own)",
    )
    add(
        "--temperature",
        type=positive_number,
        default=100.0,
        metavar="X",
        help="scale of cosines in the softmax, the one that the encoder learnt (default: 100, as "
        "in OpenAI's CLIP)",
    )
    add("--most", type=integer_in(1), default=20, metavar="N", help="pairs to show (default: 20)")
    add("--json", metavar="FILE", help="write pairs and synonyms as JSON")


def run_audit(args: argparse.Namespace) -> None:
    """Audits a vocabulary and prints the closest names."""
    from pathlib import Path

    from ovss.benchmark.arguments import write_json
    from ovss.benchmark.audit import audit, audit_text
    from ovss.benchmark.images import open_dataset
    from ovss.models.build import build_segmentor
    from ovss.models.configs import load_config
    from ovss.vocabularies import list_vocabularies, load_names
    from ovss.vocabularies.parsing import names_of

    config = load_config(args.config)
    if args.on:
        names = open_dataset(config, args.on, 1).names
    elif args.words is not None:
        names = names_of(args.words)
    elif args.vocabulary in list_vocabularies():
        names = load_names(args.vocabulary)
    else:
        load_names(args.vocabulary)  # names the closest vocabularies if the file does not exist
        names = names_of(Path(args.vocabulary))
    weights = None if args.weights.lower() == "none" else args.weights
    model = build_segmentor(config, weights, args.device)
    found = audit(model, tuple(names), args.temperature, args.most)
    print(audit_text(found, args.most))
    if args.json:
        write_json(args.json, {"method": args.config, **found.as_dict()})
