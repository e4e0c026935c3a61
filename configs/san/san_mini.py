"""SAN at mini scale: mini CLIP, the mini world, a side adapter a third as wide and half as deep.

Train: ovss train san_mini --work-dir work_dirs/san_mini
Test:  ovss test san_mini WEIGHTS [--on mini_556]
mIoU:  not trained yet, so no weights are bundled.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.san"])
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
