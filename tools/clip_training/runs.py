"""Optimizer, schedule, loss, checkpoints and log that both trainings use."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ovss.io.files import write_atomic


def match(logits_MN: Tensor, positive_MN: Tensor, negative_MN: Tensor | None = None) -> Tensor:
    """Contrastive loss: mean over the positives of -log softmax against the negatives of the row.

    Other positives of the row are left out of the softmax, because an image shows several.

    Args:
        logits_MN: scaled similarities.
        positive_MN: True for pairs that belong together.
        negative_MN: True for pairs that do not; None: all that are not positive.
    """
    left_out = positive_MN if negative_MN is None else ~negative_MN
    negative = logits_MN.masked_fill(left_out, -1e4).logsumexp(1, keepdim=True)
    cost = F.softplus(negative - logits_MN) * positive_MN
    return cost.sum() / positive_MN.sum().clamp(min=1)


def build_optimizer(model: nn.Module, others: nn.Module | None, lr: float) -> torch.optim.AdamW:
    """Builds AdamW with weight decay on the matrices of the model only.

    Embeddings are excluded, because decay would shrink those of unused tokens to zero.

    Args:
        model: CLIP.
        others: further trained module without weight decay.
        lr: learning rate.
    """
    matrices = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding" not in n]
    rest = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding" in n]
    more = [] if others is None else list(others.parameters())
    groups = [
        {"params": matrices, "weight_decay": 0.1},
        {"params": [*rest, *more], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-8, fused=True)


def learning_rate(step: int, progress: float, highest: float, warmup: int) -> float:
    """Learning rate of a step: linear warmup, then a cosine that ends at 1 % of its peak.

    Args:
        step: number of the step, for the warmup.
        progress: position on the cosine, from 0 to 1.
        highest: peak.
        warmup: length of the warmup in steps.
    """
    warm = min(1.0, (step + 1) / warmup)
    return highest * warm * max(0.01, 0.5 * (1 + math.cos(math.pi * progress)))


def descend(
    model: nn.Module, optimizer: torch.optim.Optimizer, loss: Tensor, step: int, rate: float
) -> None:
    """Updates the weights once.

    Args:
        model: CLIP, whose gradients are clipped.
        optimizer: optimizer of the model and of further modules.
        loss: loss of the step.
        step: number of the step, for the message.
        rate: learning rate.

    Raises:
        FloatingPointError: the loss is infinite or NaN.
    """
    if not math.isfinite(loss.item()):
        raise FloatingPointError(
            f"expected a finite loss at step {step}, got {loss.item()}. Lower --lr, or continue "
            f"from the last checkpoint with --resume."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, math.log(100))


def save(path: Path, step: int, samples: int, **parts: nn.Module | torch.optim.Optimizer) -> None:
    """Writes a checkpoint with the step, its number of images, and the state of each part."""
    state = {name: part.state_dict() for name, part in parts.items()}
    state |= {"step": step, "samples": samples}
    write_atomic(path, lambda file: torch.save(state, file))


def restore(path: Path, **parts: nn.Module | torch.optim.Optimizer) -> tuple[int, int]:
    """Loads a checkpoint written by `save` and returns its step and number of images."""
    state = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"], state["samples"]


def export(model: nn.Module, path: Path, metadata: dict) -> None:
    """Writes float16 weights that open_clip can load, with details of the training as metadata."""
    state = {k: v.detach().half().contiguous().clone() for k, v in model.state_dict().items()}
    text = {key: v if isinstance(v, str) else json.dumps(v) for key, v in metadata.items()}
    write_atomic(path, lambda file: save_file(state, file.name, metadata=text))
    print(f"wrote {path} ({path.stat().st_size / 2**20:.1f} MiB): {text}", flush=True)


def log(folder: Path, record: dict) -> None:
    """Prints a record and appends it to ``log.jsonl`` in a folder."""
    line = json.dumps(record)
    print(line, flush=True)
    with (folder / "log.jsonl").open("a") as stream:
        stream.write(line + "\n")
