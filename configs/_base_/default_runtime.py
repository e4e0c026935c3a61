# Settings of every run. Helper variables start with an underscore; unknown keys are errors.
default_scope = "mmseg"
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(timeout=1800),  # seconds; backend: nccl with GPUs, else gloo
)
find_unused_parameters = True  # e.g. the last block's queries if dense tokens use values only
randomness = dict(seed=0)
data_preprocessor = dict(type="OpenVocabPreProcessor")
default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="SafeCheckpointHook", by_epoch=False, interval=500, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="StepSeedHook"),
    dict(type="CurveHook"),
    dict(type="ImageHook", count=6),
]
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
log_processor = dict(by_epoch=False)
log_level = "INFO"
