"""Time of inference or of a training step, methods side by side: speed.py METHOD METHOD ...

METHOD is a config's name or path; settings follow commas: cat_seg_mini,model.selector.k=8

Without --scenes: random weights, words, pictures and labels; what depends on shapes alone. With it:
trained weights, real selection, pictures of a data set.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from ovss.benchmark.arguments import by_method, labels, parse_method, random_model, write_json
from ovss.benchmark.images import data_set, samples_of, training_batches
from ovss.benchmark.speed import Case, as_dict, as_table, race
from ovss.benchmark.speed_cases import (
    Contender,
    encoder_case,
    encoder_step_case,
    picture_case,
    step_case,
)
from ovss.benchmark.stand_ins import (
    device_of,
    keep_fixed,
    keeps_by_picture,
    made_up_batch,
    made_up_names,
    made_up_picture,
    made_up_text,
    text_trains,
    training_size,
)
from ovss.models.build import build_segmentor
from ovss.models.configs import load_config


def build_parser() -> argparse.ArgumentParser:
    """Every flag, in one place."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="+", metavar="METHOD")
    add = parser.add_argument
    add("--categories", type=int, nargs="+", default=[150], help="sizes of made-up vocabularies")
    add(
        "--kept",
        nargs="+",
        metavar="N or METHOD=N",
        help="categories that a view keeps; the method's own selector runs all the same. A bare "
        "number is for every method that selects by picture; ClipTopK and KeepAll stay as they are",
    )
    add("--picture", type=int, nargs=2, metavar=("H", "W"), help="[640 640; with --step, its crop]")
    add("--step", action="store_true", help="a training step: forward and backward, no optimiser")
    add("--batch", type=int, default=1, help="pictures of a step")
    add("--given-text", action="store_true", help="--step without a text tower that trains")
    add("--scenes", type=int, metavar="N", help="so many pictures of a data set, trained weights")
    add("--vocabulary", nargs="+", default=["mini_150"], help="data sets of --scenes")
    add("--weights", nargs="+", metavar="METHOD=FILE", help="with --scenes [the config's own]")
    add("--rounds", type=int, default=3)
    add("--warm-up", type=int, default=1, help="rounds that do not count")
    add("--device", default="cpu")
    add("--json", metavar="FILE", help="every time that was taken")
    return parser


def main(argv: list[str] | None = None) -> None:
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.weights and args.scenes is None:
        parser.error("--weights goes with --scenes: without it all weights are random")
    if args.given_text and (args.scenes is not None or not args.step):
        parser.error("--given-text is for --step on made-up words")
    contenders = [contender(method, args) for method in args.methods]
    if len({one.name for one in contenders}) < len(contenders):
        parser.error(f"the same method twice: {' '.join(args.methods)}")
    cases = (made_up_cases if args.scenes is None else scene_cases)(contenders, args)
    what = "a training step, optimiser left out" if args.step else "a picture"
    race(cases, args.rounds, args.warm_up, args.device, lambda line: print(line, flush=True))
    print(f"\nseconds of {what}; {torch.get_num_threads()} threads\n{as_table(cases)}")
    if args.json:
        notes = {"what": what, **vars(args)}
        write_json(args.json, {**notes, **as_dict(cases, args.device)})


def contender(method: str, args: argparse.Namespace) -> Contender:
    """A method of the command line, ready."""
    name, settings = parse_method(method)
    label = labels(args.methods)[method]
    taking_part = list(labels(args.methods).values())
    if args.scenes is None:
        config, model = random_model(name, settings, args.device)
    else:
        config = load_config(name, settings)
        weights: str | None = by_method(args.weights, taking_part).get(label, "default")
        weights = None if weights == "none" else weights
        model = build_segmentor(config, weights, args.device)
    kept = by_method(args.kept, taking_part)
    if label in kept or ("" in kept and keeps_by_picture(model)):
        keep_fixed(model, int(kept.get(label, kept.get("", ""))))
    return Contender(label, config, model.train(args.step))


def made_up_cases(contenders: list[Contender], args: argparse.Namespace) -> list[Case]:
    """Encoders alone, then each vocabulary with each method."""
    cases = [_floor(one, args) for one in contenders]
    for count in args.categories:
        names = made_up_names(count)
        for one in contenders:
            size = _size(one, args)
            if args.step:
                trains = not args.given_text and text_trains(one.model)
                text = None if trains else made_up_text(one.model, names)
                inputs, samples = made_up_batch(one.model, names, size, args.batch)
                batch = {"inputs": inputs, "data_samples": samples}
                cases.append(step_case(one, str(count), [batch], text))
            else:
                picture = made_up_picture(size, device_of(one.model))
                words = made_up_text(one.model, names)
                cases.append(picture_case(one, str(count), words, [(picture, size)]))
    return cases


def scene_cases(contenders: list[Contender], args: argparse.Namespace) -> list[Case]:
    """The same on pictures of data sets."""
    cases = []
    for one in contenders:
        data = data_set(one.config, args.vocabulary[0], 1, args.step)
        size = tuple(data[0]["inputs"].shape[-2:])
        floor = encoder_step_case(one, size, args.batch) if args.step else None
        cases.append(floor or encoder_case(one, size, args.scenes))
    for words in args.vocabulary:
        for one in contenders:
            count = args.scenes * (args.batch if args.step else 1)
            data = data_set(one.config, words, count, args.step)
            if args.step:
                batches = training_batches(one.config, data, args.scenes, args.batch)
                batches = [_moved(batch, args.device) for batch in batches]
                cases.append(step_case(one, words, batches, None))
            else:
                text = one.model.encode_vocabulary(data.names)
                pictures = [
                    (sample["inputs"].to(args.device), sample["data_samples"].ori_shape)
                    for sample in samples_of(data, count)
                ]
                cases.append(picture_case(one, words, text, pictures))
    return cases


def _floor(one: Contender, args: argparse.Namespace) -> Case:
    size = _size(one, args)
    return encoder_step_case(one, size, args.batch) if args.step else encoder_case(one, size)


def _size(one: Contender, args: argparse.Namespace) -> tuple[int, int]:
    if args.picture:
        return args.picture[0], args.picture[1]
    return training_size(one.config) if args.step else (640, 640)


def _moved(batch: dict[str, Any], device: str) -> dict[str, Any]:
    samples = [sample.to(device) for sample in batch["data_samples"]]
    return {"inputs": batch["inputs"].to(device), "data_samples": samples}


if __name__ == "__main__":
    main()
