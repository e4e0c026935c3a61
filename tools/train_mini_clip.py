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
import json
import math
import os
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from ovss import mini_world
from ovss.io.files import write_atomic
from ovss.mini_world import COLOURS, SHAPES, STUFF, SURFACES, MiniWorld

MODEL_CONFIG = Path(__file__).parents[1] / "ovss" / "encoders" / "mini_clip.json"
SIZE, LARGE = 64, 96
HELD_OUT_SEED = 1_000_003
OBJECTS = mini_world.object_names()
PHRASES = OBJECTS + STUFF
TEMPLATES = (
    "{}",
    "a {}",
    "a photo of a {}.",
    "A photo of a {} in the scene",
    "a photo of {}.",
    "a picture of a {}",
    "an image of the {}",
    "there is a {} in the scene.",
    *(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES),
)
_COMMON = 8  # number of templates before those of ImageNet; half of all draws use one of them
_MIN_PIXELS = 30  # objects with fewer visible pixels do not count as shown


def build_model() -> nn.Module:
    """Builds the untrained mini CLIP with open_clip from the model config of this project."""
    open_clip.add_model_config(MODEL_CONFIG.parent)
    return open_clip.create_model("mini_clip", precision="fp32", device="cpu")


def place_positions(model: nn.Module) -> None:
    """Initialises the position embedding as waves over the grid, as strong as the patches.

    open_clip initialises it with noise of a tenth of that strength. Shape cannot be recognised
    without positions, so a stronger signal helps.
    """
    embedding = model.visual.positional_embedding
    side, quarter = model.visual.grid_size[0], embedding.shape[1] // 4
    frequency = math.pi * torch.logspace(0, 1, quarter) / (2 * side)
    angle = torch.arange(side)[:, None] * frequency
    wave = torch.cat((angle.sin(), angle.cos()), 1)
    grid = torch.cat((wave[:, None].expand(-1, side, -1), wave.expand(side, -1, -1)), -1)
    with torch.no_grad():
        embedding[1:] = 0.5 * grid.flatten(0, 1)


@lru_cache(maxsize=1)
def prompt_tokens() -> Tensor:
    """Token ids of all prompts, (templates, phrases, longest prompt)."""
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    rows = [tokenizer([t.format(p) for p in PHRASES]) for t in TEMPLATES]
    tokens = torch.stack(rows)
    return tokens[..., : int((tokens != 0).sum(-1).max())].contiguous()


