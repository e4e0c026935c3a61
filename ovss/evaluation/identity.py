"""What an evaluation is of, by hash: weights, model, protocol, data, metric, arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.runner import Runner
from torch.utils.data import Dataset

from ovss.data.image_mask import ImageMaskDataset
from ovss.encoders.fingerprint import sha256
from ovss.runner import bare_model

from .hashing import content_hash
from .protocol_config import protocol_of

__all__ = ["data_hash", "evaluation_identity"]


def evaluation_identity(runner: Runner, dataset: Dataset[Any], fp16: bool) -> dict[str, str]:
    """Name -> hash of all that a count depends on.

    Args:
        runner: of the evaluation, its weights loaded.
        dataset: that is evaluated.
        fp16: whether the loop computes under autocast.
    """
    config, model = runner.cfg, bare_model(runner)
    device = next(model.parameters()).device.type if any(True for _ in model.parameters()) else ""
    parts = {k: v for k, v in config.model.items() if k not in ("prompts", "inference")}
    meta = getattr(dataset, "metainfo", None)  # mmengine's data sets have it
    return {
        "weights": sha256(model.state_dict()),
        "model": content_hash(parts),
        "protocol": protocol_of(config, meta).hash,
        "data": data_hash(dataset, config.test_dataloader.get("dataset")),
        "metric": content_hash(config.get("test_evaluator")),
        "arithmetic": f"{device} {torch.get_float32_matmul_precision()}{' autocast' * fp16}",
    }


def data_hash(dataset: Dataset[Any], config: Any) -> str:
    """SHA-256 over a data set's config, its words, its length and its files.

    Files are known by name, size and time of change: to read them all would take as long as to
    evaluate a small model.
    """
    files = []
    if isinstance(dataset, ImageMaskDataset):
        for path in (path for pair in dataset.pairs for path in pair if path is not None):
            facts = path.stat()
            files.append((str(path), facts.st_size, facts.st_mtime_ns))
    words = getattr(dataset, "metainfo", {}).get("classes")
    return content_hash([config, words, len(dataset), files])  # type: ignore[arg-type]
