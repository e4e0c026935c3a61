"""A few steps of a training on made-up pictures: does it build, does it fit, how long is it."""

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
    """What a dry run found.

    Args:
        name: of the config.
        parameters, learnable: numbers.
        device: in words.
        processes, share: how many there are, and the pictures of each in a step.
        crop: (height, width) of what a step sees.
        words: of the vocabulary.
        precision: number type of the step.
        loss: of the last step.
        seconds: of each step.
        peak: bytes of memory at the fullest, of the process that takes most.
        steps: of the whole schedule.
        left_out: keys of the model's config that were left out.
    """

    name: str
    parameters: int
    learnable: int
    device: str
    processes: int
    share: int
    crop: tuple[int, int]
    words: int
    precision: str
    loss: float
    seconds: tuple[float, ...]
    peak: int
    steps: int
    left_out: tuple[str, ...]

    @property
    def step_seconds(self) -> float:
        """Of a step once words are encoded and kernels chosen: the mean of all but the first."""
        later = self.seconds[1:] or self.seconds
        return sum(later) / len(later)

    @property
    def hours(self) -> float:
        """Of the whole schedule."""
        return self.step_seconds * self.steps / 3600

    def __str__(self) -> str:
        each = f"{self.processes} x {self.share}" if self.processes > 1 else str(self.share)
        kind = "allocated on the GPU" if self.device != "cpu" else "resident, code and all"
        per = " of the fullest process" if self.processes > 1 else ""
        lines = [
            f"{self.name} on {self.device}, {self.precision}",
            f"parameters  {self.parameters:,}, {self.learnable:,} of them trained",
            f"a step      {each} pictures of {self.crop[0]} x {self.crop[1]}, {self.words} words",
            f"seconds     first {self.seconds[0]:.2f} (words encoded, kernels chosen), then "
            f"{self.step_seconds:.3f}",
            f"memory      {self.peak / _GIB:.2f} GiB{per} at the fullest ({kind})",
            f"schedule    {self.steps:,} steps: {_duration(self.hours)}, without validation and "
            f"waiting for pictures",
            f"loss        {self.loss:.4f}",
        ]
        if self.left_out:
            lines.append(f"left out    {', '.join(self.left_out)}: weights are random")
        return "\n".join(lines)


def dry_run(
    config: Config,
    steps: int = 2,
    amp: str | None = None,
    launcher: str = "none",
    seed: int | None = None,
) -> DryRun:
    """Build everything and take `steps` steps; what is written goes to a temporary folder.

    Pictures come from `MadeUpDataset` through the config's own pipeline, in place of a data set of
    files; what would be downloaded or read from a bank is left out.

    Args:
        config: as `ovss.models.configs.load_config` gives it; left as it is.
        steps: how many; the first is timed apart.
        amp, launcher, seed: see `ovss.training.build.build_runner`.

    Raises:
        ValueError: no step, nothing to train, or a data set without a `vocabulary`.
    """
    from ovss.distributed import unwrap

    from .build import build_runner, check_trainable

    if steps < 1:
        raise ValueError(f"a dry run takes at least 1 step, got {steps}")
    check_trainable(config)
    length = config.train_cfg["max_iters"]
    config = Config(config.to_dict(), filename=config.filename)
    left_out = simplify(config, steps)
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
        learnable=sum(count for count, learns in numbers if learns),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        processes=runner.world_size,
        share=watch.shape[0],
        crop=(crop[0], crop[1]),
        words=len(dataset.metainfo["classes"]),
        precision=getattr(runner.optim_wrapper, "amp", None) or "float32",
        loss=watch.loss,
        seconds=tuple(watch.seconds),
        peak=distributed.all_max([peak_bytes()])[0],
        steps=length,
        left_out=tuple(left_out),
    )


def _duration(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:.1f} minutes"


@contextmanager
def _caches_in(folder: str) -> Iterator[None]:
    """Text features and compiled kernels go there too, and with it."""
    places = {"OVSS_CACHE_DIR": folder, "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
    before = {name: os.environ.get(name) for name in places}
    os.environ.update(places)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
