"""Peak memory and time of one picture, or one training step, random weights: memory.py CONFIG."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Callable

import torch
from mmengine.config import Config

from ovss.benchmark.arguments import random_model, write_json
from ovss.benchmark.clock import Clock
from ovss.benchmark.memory import peak_memory
from ovss.benchmark.speed_cases import Contender, step_case
from ovss.benchmark.stand_ins import (
    keep_fixed,
    made_up_batch,
    made_up_names,
    made_up_picture,
    made_up_text,
    text_bytes,
    text_trains,
    training_size,
)
from ovss.cli.options import KeyValues
from ovss.segmentor import OpenVocabSegmentor
from ovss.structures import TextFeatures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("config", help="path or name, e.g. cat_seg_vit-b16")
    add("--categories", type=int, default=150)
    add("--kept", type=int, help="categories that a view keeps; the selector runs all the same")
    add("--size", type=int, nargs=2, metavar=("H", "W"), help="[640 640; with --step, its crop]")
    add("--step", action="store_true", help="a training step: forward and backward, no optimiser")
    add("--batch", type=int, default=1, help="pictures of a step")
    add("--given-text", action="store_true", help="--step without a text tower that trains")
    add("--device", default="cpu")
    add(
        "--instead",
        metavar="FILE",
        help="a Python file whose predict(model, image, text) is measured in place of the "
        "model's own way, e.g. tests/parity/plain_cat_seg.py",
    )
    add("--json", metavar="FILE")
    add("--cfg-options", nargs="+", action=KeyValues, help="key=value ...")
    args = parser.parse_args(argv)
    if args.step and args.instead:
        parser.error("--instead replaces inference: leave --step out")

    config, model = random_model(args.config, args.cfg_options, args.device)
    if args.kept is not None:
        keep_fixed(model, args.kept)
    names = made_up_names(args.categories)
    size = tuple(args.size or (training_size(config) if args.step else (640, 640)))
    text: TextFeatures | None = None
    if not args.step:
        text = made_up_text(model, names)
        call = picture_of(model, text, size, args)
    else:
        if args.given_text or not text_trains(model):
            text = made_up_text(model, names)
        call = step_of(model, config, text, names, size, args)
    peak = peak_memory(call, args.device)
    held = 0 if text is None else text_bytes(text)
    print(peak)
    print(
        f"text features: {held / 2**20:,.1f} MiB of what was held before, for {len(names)} words"
        if text is not None
        else "text features are made in the step, inside the peak: the text tower trains"
    )
    if args.json:
        figures = {"before": peak.before, "above": peak.above, "text_features": held}
        seconds = {"wall": peak.seconds, "processor": peak.cpu_seconds}
        write_json(args.json, {**vars(args), "bytes": figures, "seconds": seconds})


def picture_of(
    model: OpenVocabSegmentor, text: TextFeatures, size: tuple, args: argparse.Namespace
) -> Callable[[], object]:
    """Segments a picture."""
    image_3HW = made_up_picture(size, args.device)
    predict = runpy.run_path(args.instead)["predict"] if args.instead else None

    @torch.inference_mode()
    def run() -> object:
        if predict is not None:
            return predict(model, image_3HW, text)
        return model.label_map(model.scores(image_3HW, text), size)

    return run


def step_of(
    model: OpenVocabSegmentor,
    config: Config,
    text: TextFeatures | None,
    names: tuple[str, ...],
    size: tuple,
    args: argparse.Namespace,
) -> Callable[[], object]:
    """Trains a step."""
    inputs, samples = made_up_batch(model.train(), names, size, args.batch)
    batch = {"inputs": inputs, "data_samples": samples}
    step = step_case(Contender(args.config, config, model), str(len(names)), [batch], text)
    clock = Clock(torch.device(args.device))
    return lambda: step.run(clock)


if __name__ == "__main__":
    main()
