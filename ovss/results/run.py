"""Evaluation from a config to a result, used by `ovss test` and `ovss reproduce`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import torch
from mmengine.config import Config
from mmengine.device import get_device, utils
from mmengine.registry import LOOPS
from torch import nn

from ovss.api.method import choose_device
from ovss.distributed import unwrap
from ovss.evaluation.loop import ResumableTestLoop
from ovss.evaluation.metric import OpenVocabIoU
from ovss.io.terminal import say
from ovss.layers.precision import check_precision, precision_note
from ovss.models.provenance import BUNDLED, weights_note
from ovss.models.weights import load_trained, named_weights, pretrained_if_needed
from ovss.protocols.settled import SettledProtocol, settle_protocol
from ovss.segmentor import OpenVocabSegmentor
from ovss.training.build import build_runner
from ovss.training.ready import find_readable_weights

from .record import dataset_name, result_of
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
    notes: Sequence[str] = (),
) -> Result | None:
    """Evaluates a method on the test dataset of its config.

    Args:
        config: config with ``test_dataloader`` and ``test_evaluator``; it is not changed.
        config_name: name of the method's config, recorded in the result.
        protocol: protocol settled for `config`; None: the one that `config` names is settled.
        weights: checkpoint, see `ovss.models.weights.load_trained`.
        work_dir: folder for logs and the state.
        launcher: ``none``, ``pytorch``, ``slurm`` or ``mpi``.
        resume: True to continue from the state in `work_dir`.
        command: command line, recorded in the result.
        data_name: name of the dataset, recorded in the result.
        check: function called with the loaded model and the number of images before the first
            image is evaluated. It raises an error to stop the evaluation.
        notes: lines to print after the data and the weights were found and before the evaluation.

    Returns:
        Result of the evaluation; None on all ranks but the first.

    Raises:
        ResumeError: the state in `work_dir` belongs to another evaluation.
        FloatingPointError: the model gives values that are not finite; the message names the image.
        TypeError: the config names another loop or has no OpenVocabIoU.
        Exception: errors of building the model, loading weights and reading images.
    """
    config = Config(config.to_dict(), filename=config.filename)
    if protocol is None:
        protocol = settle_protocol(config)
    config.test_cfg = {"type": "ResumableTestLoop", **config.get("test_cfg", {})}
    _check_loop(config.test_cfg.type)
    looped = Config(config.to_dict(), filename=config.filename)
    looped.test_cfg["resume"] = resume
    named = named_weights(config, weights)
    if named is not None:
        find_readable_weights(named)
    with pretrained_if_needed(config, weights):
        runner = build_runner(looped, work_dir, launcher=launcher, testing=True)
    model = cast(OpenVocabSegmentor, unwrap(runner.model))
    load_trained(model, config, weights)
    note = weights_note(model, config, weights)
    if note and note != BUNDLED:
        runner.logger.warning(note)
    loop = cast(ResumableTestLoop, runner.test_loop)
    loop.protocol = protocol
    metric = _metric(loop)
    images = len(loop.dataloader.dataset)
    if check is not None:
        check(model, images)
    for line in (*notes, _introduction(config, config_name, data_name, named, images)):
        say(runner.logger, line)
    runner.test()
    if metric.report is None or loop.cost is None:  # not the first rank
        return None
    return result_of(
        config=config,
        config_name=config_name,
        model=model,
        weights=weights,
        report=metric.report,
        protocol=protocol,
        cost=loop.cost,
        command=command,
        data_name=data_name,
    )


def _introduction(
    config: Config, config_name: str, data_name: str, weights: str | Path | None, images: int
) -> str:
    """Line that says what is evaluated."""
    dataset = data_name or dataset_name(config.test_dataloader.dataset)
    device = torch.cuda.get_device_name() if get_device() == "cuda" else get_device()
    return (
        f"evaluating {config_name} on {dataset} ({images:,} images), "
        f"weights {weights or 'none'}, {device}"
    )


def _check_loop(name: str) -> None:
    loop = LOOPS.get(name)
    if loop is None or not issubclass(loop, ResumableTestLoop):
        raise TypeError(
            f"A result needs the ResumableTestLoop, but test_cfg names {name}. Remove its type, "
            f"or run it with ovss.training.build.build_runner(..., testing=True).test()"
        )


def _metric(loop: ResumableTestLoop) -> OpenVocabIoU:
    for metric in loop.evaluator.metrics:
        if isinstance(metric, OpenVocabIoU):
            return metric
    raise TypeError(
        "A result needs the metric OpenVocabIoU, but test_evaluator does not contain it. Add it"
    )


def use_precision(config: Config, name: str) -> list[str]:
    """Sets the number type in which the images of an evaluation are segmented.

    Args:
        config: config of the evaluation, changed in place.
        name: key of `ovss.layers.precision.PRECISIONS`.

    Returns:
        Caveats to print.

    Raises:
        ValueError: the device does not compute in this type.
    """
    device = torch.device(get_device())
    config.test_cfg = {**config.get("test_cfg", {}), "precision": check_precision(name, device)}
    return [note for note in (precision_note(name, device),) if note]


def use_device(name: str) -> None:
    """Selects the device for all further computations of this process.

    Args:
        name: name of the device, such as ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        ValueError: the device does not exist or cannot be used.
    """
    device = choose_device(name)
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    utils.DEVICE = device.type  # mmengine's Runner reads the device from here
