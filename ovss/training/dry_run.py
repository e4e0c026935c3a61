"""Dry runs: a few training steps on synthetic images that show whether a config builds and fits.

They also measure the time of a step and estimate the duration of the whole schedule.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config

from ovss import distributed

from .simplify import simplify
from .stopwatch import StopwatchHook, peak_bytes

_GIB = 1 << 30


@dataclass(frozen=True)
class DryRun:
    """Result of a dry run.

    Args:
        name: name of the config.
        parameters: number of parameters.
        trainable: number of parameters that train.
        device: name of the device.
        ranks: number of ranks.
        batch_size: images per step on each rank.
        crop: (height, width) of the images in a step.
        categories: number of categories in the vocabulary.
        precision: number type of the step.
        loss: loss of the last step.
        seconds: duration of each step.
        peak: peak memory in bytes, of the rank that needs most.
        steps: number of steps in the whole schedule.
        omitted: keys of the model's config that were set to None.
    """

    name: str
    parameters: int
    trainable: int
    device: str
    ranks: int
    batch_size: int
    crop: tuple[int, int]
    categories: int
    precision: str
    loss: float
    seconds: tuple[float, ...]
    peak: int
    steps: int
    omitted: tuple[str, ...]

    @property
    def step_seconds(self) -> float:
        """Mean duration of a step. The first is left out: it also encodes text, selects kernels."""
        later = self.seconds[1:] or self.seconds
        return sum(later) / len(later)

    @property
    def hours(self) -> float:
        """Estimated duration of the whole schedule."""
        return self.step_seconds * self.steps / 3600

    def __str__(self) -> str:
        images = f"{self.ranks} x {self.batch_size}" if self.ranks > 1 else str(self.batch_size)
        kind = "allocated on the GPU" if self.device != "cpu" else "resident, including code"
        rank = " on the largest rank" if self.ranks > 1 else ""
        lines = [
            f"{self.name} on {self.device}, {self.precision}",
            f"parameters  {self.parameters:,}, {self.trainable:,} of them trainable",
            f"step        {images} images of {self.crop[0]} x {self.crop[1]}, "
            f"{self.categories} categories",
            f"seconds     {self.seconds[0]:.2f} for the first step (encodes text, selects "
            f"kernels), then {self.step_seconds:.3f}",
            f"memory      {self.peak / _GIB:.2f} GiB at the peak{rank} ({kind})",
            f"schedule    {self.steps:,} steps: {_duration(self.hours)}, without validation and "
            f"data loading",
            f"loss        {self.loss:.4f}",
        ]
        if self.omitted:
            lines.append(f"omitted     {', '.join(self.omitted)}: weights are random")
        return "\n".join(lines)


def dry_run(
    config: Config,
    steps: int = 2,
    amp: str | None = None,
    launcher: str = "none",
    seed: int | None = None,
) -> DryRun:
    """Builds everything and takes a few training steps; files go to a temporary folder.

    Synthetic images from `MadeUpDataset` pass through the pipeline of the config and replace a
    dataset of files. Files and downloads that the model would need are omitted.

    Args:
        config: result of `ovss.models.configs.load_config`; not modified.
        steps: number of steps. The first one is timed separately.
        amp: see `ovss.training.build.build_runner`.
        launcher: see `ovss.training.build.build_runner`.
        seed: see `ovss.training.build.build_runner`.

    Raises:
        ValueError: fewer than one step, a config without training, or a dataset without
            `vocabulary`.
    """
    from ovss.distributed import unwrap

    from .build import build_runner, check_trainable

    if steps < 1:
        raise ValueError(f"A dry run needs at least 1 step, got {steps}.")
    check_trainable(config)
    length = config.train_cfg["max_iters"]
    config = Config(config.to_dict(), filename=config.filename)
    omitted = simplify(config, steps)
    with tempfile.TemporaryDirectory(prefix="ovss-dry-run-") as folder, _caches_in(folder):
        runner = build_runner(config, folder, amp=amp or False, seed=seed, launcher=launcher)
        watch = next(hook for hook in runner.hooks if isinstance(hook, StopwatchHook))
        dataset = runner.train_dataloader.dataset
        runner.train()
        numbers = [(p.numel(), p.requires_grad) for p in unwrap(runner.model).parameters()]
    crop = watch.shape[-2:]
    return DryRun(
        name=Path(config.filename or "config").stem,
        parameters=sum(count for count, _ in numbers),
        trainable=sum(count for count, trains in numbers if trains),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        ranks=runner.world_size,
        batch_size=watch.shape[0],
        crop=(crop[0], crop[1]),
        categories=len(dataset.metainfo["classes"]),
        precision=getattr(runner.optim_wrapper, "amp", None) or "float32",
        loss=watch.loss,
        seconds=tuple(watch.seconds),
        peak=distributed.all_max([peak_bytes()])[0],
        steps=length,
        omitted=tuple(omitted),
    )


def _duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"


@contextmanager
def _caches_in(folder: str) -> Iterator[None]:
    """Context in which text embeddings and compiled kernels are cached in `folder`."""
    variables = {"OVSS_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
