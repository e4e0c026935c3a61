"""FC-CLIP at mini scale on mini_web, a CLIP whose patches are as poor as those of a web CLIP.

The encoder is that of dcp_clip_mini_web, a ViT, so that the two compare heads and decoders. Scenes
have 80 pixels, masks 40 x 40. A run has 2,000 steps of two scenes.
Everything else is that of fc_clip_mini. Paper: arXiv 2308.02487.

Train: ovss train fc_clip_mini_web --work-dir work_dirs/fc_clip_mini_web
Test:  ovss test fc_clip_mini_web
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean: 40.2 / 29.3 / 33.9.
Hours: 0.08 on one CPU core (2,000 steps of 2 scenes).
Weights: bundled, in half precision.
"""

_base_ = ["fc_clip_mini.py"]
_scenes = dict(size=80, objects=(1, 4), name="mini_web")
weights = "fc_clip_mini_web.safetensors"
protocol = "mini_web_regions"
model = dict(
    encoder=dict(
        encoder=dict(model="mini_web", pretrained="mini_web", image_size=80, dense="cat_seg"),
        proposer=dict(mask_scale=2),
    ),
    head=dict(scales=(1 / 0.07, 41.9)),
    inference=dict(size=80),
)
train_dataloader = dict(batch_size=2, dataset=_scenes)
train_cfg = dict(max_iters=2000, val_interval=1000)
val_dataloader = dict(dataset=_scenes)
test_dataloader = dict(dataset=_scenes)
