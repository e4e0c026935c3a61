"""ZegCLIP at mini scale: mini CLIP with 8 prompts a block, three layers of attention, mini world.

Train: ovss train zegclip_mini --work-dir work_dirs/zegclip_mini
Test:  ovss test zegclip_mini WEIGHTS [--on mini_556]
mIoU:  not trained yet, so no weights are bundled. With unit_scale=1 as in the published head, 1,000
       steps of 4 scenes are far too few: seen / unseen / harmonic mean 23.7 / 21.9 / 22.8 on 200
       scenes of 150 categories.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.zegclip"])
protocol = "mini"
data_preprocessor = dict(sample_words=64)
train_dataloader = dict(batch_size=4, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="DeepPromptEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        prompts=8,
        grid=None,
        class_embeddings=2,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="RelationshipHead", joint_dim=128, layers=3, heads=4, unit_scale=128**0.5),
    decoder=dict(type="UpsampleDecoder", scale=1.0, factor=8),
    post_processor=dict(type="Identity"),
    criterion=dict(type="focal_dice", focal_weight=100.0, dice_weight=1.0),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96),
)
optim_wrapper = dict(
    optimizer=dict(lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=1.0),
)
train_cfg = dict(max_iters=1500, val_interval=1500)
