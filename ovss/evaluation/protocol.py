"""What a number depends on beside the model: its fields, their hash, and how two of them differ.

A protocol is read from the config that runs (`protocol_config.protocol_of`), never declared beside
it, so that it cannot say something else than what was done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .hashing import short_hash
from .protocol_data import DataRules
from .protocol_fields import ProtocolTemplate

__all__ = ["Protocol", "templates_name"]

VERSION = 1
"""Counts with what the fields mean: the same fields of another version are another protocol."""


@dataclass(frozen=True)
class Protocol:
    """All fields: how, and on what; two with one hash give numbers that may be compared.

    Args:
        how: the fields that do not depend on the data set, `ProtocolTemplate.plain`.
        data: those that do; None where a config names no data.
    """

    how: ProtocolTemplate
    data: DataRules | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: every field, nested; templates by name where registered, long lists hashed."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self.how)))
        templates = self.how.prompts.templates
        content["prompts"]["templates"] = templates_name(templates)
        content["prompts"]["count"] = len(templates)
        content["prompts"]["sha256"] = short_hash(templates)
        content["data"] = None if self.data is None else self.data.as_dict()
        return {"version": VERSION, **content}

    @property
    def hash(self) -> str:
        """12 hexadecimal digits of the SHA-256 of `as_dict` as JSON with sorted keys."""
        return short_hash(self.as_dict())

    def diff(self, other: Protocol) -> dict[str, tuple[Any, Any]]:
        """Dotted field -> (here, there), where they are not the same."""
        here, there = _dotted(self.as_dict()), _dotted(other.as_dict())
        return {
            key: (here.get(key), there.get(key))
            for key in sorted(here.keys() | there.keys())
            if here.get(key) != there.get(key)
        }


def templates_name(templates: tuple[str, ...]) -> str:
    """The registered name of a list of templates; else the template, or how many there are.

    >>> templates_name(("a photo of a {}.",)), templates_name(("{}!",)), templates_name(("{}",) * 2)
    ('single', "'{}!'", '2 of its own')
    """
    from ovss.vocabularies import list_templates, load_templates

    known = (name for name in list_templates() if load_templates(name) == tuple(templates))
    own = repr(templates[0]) if len(templates) == 1 else f"{len(templates)} of its own"
    return next(known, own)


def _dotted(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, Mapping):
            found |= _dotted(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
