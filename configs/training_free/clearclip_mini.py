"""Training-free: queries attend to queries; without residual and MLP; mini scale.

Paper: ClearCLIP: Decomposing CLIP Representations for Dense Vision-Language Inference,
       ECCV 2024, arXiv 2407.12442.
Run:   ovss test clearclip_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 58.0 / 57.9 / 58.0.
"""

_base_ = ["maskclip_mini.py"]
model = dict(encoder=dict(dense="clearclip"))
