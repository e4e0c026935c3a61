"""Proposers of regions, which work inside an encoder."""

__all__: list[str] = []
