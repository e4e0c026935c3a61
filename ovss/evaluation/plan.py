"""What the processes of an evaluation agree on first: what it is of, by hash, and what is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from mmengine.dist import broadcast_object_list
from mmengine.runner import Runner
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ovss.data.image_mask import ImageMaskDataset
from ovss.distributed import unwrap
from ovss.io.fingerprint import sha256
from ovss.io.hashing import content_hash
from ovss.protocols.settled import SettledProtocol

from .cost import utc_now
from .state import Part, StateFolder, merge


@dataclass(frozen=True)
class Plan:
    """What all processes of a session agree on: the first one reads, the others are told."""

    identity: dict[str, str]
    session: int
    left_N: NDArray[np.bool_]
    started: str
    sessions_before: int = 0
    seconds_before: float = 0.0
    parts: Sequence[Part] = field(default=())
    """Of earlier sessions; only the first process keeps them."""


def agree(
    runner: Runner,
    root: Path,
    dataset: Dataset[Any],
    protocol: SettledProtocol,
    fp16: bool,
    resume: bool,
) -> Plan:
    """What is left, and whose it is: the first process looks, the others are told.

    Args:
        runner: of the evaluation, its weights loaded.
        root: of the states of all evaluations of the working directory.
        dataset, protocol, fp16: of the loop.
        resume: go on from the state there; otherwise it is cleared.

    Raises:
        ResumeError: the state is of another evaluation. An error of the first process is raised in
            every one.
    """
    found: Any = None
    if runner.rank == 0:
        try:
            identity = evaluation_identity(runner, dataset, protocol, fp16)
            found = _plan(runner, root, dataset, identity, resume)
        except Exception as error:
            found = error
    told = [replace(found, parts=()) if isinstance(found, Plan) else found]
    broadcast_object_list(told)
    if isinstance(told[0], Exception):
        raise told[0]
    return cast(Plan, found if runner.rank == 0 else told[0])


def _plan(runner: Runner, root: Path, dataset: Any, identity: dict[str, str], resume: bool) -> Plan:
    state = StateFolder(root, identity)
    if not resume:
        state.clear()
        return Plan(identity, 1, np.ones(len(dataset), bool), utc_now())
    sessions = state.read()
    parts = [part for session in sessions for part in session]
    left_N = ~merge(parts, len(dataset))
    runner.logger.info(f"{int((~left_N).sum()):,} of {len(left_N):,} pictures are counted already")
    return Plan(
        identity,
        state.next_session(),
        left_N,
        min((part.started for part in parts), default=utc_now()),
        len(sessions),
        sum(max(part.seconds for part in session) for session in sessions),
        parts,
    )


def evaluation_identity(
    runner: Runner, dataset: Dataset[Any], protocol: SettledProtocol, fp16: bool
) -> dict[str, str]:
    """Name -> hash of all that a count depends on.

    Args:
        runner: of the evaluation, its weights loaded.
        dataset: that is evaluated.
        protocol: of the run.
        fp16: whether the loop computes under autocast.
    """
    config, model = runner.cfg, unwrap(runner.model)
    device = next(model.parameters()).device.type if any(True for _ in model.parameters()) else ""
    parts = {k: v for k, v in config.model.items() if k not in ("prompts", "inference")}
    return {
        "weights": sha256(model.state_dict()),
        "model": content_hash(parts),
        "protocol": protocol.full_hash,
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
