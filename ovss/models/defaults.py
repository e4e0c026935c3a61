"""Names that commands need before anything heavy is imported."""

MINI_METHOD = "dcp_clip_mini"
"""Config of the bundled model, which was trained on synthetic shapes only."""

PHOTO_METHOD = "naclip_vit-b16"
"""Config that segments if you name none. It is training-free and needs CLIP weights only."""
