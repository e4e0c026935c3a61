"""In which number type a step computes, and losses that must be finite."""

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

from .sharding import full_optimizer_state, sharded_optimizer_state, without_sync

AMP = ("bfloat16", "float16")


class NonFiniteLossError(FloatingPointError):
    """A loss was NaN or infinite; the weights are as they were before that step."""


@OPTIM_WRAPPERS.register_module()
class GuardedOptimWrapper(OptimWrapper):
    """Refuses a step whose loss is not finite; optionally computes in mixed precision.

    Args:
        amp: ``"bfloat16"`` runs forward passes under autocast, on the CPU too; no loss scaling is
            needed, since bfloat16 has float32's range. ``"float16"`` too, and the loss is scaled:
            a step whose gradients overflow is left out and the scale halved, as `torch.amp`'s
            GradScaler does. None: full precision. Weights are float32 always.
        options: mmengine's OptimWrapper's: optimizer, clip_grad, accumulative_counts.

    Raises:
        ValueError: another word for `amp`, or a GPU without bfloat16.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, amp: str | None = None, **options: Any):
        super().__init__(optimizer, **options)
        check_amp(amp)
        self.amp = amp
        self.scaler = torch.amp.GradScaler(get_device()) if amp == "float16" else None

    def guard(self, loss: float) -> None:
        """
        Raises:
            NonFiniteLossError: the loss is NaN or infinite.
        """
        if loss != loss or loss in (float("inf"), -float("inf")):
            raise NonFiniteLossError(f"the loss is {loss:g}")

    def update_params(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        self.guard(float(loss.detach()))
        super().update_params(loss, *args, **kwargs)

    def accumulate(self, loss: Tensor) -> None:
        """Gradients of one part of a step; `update_params` with the last part takes the step."""
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
        """Around a forward pass: the number type, and no exchange of gradients between processes
        where more parts of the same step follow."""
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
    """Autocast to a number type; nothing for None."""
    if amp is None:
        return nullcontext()
    return torch.autocast(get_device(), dtype=getattr(torch, amp))


def check_amp(amp: str | None) -> None:
    """
    Raises:
        ValueError: it is none of `AMP`, or this device does not have it.
    """
    if amp is None:
        return
    if amp not in AMP:
        raise ValueError(f"amp is {' or '.join(map(repr, AMP))} or None, got {amp!r}")
    if amp == "bfloat16" and get_device() == "cuda" and not torch.cuda.is_bf16_supported():
        error = ValueError(f"{torch.cuda.get_device_name()} has no bfloat16. Use amp='float16'")
        raise advised(error, "float16")
