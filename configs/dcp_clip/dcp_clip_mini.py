"""DCP-CLIP at mini scale: mini CLIP, the mini world, narrow head and decoder.

Images, schedule and image tower are those of cat_seg_mini. The text encoder stays as pre-trained,
with seven templates in place of ImageNet's eighty. Every step uses all 334 seen names because the
selector keeps only a few of them. Paper: arXiv 2603.13951; see dcp_clip_vit-b16.

Train: ovss train dcp_clip_mini --work-dir work_dirs/dcp_clip_mini
Test:  ovss test dcp_clip_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       79.5 / 78.0 / 78.7; cat_seg_mini on the same scenes 76.8 / 77.1 / 77.0.
Hours: 0.25 on one CPU core (2,500 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.dcp_clip"])
weights = "dcp_clip_mini.safetensors"
protocol = "mini_7"
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        image_size=96,
        levels=(1, 3),
        attention=True,
        attention_gradient=False,
        dense="maskclip",
        trainable="qv",
        trainable_text="none",
    ),
    selector=dict(
        type="DynamicCategorySelector",
        threshold=0.5,
        temperature=43.4,  # value that the mini CLIP learnt
    ),
    head=dict(
        type="TextGuidedHead",
        joint_dim=128,
        num_templates=7,
        dim=32,
        temperature=43.4,
        self_heads=4,
        expand=2,
    ),
    decoder=dict(
        type="SpatialDecoder",
        level_dims=(192, 192),
        cost_dim=32,
        raw_dim=7,
        layers=2,
        attn_grid=(12, 12),
        guide_dims=(32, 16),
        heads=4,
        window=6,
        expand=2,
        level_middle=(48, 32),
        level_skips=(12, 8),
        cost_skips=(12, 8),
        stage_dims=(16, 8),
    ),
    post_processor=dict(type="TagValidation", seen="mini_556_seen", k=5),
    criterion=dict(type="bce", ignore="exclude", average="image"),
    prompts=dict(templates="imagenet_7", synonyms="average"),
    inference=dict(mode="whole", size=96),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2500, val_interval=1250)
