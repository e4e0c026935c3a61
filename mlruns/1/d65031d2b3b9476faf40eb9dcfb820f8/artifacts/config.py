custom_hooks = [
    dict(type="StepSeedHook"),
    dict(type="CurveHook"),
    dict(count=6, type="ImageHook"),
]
custom_imports = dict(
    imports=[
        "ovss.testing",
        "ovss_plugins.cat_seg",
    ]
)
data_preprocessor = dict(type="OpenVocabPreProcessor")
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=1, max_keep_ckpts=2, type="SafeCheckpointHook"),
    logger=dict(interval=50, log_metric_by_epoch=False, type="LoggerHook"),
    param_scheduler=dict(type="ParamSchedulerHook"),
    sampler_seed=dict(type="DistSamplerSeedHook"),
    timer=dict(type="IterTimerHook"),
)
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    dist_cfg=dict(timeout=1800),
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
)
experiment_name = "tiny-ea8e31ab"
find_unused_parameters = True
launcher = "none"
load_from = None
log_level = "INFO"
log_processor = dict(by_epoch=False)
model = dict(
    decoder=dict(
        dim=16,
        expand=2,
        heads=2,
        joint_dim=8,
        layers=1,
        level_dims=(
            8,
            8,
        ),
        level_guides=(
            4,
            4,
        ),
        level_middle=(
            8,
            8,
        ),
        pad_length=8,
        stage_dims=(
            16,
            16,
        ),
        type="CATSegDecoder",
        window=6,
    ),
    encoder=dict(
        image_size=96,
        joint_dim=8,
        level_dims=(
            8,
            8,
        ),
        patch=8,
        type="TinyEncoder",
    ),
    head=dict(type="CosineHead"),
    type="OpenVocabSegmentor",
)
optim_wrapper = dict(
    clip_grad=dict(max_norm=1.0),
    constructor="NamedRules",
    optimizer=dict(
        betas=(
            0.9,
            0.999,
        ),
        eps=1e-08,
        lr=0.001,
        type="AdamW",
        weight_decay=0.0001,
    ),
    paramwise_cfg=dict(custom_keys=dict(encoder=dict(lr_mult=0.1)), norm_decay_mult=0.0),
    type="GuardedOptimWrapper",
)
param_scheduler = [
    dict(begin=0, by_epoch=False, end=4, eta_min=0.0, type="CosineAnnealingLR"),
]
randomness = dict(seed=0)
resume = None
test_cfg = dict(type="ResumableTestLoop")
test_dataloader = dict(
    batch_size=2,
    dataset=dict(
        length=4,
        pipeline=[
            dict(type="PackSample"),
        ],
        size=96,
        split="val",
        type="MiniWorldDataset",
        vocabulary="mini_20",
    ),
    num_workers=0,
    sampler=dict(round_up=False, shuffle=False, type="DefaultSampler"),
)
test_evaluator = dict(type="OpenVocabIoU")
track = dict(mlflow=dict(uri="sqlite:////tmp/nb_x.db"))
train_cfg = dict(max_iters=4, type="GuardedTrainLoop", val_interval=100)
train_dataloader = dict(
    batch_size=2,
    dataset=dict(
        length=6,
        pipeline=[
            dict(prob=0.5, type="RandomFlip"),
            dict(type="PackSample"),
        ],
        size=96,
        split="train",
        type="MiniWorldDataset",
        vocabulary="mini_20",
    ),
    num_workers=0,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
)
val_cfg = dict(type="ValLoop")
val_dataloader = dict(
    batch_size=2,
    dataset=dict(
        length=4,
        pipeline=[
            dict(type="PackSample"),
        ],
        size=96,
        split="val",
        type="MiniWorldDataset",
        vocabulary="mini_20",
    ),
    num_workers=0,
    sampler=dict(round_up=False, shuffle=False, type="DefaultSampler"),
)
val_evaluator = dict(type="OpenVocabIoU")
visualizer = dict(
    type="Visualizer",
    vis_backends=[
        dict(type="LocalVisBackend"),
    ],
)
work_dir = "/tmp/nb_w4"
