"""Learned queries and mini CLIP, at mini scale: masks first, then their classification.

A small proposer with masked attention reads two levels of the frozen mini CLIP and the pixels. Its
embedding of a region is the mean of CLIP's dense tokens plus a trained correction. At inference
this source and the mean alone are combined with exponents for seen and unseen categories.
Papers: MaskFormer (arXiv 2107.06278), Mask2Former (2112.01527), FC-CLIP (2308.02487).

Train: ovss train maskformer_mini --work-dir work_dirs/maskformer_mini
Test:  ovss test maskformer_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       77.2 / 75.1 / 76.2 (cat_seg_mini 76.8 / 77.1 / 77.0, whose encoder trains).
       With true masks (oracle_mini): 90.8 / 86.7 / 88.7. On every second scene: first source alone
       74.8, ensemble 76.5, mean tokens alone 75.4 (harmonic mean); true categories for these masks
       would give an mIoU of 83.3 instead of 76.7, and the best mask of a region has an IoU of 0.88
       on average. A shorter training of 2,500 steps ends at 74.9 / 72.3 / 73.6.
Hours: 0.5 on one CPU core (4,000 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
weights = "maskformer_mini.safetensors"
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
            levels=(1, 3),
            dense="maskclip",
        ),
        proposer=dict(
            type="QueryProposer",
            joint_dim=128,
            level_dims=(192, 192),
            dim=64,
            queries=16,
            layers=4,
            heads=4,
            expand=4,
            stem_dims=(16, 32),
            embedding="residual",
        ),
        embedders=[dict(type="DensePool")],
    ),
    head=dict(
        type="RegionHead",
        joint_dim=128,
        scales=(20.0, 43.4),
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
train_cfg = dict(max_iters=4000, val_interval=2000)
