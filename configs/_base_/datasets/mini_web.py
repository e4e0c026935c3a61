# The 150 categories of the mini world in scenes for mini_web: 80 pixels, so that the image tower
# gives 20 x 20 cells of 4 pixels, with one to four objects. Generated from a seed, without files.
# Training shows only the seen categories.
_scenes = dict(
    type="MiniWorldDataset", vocabulary="mini_150", size=80, objects=(1, 4), name="mini_web"
)
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type="EndlessSampler"),
    dataset=dict(
        **_scenes,
        split="train",
        length=100000,
        pipeline=[dict(type="RandomFlip", prob=0.5), dict(type="PackSample")],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type="DefaultSampler", shuffle=False, round_up=False),
    dataset=dict(**_scenes, split="val", length=200, pipeline=[dict(type="PackSample")]),
)
test_dataloader = val_dataloader
val_evaluator = dict(type="OpenVocabIoU")
test_evaluator = val_evaluator