def normalise(image_B3HW: Tensor) -> Tensor:
    """Normalises uint8 images with the mean and standard deviation of CLIP."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (image_B3HW.float() / 255 - mean) / std


# ------------------------------------------------------------------------------------------ data


def is_large(step: int, steps: int) -> bool:
    """Checks whether a step uses larger images, as every third does after 30 % of the run."""
    return step / steps >= 0.3 and step % 3 == 2


def images_per_step(step: int, steps: int, batch: int) -> int:
    """Number of images in a step; fewer if they are larger, so that a step takes equally long."""
    return batch * 3 // 8 if is_large(step, steps) else batch


class Batches(Dataset):
    """Batches of a run by step, each a pure function of the seed, the step and the run length."""

    def __init__(self, seed: int, batch: int, steps: int) -> None:
        self.seed, self.batch, self.steps = seed, batch, steps
        self.tokenizer = open_clip.SimpleTokenizer(context_length=77)

    def __len__(self) -> int:
        return self.steps

    @staticmethod
    @lru_cache(maxsize=8)
    def _world(seed: int, length: int, size: int, level: int, single: bool) -> MiniWorld:
        objects = (1, 1) if single else None
        return MiniWorld("web", size=size, seed=seed, length=length, objects=objects,
                         difficulty=level / 20)  # fmt: skip

    def _scenes(self, step: int) -> list[mini_world.Scene]:
        """Scenes of a step: first single objects, later several, and sometimes larger images."""
        progress, length = step / self.steps, self.steps * self.batch
        # difficulty in twentieths, so that few different worlds are built and cached
        level = min(20, max(0, int(21 * (progress - 0.03) / 0.22)))
        large, count = is_large(step, self.steps), images_per_step(step, self.steps, self.batch)
        singles = 0 if large else self.batch if progress < 0.08 else int(0.4 * self.batch)
        return [
            self._world(self.seed, length, LARGE if large else SIZE, level, slot < singles)[
                step * self.batch + slot
            ]
            for slot in range(count)
        ]

    def __getitem__(self, step: int) -> dict[str, Tensor]:
        scenes = self._scenes(step)
        images = np.stack([scene.image for scene in scenes]).transpose(0, 3, 1, 2)
        tokens = self.tokenizer([scene.caption for scene in scenes])
        return {
            "image": torch.from_numpy(np.ascontiguousarray(images)),
            "caption": tokens[:, : int((tokens != 0).sum(1).max())].contiguous(),
            **_targets(scenes),
        }


def _targets(scenes: list[mini_world.Scene]) -> dict[str, Tensor]:
    """Phrases and attribute values that each image shows, as boolean tables (B, n)."""
    index = {name: position for position, name in enumerate(PHRASES)}
    table = {key: torch.zeros(len(scenes), n, dtype=torch.bool) for key, n in (
        ('phrase', len(PHRASES)), ('surface', len(SURFACES)), ('colour', len(COLOURS)),
        ('shape', len(SHAPES)), ('stuff', len(STUFF)))}  # fmt: skip
    for row, scene in enumerate(scenes):
        for name in scene.stuff:
            table["phrase"][row, index[name]] = True
            table["stuff"][row, STUFF.index(name)] = True
        for item in scene.objects:
            if item.pixels >= _MIN_PIXELS:
                table["phrase"][row, index[item.category]] = True
                table["surface"][row, SURFACES.index(item.attributes.surface)] = True
                table["colour"][row, COLOURS.index(item.attributes.colour)] = True
                table["shape"][row, SHAPES.index(item.attributes.shape)] = True
    return table


def loader(args: argparse.Namespace, first: int) -> Iterator[dict[str, Tensor]]:
    """Iterates over the batches from step `first` to the end of the run."""
    batches = Batches(args.seed, args.batch, args.steps)

    def pin(_: int) -> None:
        torch.set_num_threads(1)
        if args.worker_core is not None:
            os.sched_setaffinity(0, {args.worker_core})

    return iter(DataLoader(batches, batch_size=None, sampler=range(first, args.steps),
                           num_workers=args.workers, worker_init_fn=pin,
                           prefetch_factor=4 if args.workers else None))  # fmt: skip


# ----------------------------------------------------------------------------------------- model


def encode_text(model: nn.Module, tokens_NL: Tensor) -> Tensor:
    """Unit-length text embeddings (N, C).

    Running only the first L tokens is exact, because the attention is causal.
    """
    length = tokens_NL.shape[1]
    x = model.token_embedding(tokens_NL) + model.positional_embedding[:length]
    x = model.transformer(x, attn_mask=model.attn_mask[:length, :length])
    x = model.ln_final(x)[torch.arange(len(x)), tokens_NL.argmax(-1)] @ model.text_projection
    return F.normalize(x.float(), dim=-1)


def embed_patches(visual: nn.Module, image_B3HW: Tensor) -> Tensor:
    """Tokens (B, 1 + N, D) before the first block, with positions resized to the image's grid."""
    x_BDhw = visual.conv1(image_B3HW)
    positions = visual.positional_embedding
    if x_BDhw.shape[-2:] != visual.grid_size:
        grid = positions[1:].T.unflatten(1, visual.grid_size)[None]
        grid = F.interpolate(grid, x_BDhw.shape[-2:], mode="bicubic", align_corners=False)
        positions = torch.cat((positions[:1], grid[0].flatten(1).T))
    first = visual.class_embedding.expand(len(x_BDhw), 1, -1).to(x_BDhw.dtype)
    x = torch.cat((first, x_BDhw.flatten(2).transpose(1, 2)), 1)
    return visual.ln_pre(x + positions.to(x.dtype))


