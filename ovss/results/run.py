"""An evaluation from a config to a result: what `ovss test` and `ovss reproduce` both do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from mmengine.config import Config
from mmengine.device import utils
from mmengine.registry import LOOPS
from torch import nn

from ovss.distributed import unwrap
from ovss.evaluation.loop import ResumableTestLoop
from ovss.evaluation.metric import OpenVocabIoU
from ovss.models.weights import load_trained, pretrained_if_needed
from ovss.protocols.settled import SettledProtocol, settle_protocol
from ovss.segmentor import OpenVocabSegmentor
from ovss.training.build import build_runner

from .record import result_of
from .result_file import Result


def evaluate(
    config: Config,
    *,
    config_name: str,
    protocol: SettledProtocol | None = None,
    weights: str | Path | None = "default",
    work_dir: str | Path,
    launcher: str = "none",
    resume: bool = False,
    command: Sequence[str] = (),
    data_name: str = "",
    check: Callable[[nn.Module, int], None] | None = None,
) -> Result | None:
    """Evaluate a method on the data set of its config.

    Args:
        config: with ``test_dataloader`` and ``test_evaluator``; not changed.
        config_name: of the method, kept in the result.
        protocol: settled for `config`; None: settle the one that `config` names.
        weights: as `ovss.models.weights.load_trained` takes it.
        work_dir: where logs and the state go.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        resume: go on from the state in `work_dir`.
        command, data_name: kept in the result.
        check: called with the loaded model and the number of pictures before the first of them;
            raises where there is no point in going on.

    Returns:
        what was measured; None in processes other than the first.

    Raises:
        ResumeError: the state is of another evaluation.
        TypeError: another loop, or no OpenVocabIoU: there would be no result to keep.
        Whatever building, loading and reading pictures raise: each says what was wrong.
    """
    config = Config(config.to_dict(), filename=config.filename)
    if protocol is None:
        protocol = settle_protocol(config)
    config.test_cfg = {"type": "ResumableTestLoop", **config.get("test_cfg", {})}
    _check_loop(config.test_cfg.type)
    looped = Config(config.to_dict(), filename=config.filename)
    looped.test_cfg["resume"] = resume
    with pretrained_if_needed(config, weights):
        runner = build_runner(looped, work_dir, launcher=launcher, testing=True)
    load_trained(cast(OpenVocabSegmentor, unwrap(runner.model)), config, weights)
    loop = cast(ResumableTestLoop, runner.test_loop)
    loop.protocol = protocol
    metric = _metric(loop)
    if check is not None:
        check(unwrap(runner.model), len(loop.dataloader.dataset))
    runner.test()
    if metric.report is None or loop.cost is None:  # not the first process
        return None
    return result_of(
        config=config,
        config_name=config_name,
        model=unwrap(runner.model),
        weights=weights,
        report=metric.report,
        protocol=protocol,
        cost=loop.cost,
        command=command,
        data_name=data_name,
    )


def _check_loop(name: str) -> None:
    loop = LOOPS.get(name)
    if loop is None or not issubclass(loop, ResumableTestLoop):
        raise TypeError(
            f"test_cfg names {name}, which does not tell what a result keeps: take its type out, "
            f"or run it with ovss.training.build.build_runner(..., testing=True).test()"
        )


def _metric(loop: ResumableTestLoop) -> OpenVocabIoU:
    for metric in loop.evaluator.metrics:
        if isinstance(metric, OpenVocabIoU):
            return metric
    raise TypeError("test_evaluator has no OpenVocabIoU: it makes the figures of a result")


def use_device(name: str) -> None:
    """Compute there, in this process, from now on.

    Args:
        name: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        ValueError: no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"no device is called {name!r}: cpu, cuda, cuda:1, ...") from None
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise ValueError(f"there is no {name} here: torch sees {count} GPUs")
        torch.cuda.set_device(device.index or 0)
    utils.DEVICE = device.type  # what mmengine's Runner asks
