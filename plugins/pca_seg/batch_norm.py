"""Batch normalisation with the statistics of all ranks, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ovss import distributed


class RankBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of rows (N, C), whose statistics include the rows of all ranks.

    PyTorch's own synchronised normalisation works on GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises rows. A single row in training is normalised by the running statistics."""
        if not self.training:
            return super().forward(input)
        if distributed.world_size() == 1:
            return super().forward(input) if input.shape[0] > 1 else self._normalised(input)
        rows_NC = input.float()
        count = _sum(rows_NC.new_tensor(float(rows_NC.shape[0])))
        mean_C = _sum(rows_NC.sum(0)) / count
        var_C = _sum((rows_NC - mean_C).square().sum(0)) / count
        self._remember(mean_C, var_C * count / (count - 1).clamp(min=1))
        unit_NC = (rows_NC - mean_C) * (var_C + self.eps).rsqrt()
        return (unit_NC * self.weight + self.bias).to(input.dtype)

    def _normalised(self, input: Tensor) -> Tensor:
        assert self.running_mean is not None
        assert self.running_var is not None
        return nn.functional.batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, var_C: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean_C.to(self.running_mean), self.momentum or 0.1)
        self.running_var.lerp_(var_C.to(self.running_var), self.momentum or 0.1)


def _sum(x: Tensor) -> Tensor:
    """Sum over all ranks, with gradient."""
    from torch.distributed.nn.functional import all_reduce

    return all_reduce(x)
