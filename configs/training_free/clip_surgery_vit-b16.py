"""Training-free: values attend to values in six blocks; parts common to all categories are removed.

Paper: CLIP Surgery for Better Explainability with Enhancement in Open-Vocabulary Tasks,
       arXiv 2304.05653.
Run:   ovss segment photo.jpg --words "cat, grass" --model clip_surgery_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
custom_imports = dict(imports=["ovss_plugins.training_free"])
protocol = "clip_surgery"
model = dict(
    encoder=dict(dense=dict(_delete_=True, type="clip_surgery", depth=6), positions="bilinear"),
    head=dict(_delete_=True, type="FeatureSurgeryHead", sharpness=2.0),
    inference=dict(_delete_=True, mode="whole", size=512, activation="softmax"),
)
