"""Trains the mini CLIP on the captioned images of the mini world, on one CPU core in about an hour.

    python tools/train_mini_clip.py --work-dir work_dirs/mini_clip
    python tools/train_mini_clip.py --work-dir work_dirs/mini_clip --resume --export FILE

Training is contrastive. Shape is the hardest attribute to learn and needs three additions: the
phrases of all categories as negatives in every step, an auxiliary loss on the attributes whose
heads are discarded at the end, and a curriculum from large upright objects on ground of low
contrast to the full difficulty. Patch tokens are trained to agree with the captions as well,
through their best match in the image. Masks are never used. All random numbers are determined by
(seed, step), so a resumed run repeats the curve of an uninterrupted one.
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parent))
from clip_training import runs
from clip_training.loop import add_flags, fit
from clip_training.model import (
    build_model,
    encode_image,
    encode_text,
    normalise,
    place_positions,
)
from clip_training.phrase_batches import OBJECTS, PHRASES, SIZE, PhraseBatches, images_per_step
from clip_training.prompts import COMMON, TEMPLATES, tokenise
from clip_training.runs import match

from ovss import mini_world
from ovss.mini_world import COLOURS, SHAPES, STUFF, SURFACES, MiniWorld

HELD_OUT_SEED = 1_000_003


@lru_cache(maxsize=1)
def prompt_tokens() -> Tensor:
    """Token ids of all prompts, (templates, phrases, longest prompt)."""
    tokens = tokenise([template.format(name) for template in TEMPLATES for name in PHRASES])
    return tokens.unflatten(0, (len(TEMPLATES), len(PHRASES)))


# ----------------------------------------------------------------------------------------- model


def build_heads(width: int) -> nn.ModuleDict:
    """Builds the auxiliary heads, one for each attribute."""
    counts = {"surface": SURFACES, "colour": COLOURS, "shape": SHAPES, "stuff": STUFF}
    return nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in counts.items()})


# ---------------------------------------------------------------------------------------- losses


def draw_templates(seed: int, step: int) -> Tensor:
    """Template index of each phrase; half of the draws are from the common templates."""
    rng = np.random.default_rng((seed, step, 7))
    common = rng.random(len(PHRASES)) < 0.5
    picks = np.where(common, rng.integers(COMMON, size=len(PHRASES)),
                     rng.integers(len(TEMPLATES), size=len(PHRASES)))  # fmt: skip
    return torch.from_numpy(picks)


def losses(
    model: nn.Module, heads: nn.ModuleDict, batch: dict[str, Tensor], args: argparse.Namespace,
    step: int,
) -> dict[str, Tensor]:  # fmt: skip
    """Terms of the loss of one step, before their weights."""
    tokens = prompt_tokens()[draw_templates(args.seed, step), torch.arange(len(PHRASES))]
    tokens = tokens[:, : int((tokens != 0).sum(1).max())]
    with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
        pooled, dense = encode_image(model, normalise(batch["image"]), own=step % 2 == 0)
        phrase, caption = encode_text(model, tokens), encode_text(model, batch["caption"])
    image = F.normalize(pooled, dim=-1)
    scale = model.logit_scale.exp()
    logits, positive = scale * image @ phrase.T, batch["phrase"]
    present = positive.any(0)
    pairs, same = scale * image @ caption.T, torch.arange(len(image))
    with torch.autocast("cpu", torch.bfloat16, enabled=not args.float32):
        local = 15 * dense @ phrase.T
    best = local.float().exp().mean(1).log() / 15  # soft maximum over the patches
    attributes = {name: match(head(pooled), batch[name]) for name, head in heads.items()}
    return {
        "phrase": match(logits, positive),
        "image": match(logits.T[present], positive.T[present]),
        "caption": 0.5 * (F.cross_entropy(pairs, same) + F.cross_entropy(pairs.T, same)),
        "dense": match(scale * best, positive),
        "shape": attributes.pop("shape"),
        "others": sum(attributes.values()) / 3,
    }


def weights(progress: float, args: argparse.Namespace) -> dict[str, float]:
    """Weights of the loss terms; the attribute heads dominate the first tenth of the run."""
    lead = min(1.0, max(0.0, 2.0 - progress / 0.1))
    return {
        "phrase": 1.0,
        "image": 0.3,
        "caption": 0.3,
        "dense": args.dense_weight,
        "shape": 0.2 + 1.8 * lead,
        "others": 0.2 + 0.8 * lead,
    }


# -------------------------------------------------------------------------------------- measures


@torch.no_grad()
def zero_shot(model: nn.Module, count: int, template: str = "a photo of a {}.") -> dict[str, float]:
    """Top-1 accuracy on held-out single-object images: over all categories and by attribute."""
    world = MiniWorld("web", size=SIZE, seed=HELD_OUT_SEED, length=count, objects=(1, 1))
    scenes = [world[index] for index in range(count)]
    images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
    text = encode_text(model, tokenise([template.format(name) for name in OBJECTS]))
    image = torch.cat([model.encode_image(normalise(part)) for part in images.split(100)])
    guess = [mini_world.attributes_of(OBJECTS[i]) for i in (image @ text.T).argmax(1)]
    truth = [scene.objects[0].attributes for scene in scenes]
    hits = np.array([[g == t, *(a == b for a, b in zip(g, t))] for g, t in zip(guess, truth)])
    return dict(zip(("top1", "surface", "colour", "shape"), hits.mean(0).round(4).tolist()))


# -------------------------------------------------------------------------------------- training


def learn(
    model: nn.Module, heads: nn.ModuleDict, optimizer: torch.optim.Optimizer,
    batch: dict[str, Tensor], step: int, args: argparse.Namespace,
) -> dict[str, float]:  # fmt: skip
    """Runs one training step and returns its losses and the scale of the logits."""
    parts = losses(model, heads, batch, args, step)
    weight = weights(step / args.steps, args)
    loss = sum(weight[name] * value for name, value in parts.items())
    rate = runs.learning_rate(step, step / args.steps, args.lr, args.warmup)
    runs.descend(model, optimizer, loss, step, rate)
    values = {"loss": round(loss.item(), 5)} | {k: round(v.item(), 4) for k, v in parts.items()}
    return values | {"scale": round(model.logit_scale.exp().item(), 2)}


# With 65 tokens on a CPU, fused attention is slower than plain matrix products.
@sdpa_kernel(SDPBackend.MATH)
def train(args: argparse.Namespace) -> nn.Module:
    """Trains from the start or the last checkpoint to the end of the schedule or ``stop_at``."""
    torch.manual_seed(args.seed)
    model = build_model("mini_clip")
    place_positions(model)
    heads = build_heads(model.visual.output_dim)
    optimizer = runs.build_optimizer(model, heads, args.lr)
    last, samples = fit(
        args,
        {"model": model, "heads": heads, "optimizer": optimizer},
        PhraseBatches(args.seed, args.batch, args.steps),
        lambda batch, step: learn(model, heads, optimizer, batch, step, args),
        lambda step: images_per_step(step, args.steps, args.batch),
        lambda: {"zero_shot": zero_shot(model, args.test_count)},
    )
    if args.export:
        details = {"model": "mini_clip", "seed": args.seed, "steps": last}
        details |= {
            "samples": samples,
            "zero_shot": zero_shot(model, args.export_count),
        }
        runs.export(model, args.export, details)
    return model


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_flags(parser, "work_dirs/mini_clip", steps=4800, test_count=400, save_every=250)
    add = parser.add_argument
    add("--batch", type=int, default=128, help="images per step")
    add("--dense-weight", type=float, default=0.5, help="weight of the loss on patch tokens")
    add("--export-count", type=int, default=2000, help="images in the test before the export")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
