"""CAT-Seg at mini scale on mini_web, a CLIP whose patches are as poor as those of a web CLIP.

The grid has 20 x 20 cells, four windows of five along each side, and scenes have 80 pixels.
A run has 2,000 steps of two scenes.
Everything else is that of cat_seg_mini. Paper: arXiv 2303.11797.

Train: ovss train cat_seg_mini_web --work-dir work_dirs/cat_seg_mini_web
Test:  ovss test cat_seg_mini_web
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 35.3 / 32.1 / 33.6.
Hours: 0.35 on one CPU core (2,000 steps of 2 scenes).
Weights: bundled, in half precision.
"""

_base_ = ["cat_seg_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
weights = "cat_seg_mini_web.safetensors"
protocol = "mini_web"
model = dict(
    encoder=dict(model="mini_web", pretrained="mini_web", image_size=80),
    decoder=dict(window=5),
    inference=dict(size=80),
)
train_dataloader = dict(batch_size=2, dataset=_scenes)
train_cfg = dict(max_iters=2000, val_interval=1000)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
