"""DCP-CLIP at mini scale on mini_web, a CLIP whose patches are as poor as those of a web CLIP.

The grid has 20 x 20 cells, four windows of five along each side, and scenes have 80 pixels. The
temperatures are the logit scale of mini_web. Dense tokens are those of CAT-Seg, as in all methods
on mini_web. A run has 2,000 steps of two scenes. Everything else is that of dcp_clip_mini. Paper:
arXiv 2603.13951.

Train: ovss train dcp_clip_mini_web --work-dir work_dirs/dcp_clip_mini_web
Test:  ovss test dcp_clip_mini_web
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 32.8 / 30.5 / 31.6.
Hours: 0.25 on one CPU core (2,000 steps of 2 scenes).
Weights: bundled, in half precision.
"""

_base_ = ["dcp_clip_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
weights = "dcp_clip_mini_web.safetensors"
protocol = "mini_web_7"
model = dict(
    encoder=dict(model="mini_web", pretrained="mini_web", image_size=80, dense="cat_seg"),
    selector=dict(temperature=41.9),
    head=dict(temperature=41.9),
    decoder=dict(attn_grid=(20, 20), window=5),
    inference=dict(size=80),
)
train_dataloader = dict(batch_size=2, dataset=_scenes)
train_cfg = dict(max_iters=2000, val_interval=1000)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
