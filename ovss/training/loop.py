"""The training loop: a step that is the same on any number of processes, and says what broke."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import LOOPS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import Tensor, nn

from ovss import distributed
from ovss.io.advice import advised

from .precision import GuardedOptimWrapper, NonFiniteLossError, precision


@LOOPS.register_module()
class GuardedTrainLoop(IterBasedTrainLoop):
    """mmengine's loop by iterations. A loss that is not finite stops it and names the pictures; a
    process that is lost stops the others with a clear word.

    Args:
        micro_batch: how many pictures a process works on at a time; their gradients add up to the
            step's. None: all of its share. Exact where every picture counts alike in the loss
            (``average="image"``, or no selection and ``ignore="negative"``).
        options: mmengine's IterBasedTrainLoop's: max_iters, val_interval ...
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
                f"GuardedTrainLoop takes its steps with GuardedOptimWrapper, not with "
                f"{type(wrapper).__name__}; for that one choose train_cfg.type=IterBasedTrainLoop"
            )
        return super().run()

    def run_iter(self, data_batch: dict) -> None:
        runner = self.runner
        runner.call_hook("before_train_iter", batch_idx=self._iter, data_batch=data_batch)
        try:
            outputs = train_step(runner.model, runner.optim_wrapper, data_batch, self.micro_batch)
        except NonFiniteLossError as error:
            broken = NonFiniteLossError(
                f"{error} at iteration {self._iter + 1}, {_blame(runner, data_batch)}. The "
                f"step was not taken; last checkpoint: {_last_checkpoint(runner)}. Look at these "
                f"images and labels, or lower the learning rate"
            )
            raise advised(broken, "no_amp") from None
        except RuntimeError as error:
            if not distributed.is_process_lost(error):
                raise
            last = _last_checkpoint(runner)
            lost = distributed.ProcessLostError(
                f"process {runner.rank} of {runner.world_size} lost another one at iteration "
                f"{self._iter + 1} ({str(error).splitlines()[0]}). Its own message says why it "
                f"ended. Resume from {last}"
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
    """One step of the optimiser.

    Args:
        model: bare, or wrapped for several processes.
        optim_wrapper: takes the step.
        data: this process's share of the batch, as the loader collated it.
        micro_batch: pictures at a time; None: all.

    Returns:
        the losses, mean over the whole batch of all processes.

    Raises:
        NonFiniteLossError: in every process, if the loss of any is not finite; before the step.
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
        take = optim_wrapper.update_params if last else optim_wrapper.accumulate
        take(loss / len(parts))
    return {key: torch.stack([log[key] for log in logs]).mean() for key in logs[0]}


def _parts(prepared: dict, micro_batch: int | None) -> list[dict]:
    """A prepared batch in slices of pictures."""
    count = len(prepared["inputs"])
    size = count if micro_batch is None else micro_batch
    return [
        {key: value[start : start + size] for key, value in prepared.items()}
        for start in range(0, count, size)
    ]


def _blame(runner: Runner, data_batch: dict) -> str:
    """Which pictures of a batch have a loss that is not finite, each taken alone."""
    model = distributed.unwrap(runner.model)
    guilty, paths = [], [sample.img_path for sample in data_batch["data_samples"]]
    amp = runner.optim_wrapper.amp
    for i, path in enumerate(paths):
        one = {key: value[i : i + 1] for key, value in data_batch.items()}
        with torch.no_grad(), precision(amp), distributed.single_process():
            prepared = model.data_preprocessor(one, True)
            losses = model(**prepared, mode="loss")
        if not all(torch.isfinite(value).all() for value in losses.values()):
            guilty.append(path)
    guilty = [path for found in distributed.all_gather(guilty) for path in found]
    paths = [path for found in distributed.all_gather(paths) for path in found]
    if guilty:
        return f"at {', '.join(guilty)}"
    return f"in the batch of {', '.join(paths)} (none of them alone)"


def _last_checkpoint(runner: Runner) -> str:
    return runner.message_hub.runtime_info.get("last_ckpt") or "none yet"
