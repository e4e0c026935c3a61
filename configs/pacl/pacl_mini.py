"""PACL at mini scale: frozen mini CLIP, patches aligned with class names by image labels alone.

Paper: Open Vocabulary Semantic Segmentation with Patch Aligned Contrastive Learning, CVPR 2023,
       arXiv 2212.04994; what differs: plugins/pacl/README.md.
Train: ovss train pacl_mini --work-dir work_dirs/pacl_mini
Test:  ovss test pacl_mini WEIGHTS [--on mini_556]
mIoU:  on 200 scenes of 150 categories, seen / unseen / harmonic mean, after 500 of the 800 steps:
       48.2 / 41.8 / 44.8. Training-free (maskclip_mini) on the same scenes: 60.4 / 59.7 / 60.1.
       So this training makes the mini CLIP worse, and no weights are bundled.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/mini_150.py",
]
custom_imports = dict(imports=["ovss_plugins.pacl"])
protocol = "mini"
# Every step compares 8 scenes with all seen categories, whose texts are encoded once.
train_dataloader = dict(batch_size=8, dataset=dict(vocabulary="mini_556"))
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="mini_clip",
        pretrained="mini_clip",
        image_size=96,
        dense="maskclip",
        trainable="none",
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="PatchAlignedHead", joint_dim=128, norm=True),
    decoder=dict(type="UpsampleDecoder", scale=10.0),
    post_processor=dict(type="Identity"),
    criterion=dict(type="patch_contrastive", scale=10.0, sharpness=10.0, temperature=0.07),
    prompts=dict(templates=("a photo of a {}.",), synonyms="first"),
    inference=dict(mode="whole", size=96),
)
optim_wrapper = dict(optimizer=dict(lr=1e-3, weight_decay=0.01), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_iters=800, val_interval=800)
