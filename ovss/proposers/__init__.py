"""Proposers of regions, which work inside an encoder."""

from .query import QueryProposer

__all__ = ["QueryProposer"]
