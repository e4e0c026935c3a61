"""Prompts: settings of a method, and the strings that are encoded for each category."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .vocabulary import Vocabulary, split_synonyms

__all__ = ["PromptConfig", "count_prompts", "fill_template", "names_by_category"]


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


def fill_template(template: str, name: str) -> str:
    """Inserts a name into a prompt template.

    ``{}`` becomes the name. ``{article}`` becomes "a" or "an", depending on its first letter.

    >>> fill_template("There is {article} {} in the scene.", "apple")
    'There is an apple in the scene.'
    """
    article = "an" if name[:1].lower() in tuple("aeiou") else "a"
    return template.replace("{article}", article).replace("{}", name)


def names_by_category(vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """Names to encode for each category: its first synonym, all to average, or the whole text.

    Raises:
        ValueError: a blank name, whose index the message gives, or the rule ``"max"``, whose
            queries have to be encoded instead.
    """
    if vocabulary.synonyms == "max":
        raise ValueError("Synonyms of the rule 'max' are queries. Encode vocabulary.queries()")
    names = [split_synonyms(name) for name in vocabulary.names]
    for index, synonyms in enumerate(names):
        if not synonyms:
            raise ValueError(
                f"Category {index} has a blank name: {vocabulary.names[index]!r}. Give it a name."
            )
    if vocabulary.synonyms == "first":
        return [synonyms[:1] for synonyms in names]
    if vocabulary.synonyms == "verbatim":
        return [(name.strip(),) for name in vocabulary.names]
    return names


def count_prompts(names: int, templates: int) -> str:
    """Number of prompts in words.

    >>> count_prompts(2, 3)
    'encoding 6 prompts (2 names x 3 templates)'
    """
    return f"encoding {names * templates:,} prompts ({names:,} names x {templates} templates)"
