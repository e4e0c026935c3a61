"""Contract of mmengine's Runner, without its base class, whose import takes a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["RunnerModel", "total_loss"]


class RunnerModel(nn.Module):
    """Model that mmengine's Runner trains and tests.

    It has the methods of `mmengine.model.BaseModel` that the Runner, its loops and its wrapper for
    several ranks call. What only they need is imported in their first call, so that inference
    starts sooner.

    Args:
        data_preprocessor: config of a pre-processor of batches, or a module; None only moves
            batches to the device.
        init_cfg: config of mmengine's initialisation of weights; None leaves the weights as the
            components set them.
    """

    def __init__(
        self,
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__()
        self._preprocessor = data_preprocessor
        self.init_cfg = init_cfg
        if isinstance(data_preprocessor, dict):
            self._preprocessor = _built(data_preprocessor)

    @property
    def data_preprocessor(self) -> nn.Module:
        """Pre-processor of batches, which moves them to the device of the model."""
        if not isinstance(self._preprocessor, nn.Module):
            self._preprocessor = _built({"type": "BaseDataPreprocessor"})
        tensor = next(self.parameters(), None)
        return self._preprocessor if tensor is None else self._preprocessor.to(tensor.device)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Computes the losses of a batch, updates the parameters, and returns values for the log.

        Args:
            data: batch from the data loader.
            optim_wrapper: mmengine's wrapper of the optimizer.
        """
        with optim_wrapper.optim_context(self):
            losses = self._run(self.data_preprocessor(data, True), "loss")
        loss, values = self.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return values

    def val_step(self, data: Any) -> list:
        """Predictions for a batch from the data loader."""
        predictions: list = self._run(self.data_preprocessor(data, False), "predict")
        return predictions

    def test_step(self, data: Any) -> list:
        """Predictions for a batch from the data loader."""
        return self.val_step(data)

    def parse_losses(self, losses: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Total of the losses, and values for the log; see `total_loss`."""
        return total_loss(losses)

    def init_weights(self) -> None:
        """Initialises the weights by `init_cfg`; the Runner calls it before it loads weights."""
        if self.init_cfg:
            from mmengine.model import initialize

            initialize(self, self.init_cfg)

    def _run(self, data: Any, mode: str) -> Any:
        return self(**data, mode=mode) if isinstance(data, dict) else self(*data, mode=mode)


def total_loss(losses: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
    """Sum of all values whose name contains ``loss``, and the mean of every value for the log.

    Args:
        losses: a tensor or a list of tensors by name.

    Raises:
        TypeError: a value is neither.

    >>> total, values = total_loss({"loss_mask": torch.ones(2), "accuracy": torch.tensor(0.5)})
    >>> float(total), list(values)
    (1.0, ['loss', 'loss_mask', 'accuracy'])
    """
    values: dict[str, Tensor] = {}
    for name, value in losses.items():
        parts = [value] if isinstance(value, Tensor) else value
        if not isinstance(parts, list) or not all(isinstance(part, Tensor) for part in parts):
            raise TypeError(
                f"The loss {name!r} must be a tensor or a list of tensors, got "
                f"{type(value).__name__}. Correct the criterion."
            )
        values[name] = _sum([part.mean() for part in parts])
    total = _sum([value for name, value in values.items() if "loss" in name])
    return total, {"loss": total, **values}


def _sum(parts: list[Tensor]) -> Tensor:
    return sum(parts[1:], parts[0]) if parts else torch.zeros(())


def _built(config: dict) -> nn.Module:
    # MODELS finds the class there; the import is the slow part
    import mmengine.model  # noqa: F401
    from mmengine.registry import MODELS

    module: nn.Module = MODELS.build(config)
    return module
