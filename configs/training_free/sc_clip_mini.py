"""Training-free: CLIP calibrates its last block with its own inner features; mini scale.

Paper: Self-Calibrated CLIP for Training-Free Open-Vocabulary Segmentation (SC-CLIP),
       arXiv 2411.15869.
Run:   ovss test sc_clip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 55.4 / 51.9 / 53.6.
"""

_base_ = ["maskclip_mini.py"]
model = dict(encoder=dict(dense=dict(_delete_=True, type="sc_clip", depth=4, semantic=2, levels=3)))
