"""Training loop with the same result on any number of ranks and clear errors on failure."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from ovss import distributed
from ovss.io.advice import advised

from .memory_watch import MemoryWatch, check_state_fits
from .precision import GuardedOptimWrapper, NonFiniteLossError, precision


@LOOPS.register_module()
class GuardedTrainLoop(IterBasedTrainLoop):
    """mmengine's loop over iterations, with checks.

    A loss that is not finite stops the training, and the error names the images. If a rank is lost,
    the other ranks stop with an error that says so.

    Args:
        runner: runner of the training.
        dataloader: dataloader, or its config.
        micro_batch: number of images processed at a time on a rank, to save memory. Gradients are
            accumulated over a step. The result is exact if every image has the same weight in the
            loss (``average="image"``, or no selection and ``ignore="negative"``). None processes
            all images of a step together.
        options: further arguments of mmengine's IterBasedTrainLoop, such as max_iters.
    """

    def __init__(
        self, runner: Runner, dataloader: Any, micro_batch: int | None = None, **options: Any
    ) -> None:
        super().__init__(runner, dataloader, **options)
        self.micro_batch = micro_batch

    def run(self) -> nn.Module:
        wrapper = self.runner.optim_wrapper
        if not isinstance(wrapper, GuardedOptimWrapper):
            raise TypeError(
                f"GuardedTrainLoop works only with GuardedOptimWrapper, got "
                f"{type(wrapper).__name__}. Set train_cfg.type to IterBasedTrainLoop for this "
                f"wrapper."
            )
        batch = self.dataloader.batch_size or 1
        images = min(batch, self.micro_batch or batch)
        on_gpu = next(self.runner.model.parameters()).is_cuda
        self.watch = MemoryWatch(self.runner.logger.warning, images, on_gpu)
        check_state_fits(self.runner.model, wrapper.optimizer, self.watch.read())
        with self.watch:
            return super().run()

    def run_iter(self, data_batch: dict) -> None:
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        try:
            with self.watch.step():
                outputs = train_step(
                    runner.model, runner.optim_wrapper, data_batch, self.micro_batch
                )
        except NonFiniteLossError as error:
            broken = NonFiniteLossError(
                f"{error} at iteration {self._iter + 1}, {_images_not_finite(runner, data_batch)}. "
                f"The step was not taken; the last checkpoint is {_last_checkpoint(runner)}. Check "
                f"these images and their labels, or lower the learning rate"
            )
            raise advised(broken, "no_amp") from None
        except RuntimeError as error:
            if not distributed.is_process_lost(error):
                raise
            lost = distributed.ProcessLostError(
                f"Rank {runner.rank} of {runner.world_size} lost another rank at iteration "
                f"{self._iter + 1} ({str(error).splitlines()[0]}). The log of the other rank gives "
                f"the reason. Fix it and resume from checkpoint {_last_checkpoint(runner)}"
            )
            raise advised(lost, "resume") from error
        runner.call_hook(
            "after_train_iter", batch_idx=self._iter, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1


def train_step(
    model: nn.Module,
    optim_wrapper: GuardedOptimWrapper,
    data: dict,
    micro_batch: int | None = None,
) -> dict[str, Tensor]:
    """Takes one step of the optimiser.

    Args:
        model: model, possibly wrapped for distributed training.
        optim_wrapper: optimiser wrapper that takes the step.
        data: collated images and samples of this rank.
        micro_batch: number of images processed at a time; None means all.

    Returns:
        Losses, averaged over the images of all ranks.

    Raises:
        NonFiniteLossError: a loss that is not finite on some rank. It is raised on every rank, and
            before the step is taken.
    """
    bare = distributed.unwrap(model)
    with precision(optim_wrapper.amp):
        prepared = bare.data_preprocessor(data, True)
    parts = _parts(prepared, micro_batch)
    logs = []
    for index, part in enumerate(parts, start=1):
        last = index == len(parts)
        with optim_wrapper.optim_context(model, last):
            losses = model(**part, mode="loss")
        loss, log = bare.parse_losses(losses)
        means = distributed.all_mean(
            torch.stack([value.detach().float() for value in log.values()])
        )
        logs.append(dict(zip(log, means)))
        optim_wrapper.guard(float(logs[-1]["loss"]))
        if last:
            optim_wrapper.update_params(loss / len(parts))
        else:
            optim_wrapper.accumulate(loss / len(parts))
    return {key: torch.stack([log[key] for log in logs]).mean() for key in logs[0]}


def _parts(prepared: dict, micro_batch: int | None) -> list[dict]:
    """Splits a prepared batch into slices of `micro_batch` images."""
    count = len(prepared["inputs"])
    size = count if micro_batch is None else micro_batch
    return [
        {key: value[start : start + size] for key, value in prepared.items()}
        for start in range(0, count, size)
    ]


def _images_not_finite(runner: Runner, data_batch: dict) -> str:
    """Names the images of a batch whose loss, computed for each separately, is not finite."""
    model = distributed.unwrap(runner.model)
    broken, paths = [], [sample.img_path for sample in data_batch["data_samples"]]
    amp = runner.optim_wrapper.amp
    for i, path in enumerate(paths):
        one = {key: value[i : i + 1] for key, value in data_batch.items()}
        with torch.no_grad(), precision(amp), distributed.single_process():
            prepared = model.data_preprocessor(one, True)
            losses = model(**prepared, mode="loss")
        if not all(torch.isfinite(value).all() for value in losses.values()):
            broken.append(path)
    broken = [path for gathered in distributed.all_gather(broken) for path in gathered]
    paths = [path for gathered in distributed.all_gather(paths) for path in gathered]
    if broken:
        return f"at {', '.join(broken)}"
    return f"in the batch of {', '.join(paths)} (each image alone has a finite loss)"


def _last_checkpoint(runner: Runner) -> str:
    return runner.message_hub.runtime_info.get("last_ckpt") or "none yet"
