"""Which parameter learns how: rules by name, checked to match something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ovss.distributed import unwrap
from ovss.registry import check_arguments

_NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._NormBase)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class NamedRules:
    """Builds the optimiser from rules by parameter name.

    mmengine's constructor matches any part of a name, drops its norm rule where a name rule
    matches, and passes over rules that match nothing. Here a rule's key is one or more whole words
    of a dotted name (``encoder``, ``encoder.text``), the longest wins, the norm rule always holds,
    and a rule that matches no learnable parameter is an error. Frozen parameters are left out.

    Args:
        optim_wrapper_cfg: ``dict(type=..., optimizer=dict(type=..., lr=..., weight_decay=...))``.
        paramwise_cfg: ``custom_keys``: key -> ``dict(lr_mult=1.0, decay_mult=1.0)``;
            ``norm_decay_mult``: weight decay of normalisation layers and embeddings, times this;
            a rule may have its own ``norm_decay_mult``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper = dict(optim_wrapper_cfg)
        self.optimizer = dict(self.wrapper.pop("optimizer"))
        check_arguments(_rules, dict(paramwise_cfg or {}))
        self.custom_keys, self.norm_decay_mult = _rules(**(paramwise_cfg or {}))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        options = {**self.optimizer, "params": self.groups(unwrap(model))}
        optimizer = OPTIMIZERS.build(options)
        return OPTIM_WRAPPERS.build({**self.wrapper, "optimizer": optimizer})

    def groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """Parameter groups, one for each learning rate and weight decay that occurs.

        Raises:
            ValueError: nothing to learn, or a key that matches no learnable parameter.
        """
        lr, decay = self.optimizer["lr"], self.optimizer.get("weight_decay", 0.0)
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        used = set()
        for name, parameter, is_norm in _learnable(model):
            key = self.rule(name)
            used.add(key)
            rule = {} if key is None else self.custom_keys[key]
            norm_mult = rule.get("norm_decay_mult", self.norm_decay_mult)
            decay_mult = rule.get("decay_mult", 1.0) * (norm_mult if is_norm else 1.0)
            setting = (lr * rule.get("lr_mult", 1.0), decay * decay_mult)
            found.setdefault(setting, []).append(parameter)
        unused = sorted(set(self.custom_keys) - used)
        if unused or not found:
            what = f"rules {unused} match no learnable parameter" if found else "nothing learns"
            names = sorted({".".join(name.split(".")[:2]) for name, *_ in _learnable(model)})
            raise ValueError(f"paramwise_cfg: {what}; learnable: {', '.join(names) or 'none'}")
        for (rate, weight), members in found.items():
            count = sum(p.numel() for p in members)
            print_log(
                f"{len(members)} tensors ({count:,} numbers) learn at {rate:g}, decay {weight:g}",
                logger="current",
            )
        return [
            {"params": members, "lr": rate, "weight_decay": weight}
            for (rate, weight), members in found.items()
        ]

    def rule(self, name: str) -> str | None:
        """The longest key whose words stand in a parameter's name, in a row."""
        matches = [key for key in self.custom_keys if f".{key}." in f".{name}."]
        return max(matches, key=len, default=None)


def _rules(
    custom_keys: Mapping[str, Mapping[str, float]] | None = None, norm_decay_mult: float = 1.0
) -> tuple[dict[str, dict[str, float]], float]:
    """The two parts of `paramwise_cfg`, checked."""
    rules = {key: dict(rule) for key, rule in (custom_keys or {}).items()}
    for key, rule in rules.items():
        unknown = set(rule) - {"lr_mult", "decay_mult", "norm_decay_mult"}
        if unknown:
            raise TypeError(
                f"custom_keys[{key!r}] knows lr_mult, decay_mult and norm_decay_mult, not "
                f"{sorted(unknown)}"
            )
    return rules, norm_decay_mult


def _learnable(model: nn.Module) -> list[tuple[str, nn.Parameter, bool]]:
    """Name, parameter, and whether it belongs to a normalisation layer or an embedding table."""
    exempt = {
        parameter
        for module in model.modules()
        if isinstance(module, (*_NORMS, nn.Embedding))
        for parameter in module.parameters(recurse=False)
    }
    return [(n, p, p in exempt) for n, p in model.named_parameters() if p.requires_grad]