def encode_image(model: nn.Module, image_B3HW: Tensor, own: bool) -> tuple[Tensor, Tensor]:
    """Pooled embeddings (B, C), not normalised, and unit-length dense embeddings (B, N, C).

    In the last block, the class token uses the attention. The patches use its value path instead,
    as dense methods do (MaskCLIP).

    Args:
        model: the mini CLIP.
        image_B3HW: normalised images.
        own: adds the value path to the patch's own residual; if False, to the residual of the
            class token, as CAT-Seg does.
    """
    visual = model.visual
    *blocks, block = visual.transformer.resblocks
    x = embed_patches(visual, image_B3HW)
    for earlier in blocks:
        x = earlier(x)
    y, attn = block.ln_1(x), block.attn
    q_w, kv_w = attn.in_proj_weight.split((x.shape[2], 2 * x.shape[2]))
    q_b, kv_b = attn.in_proj_bias.split((x.shape[2], 2 * x.shape[2]))
    k, v = F.linear(y, kv_w, kv_b).chunk(2, -1)
    q, *kv = (
        t.unflatten(-1, (attn.num_heads, -1)).transpose(1, 2)
        for t in (F.linear(y[:, :1], q_w, q_b), k, v)
    )
    # only the class token needs a query; for a patch, the value itself replaces the attention
    pooled = F.scaled_dot_product_attention(q, *kv).transpose(1, 2).flatten(2)
    mixed = torch.cat((pooled, v[:, 1:]), 1)
    residual = x if own else x[:, :1]
    x = residual + attn.out_proj(mixed)
    x = x + block.mlp(block.ln_2(x))
    x = (visual.ln_post(x) @ visual.proj).float()
    return x[:, 0], F.normalize(x[:, 1:], dim=-1)


def build_heads(width: int) -> nn.ModuleDict:
    """Builds the auxiliary heads, one for each attribute."""
    counts = {"surface": SURFACES, "colour": COLOURS, "shape": SHAPES, "stuff": STUFF}
    return nn.ModuleDict({name: nn.Linear(width, len(values)) for name, values in counts.items()})


# ---------------------------------------------------------------------------------------- losses


def match(logits_MN: Tensor, positive_MN: Tensor) -> Tensor:
    """Contrastive loss: mean over the positives of -log softmax against the negatives of the row.

    Other positives of the row are left out of the softmax, because an image shows several.
    """
    negative = logits_MN.masked_fill(positive_MN, -1e4).logsumexp(1, keepdim=True)
    cost = F.softplus(negative - logits_MN) * positive_MN
    return cost.sum() / positive_MN.sum().clamp(min=1)


def draw_templates(seed: int, step: int) -> Tensor:
    """Template index of each phrase; half of the draws are from the common templates."""
    rng = np.random.default_rng((seed, step, 7))
    common = rng.random(len(PHRASES)) < 0.5
    picks = np.where(common, rng.integers(_COMMON, size=len(PHRASES)),
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
    tokens = open_clip.SimpleTokenizer(context_length=77)([template.format(p) for p in OBJECTS])
    text = encode_text(model, tokens[:, : int((tokens != 0).sum(1).max())])
    image = torch.cat([model.encode_image(normalise(part)) for part in images.split(100)])
    guess = [mini_world.attributes_of(OBJECTS[i]) for i in (image @ text.T).argmax(1)]
    truth = [scene.objects[0].attributes for scene in scenes]
    hits = np.array([[g == t, *(a == b for a, b in zip(g, t))] for g, t in zip(guess, truth)])
    return dict(zip(("top1", "surface", "colour", "shape"), hits.mean(0).round(4).tolist()))


# -------------------------------------------------------------------------------------- training


def build_optimizer(model: nn.Module, heads: nn.ModuleDict, lr: float) -> torch.optim.AdamW:
    """Builds AdamW with weight decay on matrices only.

    Embeddings are excluded, because decay would shrink those of unused tokens to zero.
    """
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": [*others, *heads.parameters()], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-8, fused=True)


def learning_rate(step: int, args: argparse.Namespace) -> float:
    """Learning rate of a step: linear warmup, then a cosine that ends at 1 % of its peak."""
    warm = min(1.0, (step + 1) / args.warmup)
    return args.lr * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * step / args.steps)))


def save(path: Path, step: int, **parts: nn.Module | torch.optim.Optimizer) -> None:
    """Writes a checkpoint with the step and the state of each part."""
    state = {name: part.state_dict() for name, part in parts.items()} | {"step": step}
    write_atomic(path, lambda file: torch.save(state, file))


def samples(done: int, args: argparse.Namespace) -> int:
    """Number of images used in the first `done` steps."""
    return sum(images_per_step(step, args.steps, args.batch) for step in range(done))


def export(model: nn.Module, path: Path, step: int, args: argparse.Namespace, count: int) -> None:
    """Writes float16 weights that open_clip can load, with details of the training as metadata."""
    state = {k: v.detach().half().contiguous().clone() for k, v in model.state_dict().items()}
    metadata = {'model': 'mini_clip', 'seed': args.seed, 'steps': step,
                'samples': samples(step, args), 'zero_shot': zero_shot(model, count)}  # fmt: skip
    text = {key: v if isinstance(v, str) else json.dumps(v) for key, v in metadata.items()}
    write_atomic(path, lambda file: save_file(state, file.name, metadata=text))
    print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB): {text}", flush=True)


