"""Training-free: values attend to values; parts common to all categories are removed; mini scale.

Paper: CLIP Surgery for Better Explainability with Enhancement in Open-Vocabulary Tasks,
       arXiv 2304.05653.
Run:   ovss test clip_surgery_mini
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 59.7 / 57.0 / 58.4.
"""

_base_ = ["maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
model = dict(
    encoder=dict(dense=dict(_delete_=True, type="clip_surgery", depth=3)),
    head=dict(_delete_=True, type="FeatureSurgeryHead", sharpness=2.0),
)
