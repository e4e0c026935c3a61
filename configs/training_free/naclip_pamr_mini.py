"""Training-free: NACLIP with scores refined to the edges of the image; mini scale.

Paper: Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
       Segmentation (NACLIP), WACV 2025, arXiv 2404.08181.
       PAMR: Single-Stage Semantic Segmentation from Image Labels, CVPR 2020, arXiv 2005.08104.
Run:   ovss test naclip_pamr_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 69.3 / 67.9 / 68.6.
"""

_base_ = ["maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
model = dict(
    encoder=dict(dense=dict(_delete_=True, type="naclip", std=5.0)),
    post_processor=dict(_delete_=True, type="PAMR", iterations=10, dilations=(8, 16)),
)
