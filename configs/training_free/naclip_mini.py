"""Training-free: keys attend to keys, nearby ones most; without residual and MLP; mini scale.

Paper: Pay Attention to Your Neighbours: Training-Free Open-Vocabulary Semantic
       Segmentation (NACLIP), WACV 2025, arXiv 2404.08181.
Run:   ovss test naclip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 61.1 / 60.3 / 60.7.
"""

_base_ = ["maskclip_mini.py"]
model = dict(encoder=dict(dense=dict(_delete_=True, type="naclip", std=5.0)))
