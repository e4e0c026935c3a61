"""SAN at mini scale: mini CLIP, the mini world, a side adapter a third as wide and half as deep.

Train: ovss train san_mini --work-dir work_dirs/san_mini
Test:  ovss test san_mini [--on mini_556]
mIoU:  on 200 scenes of 150 categories (96 px), seen / unseen / harmonic mean:
       67.4 / 64.0 / 65.7 (cat_seg_mini 76.8 / 77.1 / 77.0). Its masks limit it: on 50 scenes the
       best mask of a region has an IoU of 0.82 on average, and true categories for these masks
       would give an mIoU of 73.7 instead of 69.2. The side adapter sees patches of 4 x 4 pixels
       and has no convolutions, so it learns masks more slowly than maskformer_mini.
Hours: 0.35 on one CPU core (2,000 steps of 4 scenes).
Weights: bundled, in half precision.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.san"])
weights = "san_mini.safetensors"
protocol = "mini_regions"
data_preprocessor = dict(sample_words=96)
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="SANEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        clip_scale=1.0,
        split=4,
        fusion=((0, 0), (2, 1), (4, 2)),
        queries=16,
        width=96,
        depth=4,
        heads=4,
        patch=4,
        grid=24,
        mask_dim=64,
        supervised=(3, 4),
        divisor=32,
        train_positions=False,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RegionHead", joint_dim=128, scales=(43.4,), void_std=128**-0.5),
    decoder=dict(type="ComposeDecoder"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching", points=1024),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96, activation="none"),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=2000, val_interval=1000)
