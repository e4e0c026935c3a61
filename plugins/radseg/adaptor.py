"""Language adaptor of RADIO: an MLP from the tokens of the backbone to those of a text tower."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ovss.io.deferred import weights_are_deferred
from ovss.io.excerpts import some_of
from ovss.io.option_values import check_range
from ovss.io.weight_files import read_weights


class LanguageAdaptor(nn.Module):
    """MLP on each token: linear, blocks with a residual, then norm, GELU and linear.

    Args:
        dim: number of channels of the backbone.
        joint_dim: number of channels of the text embeddings.
        hidden: number of inner channels.
        blocks: number of inner blocks.
        pretrained: weight file with the names of RADIO's adaptor, ``fc1``, ``blocks.N`` and
            ``final``; None for random weights.
        prefix: beginning of these names in the file.

    Raises:
        FileNotFoundError: a weight file that does not exist.
        RuntimeError: weights of another architecture.
    """

    def __init__(
        self,
        dim: int,
        joint_dim: int,
        hidden: int = 2048,
        blocks: int = 0,
        pretrained: str | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__()
        check_range("LanguageAdaptor", 1, hidden=hidden)
        check_range("LanguageAdaptor", 0, blocks=blocks)
        self.fc1 = nn.Linear(dim, hidden)
        self.blocks = nn.ModuleList(_layer(hidden, hidden) for _ in range(blocks))
        self.final = _layer(hidden, joint_dim)
        if pretrained is not None and not weights_are_deferred():
            self._load(pretrained, prefix)
        self.requires_grad_(False)

    def forward(self, x_BND: Tensor) -> Tensor:
        """Tokens (B, N, C) in the space of the text tower."""
        x_BND = self.fc1(x_BND)
        for block in self.blocks:
            x_BND = x_BND + block(x_BND)
        return self.final(x_BND)

    def _load(self, pretrained: str, prefix: str) -> None:
        if not Path(pretrained).is_file():
            raise FileNotFoundError(
                f"Weight file {pretrained} of the language adaptor does not exist. Check the path."
            )
        tensors = {
            name.removeprefix(prefix): value
            for name, value in read_weights(pretrained)[0].items()
            if name.startswith(prefix)
        }
        expected = self.state_dict()
        wrong = [n for n, v in expected.items() if n not in tensors or tensors[n].shape != v.shape]
        if wrong:
            raise RuntimeError(
                f"The weights in {pretrained} do not fit the language adaptor: {len(wrong)} of "
                f"{len(expected)} tensors are missing or of another shape ({some_of(wrong, 3)}). "
                f"Set `hidden`, `blocks` and `prefix` to those of the file."
            )
        self.load_state_dict({name: tensors[name] for name in expected})


def _layer(dim: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.GELU(), nn.Linear(dim, out))
