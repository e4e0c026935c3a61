"""The categories asked for, by name, and the prompts that describe them; it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ovss.io.arguments import check_fields

__all__ = ["IGNORE", "SYNONYM_RULES", "Vocabulary", "split_synonyms"]

IGNORE = -1
"""Label of pixels without ground truth. Values that mark such pixels in files (0, 255, 65535 ...)
are converted when the files are read, because 255 is a real category in large vocabularies."""

SYNONYM_RULES = {
    "first": "only the first synonym of a category is used",
    "average": "the embeddings of all synonyms are averaged, separately for each template",
    "verbatim": "the name is one text as it is written, commas included",
    "max": "each synonym is a query of its own, and the best one counts for its category",
}
"""Rules for categories with several synonyms such as ``"sofa, couch"``."""


@dataclass(frozen=True)
class Vocabulary:
    """The categories asked for, and the prompts that describe them.

    Hashable, so that it can serve as the key of a cache of text embeddings. Build one from a list,
    a file or a registered name with `ovss.vocabularies.load_vocabulary`, which also reports empty,
    blank and duplicate names.

    Args:
        names: T category names. Commas separate synonyms: ``"sofa, couch"`` is one category.
        templates: P prompt templates, each with exactly one ``{}`` for the name.
        synonyms: rule for synonyms, a key of `SYNONYM_RULES`.
        owners: category of each name, if the names are the queries of `queries`; None if each name
            is a category.

    Raises:
        ValueError: no names, no templates, a template without exactly one ``{}``, or an unknown
            value of `synonyms`.
    """

    names: tuple[str, ...]
    templates: tuple[str, ...] = ("a photo of a {}.",)
    synonyms: str = "first"
    owners: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.names:
            raise ValueError("A vocabulary needs at least one category, but got none.")
        if self.synonyms not in SYNONYM_RULES:
            raise ValueError(
                f"synonyms must be {' or '.join(map(repr, SYNONYM_RULES))}, got {self.synonyms!r}."
            )
        wrong = [t for t in self.templates if t.count("{}") != 1]
        if wrong or not self.templates:
            raise ValueError(
                f"Each prompt template needs exactly one '{{}}', got {wrong or 'none'}."
            )

    def __len__(self) -> int:
        return len(self.names)

    def queries(self) -> Vocabulary:
        """Vocabulary that is encoded: with ``"max"`` every synonym is a query, as if a category.

        Examples:
            >>> Vocabulary(("cat", "sofa, couch"), synonyms="max").queries().names
            ('cat', 'sofa', 'couch')
        """
        if self.synonyms != "max":
            return self
        pairs = [
            (synonym, index)
            for index, name in enumerate(self.names)
            for synonym in split_synonyms(name) or (name,)
        ]
        if len(pairs) == len(self.names):
            return replace(self, synonyms="first")
        names, owners = zip(*pairs, strict=True)
        return Vocabulary(names, self.templates, "first", owners)


def split_synonyms(name: str) -> tuple[str, ...]:
    """Splits a category name into its synonyms.

    Examples:
        >>> split_synonyms("sofa, couch ")
        ('sofa', 'couch')
    """
    return tuple(part.strip() for part in name.split(",") if part.strip())
