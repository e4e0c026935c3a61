"""PCA-Seg at mini scale: mini CLIP, the mini world, two parallel blocks a quarter as wide.

Paper: PCA-Seg: Revisiting Cost Aggregation for Open-Vocabulary Semantic and Part Segmentation,
       CVPR 2026, arXiv 2603.17520.
Train: ovss train pca_seg_mini --work-dir work_dirs/pca_seg_mini
Test:  ovss test pca_seg_mini WEIGHTS [--on mini_556]
mIoU:  not trained to the end yet, so no weights are bundled.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.pca_seg"])
protocol = "mini"
# A training step samples 48 of the 334 seen categories, of which each image keeps the 16 most
# similar: the experts cost more than attention on a CPU, so that a step has few maps.
data_preprocessor = dict(sample_words=48)
train_dataloader = dict(batch_size=2, dataset=dict(vocabulary="mini_556"))
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
        trainable_text="none",
    ),
    selector=dict(type="ClipTopK", k=32, train_k=16),
    head=dict(type="CosineHead"),
    decoder=dict(
        type="PCADecoder",
        joint_dim=128,
        level_dims=(192, 192),
        dim=32,
        guide_dim=32,
        layers=1,  # two parallel blocks, as many attention blocks as cat_seg_mini has
        heads=4,
        window=6,
        expand=2,
        pool=(2, 2),
        pad_length=0,
        level_middle=(48, 32),
        level_guides=(12, 8),
        stage_dims=(16, 8),
        experts=4,
        gate_dim=8,
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
train_cfg = dict(max_iters=2500, val_interval=2500)
