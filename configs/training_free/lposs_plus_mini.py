"""Training-free: MaskCLIP's scores, spread over pixels of similar colour; mini scale.

This is the second stage of LPOSS+ alone, because the mini world has no second backbone.

Paper: LPOSS: Label Propagation Over Patches and Pixels for Open-vocabulary Semantic
       Segmentation, CVPR 2025, arXiv 2503.19777.
Run:   ovss test lposs_plus_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 80.1 / 78.3 / 79.2.
"""

_base_ = ["maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
model = dict(post_processor=dict(_delete_=True, type="PixelPropagation"))
