"""FC-CLIP at mini scale: mini CLIP, the mini world, decoders a quarter as wide.

Train: ovss train fc_clip_mini --work-dir work_dirs/fc_clip_mini
Test:  ovss test fc_clip_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       75.3 / 73.5 / 74.4 (cat_seg_mini 76.8 / 77.1 / 77.0, whose encoder trains). After 1,250 steps
       72.8 / 69.2 / 70.9, and the losses of the masks still fall at the end.
Hours: 0.35 on one CPU core (2,500 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.fc_clip"])
weights = "fc_clip_mini.safetensors"
protocol = "mini_regions"
data_preprocessor = dict(sample_words=96)
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="mini_clip",
            pretrained="mini_clip",
            image_size=96,
            levels=(0, 1, 3),
            dense="maskclip",
        ),
        proposer=dict(
            type="Mask2FormerProposer",
            level_dims=(192, 192, 192),
            joint_dim=128,
            queries=16,
            dim=64,
            heads=4,
            pixel_layers=2,
            pixel_feedforward=128,
            points=4,
            groups=4,
            layers=4,
            feedforward=256,
            class_embedding="pooled",
            mask_scale=4,
        ),
        embedders=[dict(type="DensePool")],
    ),
    head=dict(
        type="RegionHead",
        joint_dim=128,
        scales=(1 / 0.07, 43.4),
        learn_scale=True,
        ensemble=dict(seen=(0.6, 0.4), unseen=(0.2, 0.8)),
        seen="mini_556_seen",
    ),
    decoder=dict(type="ComposeDecoder"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching", points=1024),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96, activation="none"),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2500, val_interval=1250)
