"""PACL ViT-B/16: CLIP's patches, aligned with texts by a small trained network.

Paper:  Open Vocabulary Semantic Segmentation with Patch Aligned Contrastive Learning, CVPR 2023,
        arXiv 2212.04994. No code or weights of the authors are public; see plugins/pacl/README.md
        for what is known from the paper and what differs.
Train:  ovss train pacl_vit-b16      (COCO-Stuff 164k in data/coco_stuff_171)
Run:    ovss segment photo.jpg --words "cat, grass" --model pacl_vit-b16 --weights F
mIoU:   published, trained on 30 million captions: A-150 31.4, PC-59 50.1, PAS-20 72.3.
        Not measured here: this config trains on categories of images, not on captions.
Recipe: ours: AdamW 1e-4, 64 images per step, 10,000 steps; only the patch embedder trains.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.pacl"])
protocol = "sed"  # the paper's own is not known in full
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="OpenCLIPEncoder",
        model="ViT-B-16-quickgelu",
        pretrained="openai",
        image_size=224,
        levels=(11,),
        dense="maskclip",
        trainable="none",
        stride=4,  # at inference: 56 x 56 overlapping patches
    ),
    selector=dict(type="KeepAll"),
    head=dict(type="PatchAlignedHead", joint_dim=512, level_dim=768, norm=True),
    decoder=dict(type="UpsampleDecoder", scale=10.0),
    post_processor=dict(type="Identity"),
    criterion=dict(type="patch_contrastive", scale=10.0, sharpness=1.0, temperature=0.07),
    prompts=dict(templates="imagenet_80", synonyms="average"),
    inference=dict(mode="whole", size=768),
)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(optimizer=dict(lr=1e-4, weight_decay=0.01), clip_grad=dict(max_norm=1.0))
train_cfg = dict(max_iters=10000, val_interval=5000)
