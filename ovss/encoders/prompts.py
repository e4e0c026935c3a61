"""Categories into prompts: which strings are encoded, and which category each belongs to."""

from __future__ import annotations

from ovss.structures import Vocabulary, split_synonyms

__all__ = ["fill_template", "words_of"]


def fill_template(template: str, word: str) -> str:
    """Put one word into a template.

    ``{}`` is the word; ``{article}`` becomes "a" or "an" by the word's first letter.

    >>> fill_template("There is {article} {} in the scene.", "apple")
    'There is an apple in the scene.'
    """
    article = "an" if word[:1].lower() in tuple("aeiou") else "a"
    return template.replace("{article}", article).replace("{}", word)


def words_of(vocabulary: Vocabulary) -> list[tuple[str, ...]]:
    """The words that stand for each category: its first synonym, or all of them.

    Raises:
        ValueError: a name without any word, naming its place.
    """
    words = [split_synonyms(name) for name in vocabulary.names]
    for index, synonyms in enumerate(words):
        if not synonyms:
            raise ValueError(f"category {index} has a blank name: {vocabulary.names[index]!r}")
    if vocabulary.synonyms == "first":
        return [synonyms[:1] for synonyms in words]
    return words
