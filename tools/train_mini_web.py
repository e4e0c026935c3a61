"""Trains mini_web, a CLIP of the mini world that is trained as CLIP is, on one CPU core.

    python tools/train_mini_web.py --work-dir work_dirs/mini_web
    python tools/train_mini_web.py --work-dir work_dirs/mini_web --resume --export FILE
    python tools/train_mini_web.py --work-dir work_dirs/mini_web --resume --stop-at 0 --export FILE

The last command writes the weights of the last checkpoint without further training. Only the pooled
embedding of whole scenes is trained, against their captions and against captions that are wrong by
one detail. Neither patches nor masks nor attributes have a loss, so the patches are as poor as
those of a CLIP from the web. All random numbers are determined by (seed, step), so a resumed run
repeats the curve of an uninterrupted one. docs/mini_world.md has the results.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parent))
from clip_training import runs
from clip_training.loop import add_flags, fit
from clip_training.measures import dense_iou, main_object_naming
from clip_training.model import (
    build_model,
    embed_some_patches,
    encode_pooled,
    encode_text,
    normalise,
    place_positions,
)
from clip_training.web_batches import CaptionedBatches, patch_index
from clip_training.web_schedule import SIZE, images_per_step, is_small, progress_of


def losses(
    model: nn.Module, batch: dict[str, Tensor], step: int, args: argparse.Namespace
) -> dict[str, Tensor]:
    """Terms of the loss: between all images and captions of a batch, and within each image.

    ``own`` compares the true captions of an image with the wrong captions of the same image only.
    Without it the details that tell them apart drown in the captions of other images. ``text``
    compares a caption, written a second time in other words, with all captions. It makes the text
    encoder tell shapes apart before the images do, without which neither side gets a gradient.
    """
    images = len(batch["image"])
    index_BM, place_BM = patch_index(args.seed, step, images, progress_of(step, args.steps))
    with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
        tokens = embed_some_patches(model.visual, normalise(batch["image"]), index_BM, place_BM)
        image = F.normalize(encode_pooled(model.visual, tokens), dim=-1)
        text, again = (encode_text(model, batch[key]) for key in ("tokens", "again"))
    scale, positive_BN = model.logit_scale.exp(), batch["positive"]
    logits_BN = scale * image @ text.T
    true = positive_BN.any(0)
    own_BN = batch["owner"] == torch.arange(images)[:, None]
    return {
        "captions": runs.match(logits_BN, positive_BN),
        "images": runs.match(logits_BN.T[true], positive_BN.T[true]),
        "own": runs.match(logits_BN, own_BN & positive_BN, own_BN & ~positive_BN),
        "text": runs.match(scale * again @ text.T, batch["same"]),
    }


def measures(model: nn.Module, count: int) -> dict[str, dict[str, float]]:
    """Naming of objects, and quality of the patches on 150 categories.

    ``single`` is naming in scenes of one object, ``main`` where the largest of one to four has at
    least twice the visible pixels of the next, ``largest`` in all scenes of one to four.
    """
    model.eval()
    (single,) = main_object_naming(model, SIZE, count, (1, 1))
    largest, main = main_object_naming(model, SIZE, count, (1, 4), leads=(1, 2))
    found = {
        "single": single,
        "main": main,
        "largest": largest,
        "miou": dense_iou(model, "mini_150", SIZE, count, (1, 4)),
    }
    model.train()
    return found


def learn(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], step: int,
    args: argparse.Namespace,
) -> dict[str, float]:  # fmt: skip
    """Runs one training step and returns its losses and the scale of the logits."""
    parts = losses(model, batch, step, args)
    loss = 0.5 * (parts["captions"] + parts["images"]) + parts["own"]
    progress = progress_of(step, args.steps)
    loss = loss + (1.0 if is_small(progress) else 0.2) * parts["text"]
    rate = runs.learning_rate(step, progress, args.lr, args.warmup)
    runs.descend(model, optimizer, loss, step, rate)
    values = {"loss": round(loss.item(), 5)} | {k: round(v.item(), 4) for k, v in parts.items()}
    return values | {"scale": round(model.logit_scale.exp().item(), 2)}


# On a CPU, fused attention is slower than plain matrix products for so few tokens.
@sdpa_kernel(SDPBackend.MATH)
def train(args: argparse.Namespace) -> nn.Module:
    """Trains from the start or the last checkpoint to the end of the schedule or ``stop_at``."""
    torch.manual_seed(args.seed)
    model = build_model("mini_web")
    place_positions(model)
    optimizer = runs.build_optimizer(model, None, args.lr)
    last, samples = fit(
        args,
        {"model": model, "optimizer": optimizer},
        CaptionedBatches(args.seed, args.batch, args.steps, args.captions, args.wrong),
        lambda batch, step: learn(model, optimizer, batch, step, args),
        lambda step: images_per_step(step, args.steps, args.batch),
        lambda: measures(model, args.test_count),
    )
    if args.export:
        details = {"model": "mini_web", "seed": args.seed, "steps": last}
        details |= {"samples": samples, **measures(model, args.export_count)}
        runs.export(model, args.export, details)
    return model


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_flags(parser, "work_dirs/mini_web", steps=6500, test_count=150, save_every=125)
    add = parser.add_argument
    add("--batch", type=int, default=128, help="images per step while most patches are left out")
    add("--captions", type=int, default=3, help="true captions of an image")
    add("--wrong", type=int, default=6, help="captions of an image that are wrong by one detail")
    add("--export-count", type=int, default=500, help="images in each test before the export")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
