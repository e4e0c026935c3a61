"""Names that commands need before anything heavy is imported."""

DEFAULT_METHOD = "dcp_clip_mini"
"""Config of the bundled model, used if you name no other."""
