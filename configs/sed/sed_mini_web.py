"""SED at mini scale on mini_web, a CLIP whose patches are as poor as those of a web CLIP.

The encoder is that of dcp_clip_mini_web, a ViT, so that the two compare heads and decoders. Scenes
have 80 pixels. A run has 2,000 steps of two scenes. Everything else is that of sed_mini.
Paper: arXiv 2311.15537.

Train: ovss train sed_mini_web --work-dir work_dirs/sed_mini_web
Test:  ovss test sed_mini_web
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 32.7 / 30.0 / 31.3.
Hours: 0.8 on one CPU core (2,000 steps of 2 scenes).
Weights: bundled, in half precision.
"""

_base_ = ["sed_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
weights = "sed_mini_web.safetensors"
protocol = "mini_web_7"
model = dict(
    encoder=dict(model="mini_web", pretrained="mini_web", image_size=80, dense="cat_seg"),
    inference=dict(size=80),
)
train_dataloader = dict(batch_size=2, dataset=_scenes)
train_cfg = dict(max_iters=2000, val_interval=1000)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
