# AdamW with half a cosine, from the first iteration to train_cfg.max_iters (the default end of a
# scheduler). Methods set the learning rate, rules by parameter name, clipping and length.
optim_wrapper = dict(
    type="GuardedOptimWrapper",
    constructor="NamedRules",
    optimizer=dict(type="AdamW", lr=2e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4),
    paramwise_cfg=dict(norm_decay_mult=0.0),
)
param_scheduler = [dict(type="CosineAnnealingLR", by_epoch=False, begin=0, eta_min=0.0)]
train_cfg = dict(type="GuardedTrainLoop", max_iters=80000, val_interval=5000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="ResumableTestLoop")
