"""SED at mini scale: mini CLIP, the mini world, a decoder a quarter as wide.

The mini CLIP is a ViT, so all its levels have one grid of 12 x 12 and are enlarged for each stage.
Images and schedule are those of cat_seg_mini. The text encoder stays as pre-trained, with 7
templates in place of 80. Every step uses all 334 seen names, and each image keeps the 32 most
similar. Paper: arXiv 2311.15537; see sed_convnext-b.

Train: ovss train sed_mini --work-dir work_dirs/sed_mini
Test:  ovss test sed_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       73.8 / 72.9 / 73.4 (mini_20: 79.4 / 81.3 / 80.3, mini_556: 69.4 / 71.8 / 70.6), one seed.
Hours: 0.6 on one busy CPU core (2,500 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.sed"])
weights = "sed_mini.safetensors"
protocol = "mini_7"
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
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
    selector=dict(type="ClipTopK", k=32),
    head=dict(type="CosineHead", num_templates=7),
    decoder=dict(
        type="GradualDecoder",
        level_dims=(192, 192, 192),
        cost_dim=7,
        dim=32,
        stage_dims=(16, 8, 8),
        guides=(8, 4, 4),
        kernel=5,
        heads=4,
        expand=2,
        pool=(2, 2),
        top_k=4,
        chunk=8,
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates="imagenet_7", synonyms="average"),
    inference=dict(mode="whole", size=96),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2500, val_interval=1250)
