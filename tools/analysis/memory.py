"""Peak memory and time of segmenting one picture, random weights: memory.py CONFIG."""

from __future__ import annotations

import argparse
import runpy

import torch
from mmengine.config import DictAction

from ovss.benchmark.memory import peak_memory
from ovss.models import build_segmentor, load_config
from ovss.structures import TextFeatures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="path or name, e.g. cat_seg_vit-b16")
    parser.add_argument("--categories", type=int, default=150)
    parser.add_argument("--size", type=int, nargs=2, default=(640, 640), metavar=("H", "W"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        "--instead",
        metavar="FILE",
        help="a Python file whose predict(model, image, text) is measured in place of the "
        "model's own way, e.g. tests/parity/plain_cat_seg.py",
    )
    parser.add_argument("--cfg-options", nargs="+", action=DictAction, help="key=value ...")
    args = parser.parse_args(argv)

    overrides = {"model.encoder.pretrained": None, **(args.cfg_options or {})}
    torch.manual_seed(0)
    config = load_config(args.config, overrides)
    model = build_segmentor(config, weights=None, device=args.device)
    size = (args.size[0], args.size[1])
    image_3HW = (torch.rand(3, *size) * 255).to(torch.uint8).to(args.device)
    prompts = len(model.vocabulary(("word",)).templates)
    embeds_TPC = torch.randn(args.categories, prompts, model.encoder.joint_dim, device=args.device)
    text = TextFeatures(torch.nn.functional.normalize(embeds_TPC, dim=-1))

    @torch.inference_mode()
    def run() -> object:
        if args.instead is not None:
            return predict(model, image_3HW, text)
        return model.label_map(model.scores(image_3HW, text), size)

    predict = None if args.instead is None else runpy.run_path(args.instead)["predict"]
    print(peak_memory(run, args.device))


if __name__ == "__main__":
    main()
