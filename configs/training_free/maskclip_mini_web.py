"""Training-free: cosines of mini_web's value path with class names, on scenes of 80 pixels.

The encoder was trained on whole scenes and their captions only, so its patches are as poor as those
of a CLIP from the web. Paper: MaskCLIP, ECCV 2022, arXiv 2112.01071; see maskclip_mini.

Run:   ovss test maskclip_mini_web
mIoU:  on 200 scenes of 150 categories (80 px), seen / unseen / harmonic mean:
       8.8 / 8.8 / 8.8.
"""

_base_ = ["maskclip_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
protocol = "mini_web_training_free"
model = dict(
    encoder=dict(model="mini_web", pretrained="mini_web", image_size=80),
    inference=dict(size=80),
)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
