"""DPSeg at mini scale: mini CLIP, the mini world, a decoder a quarter as wide.

The visual prompts are synthetic images of each category, four per category, in turn under 7
templates. The mini CLIP is a ViT, so all its levels have one grid of 12 x 12. Images and schedule
are those of sed_mini. Paper: arXiv 2505.11676; see dpseg_convnext-b.

In the second pass an object keeps its size, its surroundings are painted over, and the new prompt
has a weight of one half, because the mini CLIP does not recognise objects enlarged to a full image.

Train: ovss train dpseg_mini --work-dir work_dirs/dpseg_mini
Test:  ovss test dpseg_mini [--on mini_556]
One pass: --cfg-options model.refinement=None
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       73.5 / 72.8 / 73.1 (mini_20: 84.3 / 86.6 / 85.4, mini_556: 70.8 / 72.8 / 71.8), one seed;
       in one pass 73.8 / 73.7 / 73.7 (84.6 / 87.2 / 85.9, 70.6 / 72.4 / 71.5).
Hours: 0.7 on one CPU core (2,500 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.dpseg"])
weights = "dpseg_mini.safetensors"
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
protocol = "mini_7"
model = dict(
    type="DPSegmentor",
    encoder=dict(
        type="DualPromptEncoder",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="mini_clip",
            pretrained="mini_clip",
            image_size=96,
            levels=(1, 2, 3),
            dense="maskclip",
            trainable="qv",
            trainable_text="none",
        ),
        bank="mini_world",
        fusion="average",
        pre_norm=True,
        missing="text",
    ),
    selector=dict(type="ClipTopK", k=32),
    head=dict(type="CosineHead", num_templates=7),
    decoder=dict(
        type="CVGDecoder",
        level_dims=(192, 192, 192),
        cost_dim=7,
        dim=32,
        stage_dims=(16, 8, 8),
        guides=(8, 4, 4),
        visual_guides=(8, 4, 4),
        reduce="conv1x1_m",
        dilations=(1, 2, 4),
        axis="class",
        heads=4,
        expand=2,
        pool=(2, 2),
        detach_levels=True,
        aux=True,
        chunk=8,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="imagenet_7", synonyms="average"),
    inference=dict(mode="whole", size=96),
    refinement=dict(crop="masked", fill="mean", alpha=0.5, min_area=0.0),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2500, val_interval=1250)
