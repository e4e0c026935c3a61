"""Registered vocabularies and prompt templates, and a checked reader for other names."""

from .checks import find_duplicates
from .reader import list_templates, list_vocabularies, load_names, load_templates, load_vocabulary

__all__ = [
    "find_duplicates",
    "list_templates",
    "list_vocabularies",
    "load_names",
    "load_templates",
    "load_vocabulary",
]
