"""Training-free: CLIP Surgery on mini_web, on scenes of 80 pixels.

Paper: CLIP Surgery for Better Explainability with Enhancement in Open-Vocabulary Tasks,
       arXiv 2304.05653; see clip_surgery_mini.
Run:   ovss test clip_surgery_mini_web
mIoU:  on 200 scenes of 150 categories (80 px), seen / unseen / harmonic mean:
       20.3 / 20.9 / 20.6.
"""

_base_ = ["maskclip_mini.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
protocol = "mini_web_training_free"
model = dict(
    encoder=dict(
        model="mini_web",
        pretrained="mini_web",
        image_size=80,
        dense=dict(_delete_=True, type="clip_surgery", depth=3),
    ),
    head=dict(_delete_=True, type="FeatureSurgeryHead", sharpness=2.0),
    inference=dict(size=80),
)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
