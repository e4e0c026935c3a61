"""CAT-Seg at mini scale: mini CLIP, the mini world, a decoder a quarter as wide.

Paper: CAT-Seg: Cost Aggregation for Open-Vocabulary Semantic Segmentation, CVPR 2024,
       arXiv 2303.11797.
Train: ovss train cat_seg_mini --work-dir work_dirs/cat_seg_mini
Test:  ovss test cat_seg_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       76.8 / 77.1 / 77.0; training-free on the same scenes 60.4 / 59.7 / 60.1.
Hours: 0.3 on one CPU core (2,500 steps of 4 scenes).
Weights: bundled, in half precision; results agree with full precision to 0.001.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.cat_seg"])
weights = "cat_seg_mini.safetensors"
protocol = "mini"
# A training step samples about a third of the 334 seen categories, of which each image keeps the 32
# most similar. This gives many negatives, hard and easy ones, at a low cost per step.
data_preprocessor = dict(sample_words=96)
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        image_size=96,
        levels=(1, 3),
        dense="cat_seg",
        trainable="qv",
    ),
    selector=dict(type="ClipTopK", k=32),
    head=dict(type="CosineHead"),
    decoder=dict(
        type="CATSegDecoder",
        joint_dim=128,
        level_dims=(192, 192),
        dim=32,
        layers=2,
        heads=4,
        window=6,
        expand=2,
        pool=(2, 2),
        pad_length=0,
        level_middle=(48, 32),
        level_guides=(12, 8),
        stage_dims=(16, 8),
    ),
    post_processor=dict(type="Identity"),
    criterion=dict(type="bce"),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.01))),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2500, val_interval=1250)
