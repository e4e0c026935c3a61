"""Optimiser settings per parameter: rules by name, each of which must match a parameter."""

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

    A rule applies to parameters whose dotted name contains its key as whole parts, such as
    ``encoder`` or ``encoder.text``. The longest matching key wins. A rule that matches no trainable
    parameter is an error, and frozen parameters are left out. mmengine's constructor differs: it
    matches any substring, ignores the norm rule where a name rule matches, and accepts rules that
    match nothing.

    Args:
        optim_wrapper_cfg: ``dict(type=..., optimizer=dict(type=..., lr=..., weight_decay=...))``.
        paramwise_cfg: dict with two optional keys. ``custom_keys`` maps the key of a rule to
            ``dict(lr_mult=1.0, decay_mult=1.0)``. ``norm_decay_mult`` multiplies the weight decay
            of normalisation layers and embeddings; a rule may override it.

    Raises:
        TypeError: an unknown key in `paramwise_cfg`.
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
        """Parameter groups, one for each pair of learning rate and weight decay.

        Raises:
            ValueError: a model without trainable parameters, or a key that matches none of them.
        """
        lr, decay = self.optimizer["lr"], self.optimizer.get("weight_decay", 0.0)
        members_by_setting: dict[tuple[float, float], list[nn.Parameter]] = {}
        used = set()
        for name, parameter, is_norm in _trainable(model):
            key = self.rule(name)
            used.add(key)
            rule = {} if key is None else self.custom_keys[key]
            norm_mult = rule.get("norm_decay_mult", self.norm_decay_mult)
            decay_mult = rule.get("decay_mult", 1.0) * (norm_mult if is_norm else 1.0)
            setting = (lr * rule.get("lr_mult", 1.0), decay * decay_mult)
            members_by_setting.setdefault(setting, []).append(parameter)
        unused = sorted(set(self.custom_keys) - used)
        if not members_by_setting:
            raise ValueError(
                "The model has no trainable parameters. Set `trainable` of the encoder, or use a "
                "method that trains."
            )
        if unused:
            names = sorted({".".join(name.split(".")[:2]) for name, *_ in _trainable(model)})
            raise ValueError(
                f"The keys {unused} of paramwise_cfg.custom_keys match no trainable parameter. "
                f"Trainable parameters start with {', '.join(names)}."
            )
        for (rate, weight), members in members_by_setting.items():
            count = sum(p.numel() for p in members)
            print_log(
                f"{len(members)} tensors ({count:,} parameters) train with learning rate {rate:g} "
                f"and weight decay {weight:g}.",
                logger="current",
            )
        return [
            {"params": members, "lr": rate, "weight_decay": weight}
            for (rate, weight), members in members_by_setting.items()
        ]

    def rule(self, name: str) -> str | None:
        """Longest key whose parts occur consecutively in a parameter's name; None if none does."""
        matches = [key for key in self.custom_keys if f".{key}." in f".{name}."]
        return max(matches, key=len, default=None)


def _rules(
    custom_keys: Mapping[str, Mapping[str, float]] | None = None, norm_decay_mult: float = 1.0
) -> tuple[dict[str, dict[str, float]], float]:
    """Checks the two parts of `paramwise_cfg` and returns them."""
    rules = {key: dict(rule) for key, rule in (custom_keys or {}).items()}
    for key, rule in rules.items():
        unknown = set(rule) - {"lr_mult", "decay_mult", "norm_decay_mult"}
        if unknown:
            raise TypeError(
                f"Unknown keys {sorted(unknown)} in paramwise_cfg.custom_keys[{key!r}]. Use "
                f"lr_mult, decay_mult or norm_decay_mult."
            )
    return rules, norm_decay_mult


def _trainable(model: nn.Module) -> list[tuple[str, nn.Parameter, bool]]:
    """Name and parameter, and True if it belongs to a normalisation layer or an embedding."""
    exempt = {
        parameter
        for module in model.modules()
        if isinstance(module, (*_NORMS, nn.Embedding))
        for parameter in module.parameters(recurse=False)
    }
    return [(n, p, p in exempt) for n, p in model.named_parameters() if p.requires_grad]
