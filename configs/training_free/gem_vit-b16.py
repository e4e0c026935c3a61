"""Training-free: values, keys and queries each attend to themselves, in six blocks.

Paper: Grounding Everything: Emerging Localization Properties in Vision-Language
       Transformers (GEM), CVPR 2024, arXiv 2312.00878.
Run:   ovss segment photo.jpg --words "cat, grass" --model gem_vit-b16
Needs: OpenAI's ViT-B/16 weights, which open_clip downloads, or a file in encoder.pretrained.
mIoU:  not run here.
"""

_base_ = ["maskclip_vit-b16.py"]
protocol = "gem"
model = dict(
    encoder=dict(
        dense=dict(_delete_=True, type="gem", depth=6, iterations=1), positions="antialias"
    ),
    inference=dict(_delete_=True, mode="whole", size=448, activation="softmax"),
)
