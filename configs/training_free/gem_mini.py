"""Training-free: values, keys and queries each attend to themselves, in 3 of 6 blocks; mini scale.

Paper: Grounding Everything: Emerging Localization Properties in Vision-Language
       Transformers (GEM), CVPR 2024, arXiv 2312.00878.
Run:   ovss test gem_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 49.6 / 50.0 / 49.8.
"""

_base_ = ["maskclip_mini.py"]
model = dict(encoder=dict(dense=dict(_delete_=True, type="gem", depth=3, iterations=1)))
