"""LSeg at mini scale: the image tower of mini CLIP with a small DPT, the mini world.

Train: ovss train lseg_mini --work-dir work_dirs/lseg_mini
Test:  ovss test lseg_mini WEIGHTS [--on mini_556]
mIoU:  no weights are bundled, because 1,000 steps of the schedule are too few: seen / unseen /
       harmonic mean 30.8 / 19.1 / 23.6 on the validation scenes of 150 categories.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.lseg"])
protocol = "mini"
data_preprocessor = dict(sample_words=64)
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="LSegEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        backbone=dict(
            type="ClipViT", model="mini_clip", pretrained="mini_clip", blocks=(1, 2, 3, 5)
        ),
        level_dims=(32, 48, 64, 64),
        level_scales_of_patches=(2, 1, 0.5, 0.25),
        dim=64,
        pixel_mean=(122.77, 116.75, 104.09),  # of CLIP
        pixel_std=(68.50, 66.63, 70.32),
        train_backbone=False,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="CosineHead"),
    decoder=dict(type="SpatialBlockDecoder", scale=1 / 0.07, block="none"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="cross_entropy"),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96),  # the label map is that of softmax
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-3, weight_decay=1e-4),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=1000, val_interval=1000)
