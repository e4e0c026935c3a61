"""Plan of an evaluation, shared by all ranks: its identity as hashes, and the remaining images."""

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
from ovss.io.advice import advised
from ovss.io.fingerprint import sha256
from ovss.io.hashing import content_hash
from ovss.protocols.settled import SettledProtocol

from .cost import utc_now
from .state import CountState, SessionCounts, StateFolder, merge


@dataclass(frozen=True)
class Plan:
    """Everything the ranks of a session agree on; the first rank reads it and broadcasts it.

    Args:
        identity: hashes of everything that the counts depend on.
        session: number of this session.
        left_N: True for images that are still to be evaluated.
        started: start of the first session (UTC, ISO 8601).
        sessions_before: number of earlier sessions.
        seconds_before: wall-clock seconds of earlier sessions.
        parts: parts of earlier sessions; empty on all ranks but the first.
    """

    identity: dict[str, str]
    session: int
    left_N: NDArray[np.bool_]
    started: str
    sessions_before: int = 0
    seconds_before: float = 0.0
    parts: Sequence[SessionCounts] = field(default=())


def agree(
    runner: Runner,
    root: Path,
    dataset: Dataset[Any],
    protocol: SettledProtocol,
    precision: str,
    resume: bool,
    empty: Sequence[CountState] | None = None,
) -> Plan:
    """Plan of the session, made by the first rank and broadcast to the others.

    Args:
        runner: runner with loaded weights.
        root: folder of the states of all evaluations in the working directory.
        dataset: dataset of the loop.
        protocol: protocol of the run.
        precision: number types in which the loop computes.
        resume: True to continue from the state in `root`, False to clear it.
        empty: counts of each metric before the first image, to which a state has to fit.

    Raises:
        ResumeError: the state belongs to another evaluation. An error on the first rank is raised
            on every rank.
    """
    outcome: Any = None
    if runner.rank == 0:
        try:
            identity = evaluation_identity(runner, dataset, protocol, precision)
            outcome = _plan(runner, root, dataset, identity, resume, empty)
        except Exception as error:  # sent to the other ranks, which would wait forever otherwise
            outcome = error
    message = [replace(outcome, parts=()) if isinstance(outcome, Plan) else outcome]
    broadcast_object_list(message)
    if isinstance(message[0], Exception):
        raise message[0]
    return cast(Plan, outcome if runner.rank == 0 else message[0])


def _plan(
    runner: Runner,
    root: Path,
    dataset: Any,
    identity: dict[str, str],
    resume: bool,
    empty: Sequence[CountState] | None,
) -> Plan:
    state = StateFolder(root, identity)
    try:
        runner.evaluation_lock = state.lock()
    except BlockingIOError as error:
        raise advised(error, "keep_apart") from None
    except OSError as error:  # the state is of use only for resuming
        runner.logger.warning(f"The state of the evaluation cannot be locked: {error}")
    if not resume:
        state.clear()
        return Plan(identity, 1, np.ones(len(dataset), bool), utc_now())
    sessions = state.read(len(dataset), empty)
    parts = [part for session in sessions for part in session]
    left_N = ~merge(parts, len(dataset))
    runner.logger.info(
        f"{int((~left_N).sum()):,} of {len(left_N):,} images were counted by earlier sessions"
    )
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
    runner: Runner, dataset: Dataset[Any], protocol: SettledProtocol, precision: str
) -> dict[str, str]:
    """Hash by name of everything that the counts depend on.

    Args:
        runner: runner with loaded weights.
        dataset: dataset to evaluate.
        protocol: protocol of the run.
        precision: number types in which the loop computes.
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
        "arithmetic": f"{device} {torch.get_float32_matmul_precision()} {precision}",
    }


def data_hash(dataset: Dataset[Any], config: Any) -> str:
    """SHA-256 over a dataset's config, class names, length and files.

    Files are identified by name, size and modification time, because reading them all would take
    as long as evaluating a small model.
    """
    files = []
    if isinstance(dataset, ImageMaskDataset):
        # an annotation file may hold the labels of all images
        every = (path for pair in dataset.pairs for path in pair if path is not None)
        for path in dict.fromkeys(every):
            status = path.stat()
            files.append((str(path), status.st_size, status.st_mtime_ns))
    names = getattr(dataset, "metainfo", {}).get("classes")
    return content_hash([config, names, len(dataset), files])  # type: ignore[arg-type]
