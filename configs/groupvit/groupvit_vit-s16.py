"""GroupViT, ViT-S/16 trained from captions: every pixel belongs to one of eight groups.

Paper:  GroupViT: Semantic Segmentation Emerges from Text Supervision, CVPR 2022, arXiv 2202.11094.
        Outputs equal those of the authors' code (see plugins/groupvit/README.md).
Weights: the authors' checkpoint, or Hugging Face's nvidia/groupvit-gcc-yfcc, converted:
        ovss convert groupvit group_vit_gcc_yfcc_30e.pth groupvit_vit-s16.safetensors
Run:    ovss segment photo.jpg --words "cat, grass" --model groupvit_vit-s16 --weights F
mIoU:   published by the authors, with background: PASCAL VOC 52.3, Context 22.4, COCO-Object 24.3.
        Measured by later papers: A-847 4.3, PC-459 4.9, A-150 10.6, PC-59 25.9, PAS-20 50.7.
        Not measured here because neither these weights nor these datasets were available.
Protocol: groupvit. A vocabulary with the category "background" gets it by a threshold in the head:
        0.95 on PASCAL VOC and COCO-Object; set model.head.threshold=0.35 on PASCAL-Context.
Training: from 26 million captioned images, which is not offered here.
Size:   55,726,609 parameters.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.groupvit"])
protocol = "groupvit"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="GroupViTEncoder",
        image_size=None,
        patch=16,
        grid=14,
        width=384,
        heads=6,
        depths=(6, 3, 3),
        groups=(64, 8),
        joint_dim=256,
        hidden=4096,
        text_width=256,
        text_layers=12,
        text_heads=4,
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="GroupHead", joint_dim=256, gate=5, background="background", threshold=0.95),
    decoder=dict(type="ComposeDecoder", merge_at_input=True, ownership="hard"),
    post_processor=dict(type="Identity"),
    criterion=dict(type="set_matching"),
    prompts=dict(templates="single", synonyms="first"),
    inference=dict(
        mode="slide",
        size=448,
        keep_ratio=True,
        longest=2048,
        window=448,
        stride=224,
        global_view=False,
        activation="none",
    ),
)
