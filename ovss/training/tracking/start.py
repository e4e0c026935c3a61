"""Start of the tracking of a training, before its model is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config

from ovss import distributed
from ovss.protocols.settled import read_protocol

from ..formatting import RunConfig
from ..settings import flat_settings
from .choice import build_trackers
from .hook import FOLDER, TrackingHook
from .tracker import TrackedRun, TrackingError

__all__ = ["start_tracking"]

_LEFT_OUT = ("experiment_name", "launcher", "resume", "track")
"""Keys that say nothing of the training. An address in ``track`` may hold a password."""


def start_tracking(
    config: Config, work_dir: str | Path, protocol: str | None, is_resumed: bool
) -> TrackingHook | None:
    """Opens the trackers of a training on rank 0.

    Args:
        config: final config.
        work_dir: working directory.
        protocol: name of the protocol that the config chose; None: none.
        is_resumed: True if the run continues from a checkpoint.

    Returns:
        Hook that sends the curve; None on other ranks, and without trackers.

    Raises:
        ModuleNotFoundError: the package of a tracker is not installed.
        TrackingError: a service refuses the run or cannot be reached; every rank raises it.
    """
    trackers = build_trackers(config.get("track"))
    if not trackers:
        return None
    hook, problem = None, None
    if distributed.rank() == 0:
        try:
            run = tracked_run(config, Path(work_dir), protocol)
            hook = TrackingHook(trackers, work_dir, run, is_resumed)
        except TrackingError as error:
            problem = str(error)
    problem = distributed.all_gather(problem)[0]
    if problem is not None:
        raise TrackingError(problem)
    return hook


def tracked_run(config: Config, work_dir: Path, protocol: str | None) -> TrackedRun:
    """Describes a training for trackers.

    Args:
        config: final config.
        work_dir: working directory.
        protocol: name of the protocol that the config chose; None: none.
    """
    values = {key: value for key, value in config.to_dict().items() if key not in _LEFT_OUT}
    settings: dict[str, Any] = dict(flat_settings(values))
    settings |= _protocol_settings(config, protocol)
    folder = work_dir.absolute()
    return TrackedRun(folder.name, folder / FOLDER, RunConfig(values).pretty_text, settings)


def _protocol_settings(config: Config, chosen: str | None) -> dict[str, str]:
    try:
        settled = read_protocol(config, chosen)
    except Exception:  # test data of other packages, which the training itself does not need
        return {"protocol.name": chosen} if chosen else {}
    return {
        "protocol.name": settled.name,
        "protocol.method_hash": settled.method_hash,
        "protocol.full_hash": settled.full_hash,
    }
