"""How a method turns names into prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PromptConfig:
    """How names become prompts: what a method says under ``prompts``.

    Args:
        templates: a registered name, or the templates themselves.
        synonyms: see `ovss.Vocabulary`.
    """

    templates: str | Sequence[str] = "single"
    synonyms: str = "first"

    @property
    def count(self) -> int:
        """P, how many templates there are."""
        from . import load_templates

        return len(load_templates(self.templates))
