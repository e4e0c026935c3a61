"""Mixed precision, and an optimiser wrapper that stops at losses that are not finite."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import Tensor, nn

from ovss.io.advice import advised
from ovss.io.excerpts import excerpt

from .sharding import full_optimizer_state, sharded_optimizer_state, without_sync

AMP = ("bfloat16", "float16")


class NonFiniteLossError(FloatingPointError):
    """A loss was NaN or infinite. The weights are unchanged since the step before."""


@OPTIM_WRAPPERS.register_module()
class GuardedOptimWrapper(OptimWrapper):
    """Optimiser wrapper that refuses a step whose loss is not finite, with optional autocast.

    Weights are always float32.

    Args:
        optimizer: optimiser.
        amp: number type of autocast in forward passes, on GPU and CPU. ``"bfloat16"`` does not need
            loss scaling, because it has the range of float32. With ``"float16"`` the loss is scaled
            by `torch.amp.GradScaler`, which skips steps whose gradients overflow. None computes in
            full precision.
        options: further arguments of mmengine's OptimWrapper, such as clip_grad.

    Raises:
        ValueError: an unknown value of `amp`, or a GPU without bfloat16.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, amp: str | None = None, **options: Any):
        super().__init__(optimizer, **options)
        check_amp(amp)
        self.amp = amp
        self.scaler = torch.amp.GradScaler(get_device()) if amp == "float16" else None

    def guard(self, loss: float) -> None:
        """Checks that a loss is finite.

        Raises:
            NonFiniteLossError: a loss that is NaN or infinite.
        """
        if loss != loss or loss in (float("inf"), -float("inf")):
            raise NonFiniteLossError(f"The loss is {loss:g}")

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.guard(float(loss.detach()))
        super().update_params(loss, *args, **kwargs)

    def accumulate(self, loss: Tensor) -> None:
        """Accumulates the gradients of one part of a step. `update_params` takes the step."""
        self._scaled(self.scale_loss(loss)).backward()

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        super().backward(self._scaled(loss), **kwargs)

    def step(self, **kwargs: Any) -> None:
        if self.scaler is None:
            super().step(**kwargs)
            return
        if self.clip_grad_kwargs:
            self.scaler.unscale_(self.optimizer)
            self._clip_grad()
        self.scaler.step(self.optimizer, **kwargs)
        self.scaler.update()

    @contextmanager
    def optim_context(self, model: nn.Module, last: bool = True) -> Iterator[None]:
        """Context of a forward pass: sets the number type and the exchange of gradients.

        Args:
            model: model, possibly wrapped for distributed training.
            last: False if more parts of the same step follow, so ranks need not exchange gradients.
        """
        quiet = nullcontext() if last else without_sync(model)
        with super().optim_context(model), quiet, precision(self.amp):
            yield

    def state_dict(self) -> dict[str, Any]:
        state = full_optimizer_state(super().state_dict())
        if self.scaler is not None:
            state["loss_scaler"] = self.scaler.state_dict()
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        state = dict(state_dict)
        scale = state.pop("loss_scaler", None)
        if scale and self.scaler is not None:
            self.scaler.load_state_dict(scale)
        super().load_state_dict(sharded_optimizer_state(state, self.optimizer))

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)


def precision(amp: str | None) -> AbstractContextManager:
    """Autocast to a number type; None leaves full precision."""
    if amp is None:
        return nullcontext()
    return torch.autocast(get_device(), dtype=getattr(torch, amp))


def check_amp(amp: str | None) -> None:
    """Checks that a number type for autocast exists and works on this device.

    Raises:
        ValueError: a value that is not in `AMP`, or that the device does not support.
    """
    if amp is None:
        return
    if amp not in AMP:
        raise ValueError(f"amp must be {' or '.join(map(repr, AMP))} or None, got {excerpt(amp)}.")
    if amp == "bfloat16" and get_device() == "cuda" and not torch.cuda.is_bf16_supported():
        error = ValueError(
            f"{torch.cuda.get_device_name()} does not support bfloat16. Use amp='float16'"
        )
        raise advised(error, "float16")
