"""Training-free: the dense tokens of CAT-Seg compared with class names, on mini_web.

The trained methods on mini_web start from the same tokens, so this is what they add to.
Paper: CAT-Seg, CVPR 2024, arXiv 2303.11797, for the tokens only.
Run:   ovss test dense_tokens_mini_web
mIoU:  on 200 scenes of 150 categories (80 px), seen / unseen / harmonic mean:
       19.4 / 17.7 / 18.5.
"""

_base_ = ["../training_free/maskclip_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
protocol = "mini_web_training_free"
model = dict(
    encoder=dict(model="mini_web", pretrained="mini_web", image_size=80, dense="cat_seg"),
    inference=dict(size=80),
)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
