"""Prompt settings of a method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PromptConfig:
    """Settings that turn class names into prompts; the ``prompts`` entry of a method.

    Args:
        templates: registered name of a list of templates, or the templates themselves.
        synonyms: rule for synonyms, see `ovss.Vocabulary`.
    """

    templates: str | Sequence[str] = "single"
    synonyms: str = "first"

    @property
    def count(self) -> int:
        """Number of templates (P)."""
        from . import load_templates

        return len(load_templates(self.templates))
