"""Training-free: queries attend to queries, keys to keys; mini scale.

Paper: SCLIP: Rethinking Self-Attention for Dense Vision-Language Inference, ECCV 2024,
       arXiv 2312.01597.
Run:   ovss test sclip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 64.8 / 63.3 / 64.0.
"""

_base_ = ["maskclip_mini.py"]
model = dict(encoder=dict(dense="sclip"))