def restore(path: Path, **parts: nn.Module | torch.optim.Optimizer) -> int:
    """Loads a checkpoint written by `save` and returns the step to continue from."""
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


def log(args: argparse.Namespace, record: dict) -> None:
    """Prints a record and appends it to ``log.jsonl``."""
    line = json.dumps(record)
    print(line, flush=True)
    with (args.work_dir / "log.jsonl").open("a") as stream:
        stream.write(line + "\n")


def learn(
    model: nn.Module, heads: nn.ModuleDict, optimizer: torch.optim.Optimizer,
    batch: dict[str, Tensor], step: int, args: argparse.Namespace,
) -> dict[str, float]:  # fmt: skip
    """Runs one training step and returns its losses."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, args)
    parts = losses(model, heads, batch, args, step)
    weight = weights(step / args.steps, args)
    loss = sum(weight[name] * value for name, value in parts.items())
    if not math.isfinite(loss.item()):
        raise FloatingPointError(
            f"expected a finite loss at step {step}, got {loss.item()}. Lower --lr, or continue "
            f"from the last checkpoint with --resume."
        )
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))
    return {"loss": round(loss.item(), 5)} | {k: round(v.item(), 4) for k, v in parts.items()}


# With 65 tokens on a CPU, fused attention is slower than plain matrix products.
@sdpa_kernel(SDPBackend.MATH)
def train(args: argparse.Namespace) -> nn.Module:
    """Trains from the start or the last checkpoint to the end of the schedule or ``stop_at``."""
    torch.manual_seed(args.seed)
    model = build_model()
    place_positions(model)
    heads = build_heads(model.visual.output_dim)
    optimizer = build_optimizer(model, heads, args.lr)
    args.work_dir.mkdir(parents=True, exist_ok=True)
    checkpoint, first = args.work_dir / "last.pt", 0
    if args.resume and checkpoint.exists():
        first = restore(checkpoint, model=model, heads=heads, optimizer=optimizer)
    last = max(first, args.steps if args.stop_at is None else min(args.steps, args.stop_at))
    started, batches = time.time(), loader(args, first)
    for step in range(first, last):
        values, done = learn(model, heads, optimizer, next(batches), step, args), step + 1
        if done % args.log_every == 0 or done == last:
            speed = (samples(done, args) - samples(first, args)) / (time.time() - started)
            record = {"step": done, "samples": samples(done, args), **values}
            record |= {"scale": round(model.logit_scale.exp().item(), 2), "per_s": round(speed, 1)}
            if done % args.test_every == 0 or done == last:
                record["zero_shot"] = zero_shot(model, args.test_count)
            log(args, record)
        if done % args.save_every == 0 or done == last:
            save(checkpoint, done, model=model, heads=heads, optimizer=optimizer)
    if args.export:
        export(model, args.export, last, args, args.export_count)
    return model


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--work-dir", type=Path, default=Path("work_dirs/mini_clip"), help="folder for checkpoints")
    add("--steps", type=int, default=4800, help="length of the schedule in steps")
    add("--stop-at", type=int, help="stop early at this step of the schedule")
    add("--batch", type=int, default=128, help="images per step")
    add("--lr", type=float, default=1e-3, help="highest learning rate")
    add("--warmup", type=int, default=150, help="warmup in steps")
    add("--dense-weight", type=float, default=0.5, help="weight of the loss on patch tokens")
    add("--seed", type=int, default=0, help="seed of the data and the initial weights")
    add("--resume", action="store_true", help="continue from WORK_DIR/last.pt")
    add("--export", type=Path, help="write the weights to this file at the end")
    add("--export-count", type=int, default=2000, help="images in the test before the export")
    add("--float32", action="store_true", help="train in float32, without bfloat16 autocast")
    add("--workers", type=int, default=1, help="rendering processes, or 0 to render in this one")
    add("--worker-core", type=int, help="pin the rendering processes to this CPU core")
    add("--log-every", type=int, default=25, help="steps between log lines")
    add("--test-every", type=int, default=250, help="steps between zero-shot tests")
    add("--test-count", type=int, default=400, help="images in a zero-shot test")
    add("--save-every", type=int, default=250, help="steps between checkpoints")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
