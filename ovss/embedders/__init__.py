"""Embedders of regions in the joint space of an encoder."""

__all__: list[str] = []
