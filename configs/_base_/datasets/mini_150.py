# The mini world with its 150 categories: generated from a seed, without files.
# Training shows only the seen categories.
train_dataloader = dict(
    batch_size=8,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
    dataset=dict(
        type="MiniWorldDataset",
        split="train",
        vocabulary="mini_150",
        size=96,
        length=100000,
        pipeline=[dict(type="RandomFlip", prob=0.5), dict(type="PackSample")],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(
        type="MiniWorldDataset",
        split="val",
        vocabulary="mini_150",
        size=96,
        length=200,
        pipeline=[dict(type="PackSample")],
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="OpenVocabIoU")
test_evaluator = val_evaluator
