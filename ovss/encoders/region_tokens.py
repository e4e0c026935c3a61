"""Region tokens for encoders; region embedders import them from `ovss.layers.region_tokens`."""

from ovss.layers.region_tokens import TokenSight, project_tokens, run_block, run_with_regions

__all__ = ["TokenSight", "project_tokens", "run_block", "run_with_regions"]
