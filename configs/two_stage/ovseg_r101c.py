"""OVSeg R101c + ViT-B/16: MaskFormer's regions, classified by a CLIP adapted to masked crops.

Paper:  Open-Vocabulary Semantic Segmentation with Mask-adapted CLIP, CVPR 2023, arXiv 2210.04150.
        Outputs equal those of the authors' code (see plugins/two_stage/README.md).
Weights: the authors' checkpoint, converted:
        ovss convert two_stage ovseg_R101c_vitB16.pth ovseg_r101c.safetensors
        They are published under CC BY-NC 4.0, so that converted files are too.
Run:    ovss segment photo.jpg --words "cat, grass" --model ovseg_r101c --weights F
Train:  ovss train ovseg_r101c --cfg-options model.encoder.proposer.backbone.pretrained=F
        with F, DeepLab's R-103 of detectron2 as a weight file with timm's names
        (COCO-Stuff 164k in data/coco_stuff_171, see below)
mIoU:   published: A-847 7.1, PC-459 11.0, A-150 24.8, PC-59 53.3, PAS-20 92.6.
        Not measured here because neither these weights nor these datasets were available.
Recipe: the authors' code: AdamW 2e-4, backbone x 0.1, stem and first stage frozen, CLIP frozen;
        decay 1e-4 except for norms and queries; gradient norm clipped to 0.01; polynomial schedule
        with power 0.9 and 1,500 steps of warm-up; 120,000 steps of 32 images over all GPUs; short
        side 800 and long side up to 1,333, which detectron2 takes where a file states no sizes, as
        this one; crop 512, SSD colours, flip, padded with 128.
        CLIP and its mask prompts are trained before, on crops mined from COCO's captions, which is
        not available here.
Hours:  training not run here. Published setting: 120,000 steps of 32 images.
Size:   211,140,033 parameters, 60,721,920 of them trained.
"""

_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/adamw_cosine.py",
    "../_base_/datasets/coco_stuff_171.py",
]
custom_imports = dict(imports=["ovss_plugins.two_stage"])
protocol = "ovseg"
model = dict(
    type="OpenVocabSegmentor",
    encoder=dict(
        type="WithProposals",
        encoder=dict(
            type="OpenCLIPEncoder",
            model="ViT-B-16-quickgelu",
            pretrained="openai",
            image_size=224,  # the whole image, for selectors only; regions are seen as crops
            trainable="none",
        ),
        proposer=dict(
            type="MaskFormerProposer",
            joint_dim=512,
            backbone=dict(
                type="ResNet",
                depth=101,
                deep_stem=True,
                dilations=(1, 2, 4),
                frozen_stages=2,
                pretrained=None,  # DeepLab's R-103, see the header
            ),
            queries=100,
            class_hidden=1024,
        ),
        embedders=[dict(type="CropEmbedder", threshold=0.5, mask_prompts=(3, 196, 768))],
    ),
    selector=dict(type="KeepAll"),
    head=dict(
        type="RegionHead",
        joint_dim=512,
        scales=(100.0, 100.0),
        void="normalized",
        void_std=512**-0.5,
        ensemble=dict(
            seen=(0.3, 0.7),
            unseen=(0.3, 0.7),
            softmax=("void", "categories"),
            renormalize=False,
            empty="one",
        ),
    ),
    decoder=dict(type="ComposeDecoder", merge_at_input=True),
    post_processor=dict(type="Identity"),
    criterion=dict(
        type="set_matching",
        class_weight=1.0,
        mask_weight=20.0,
        dice_weight=1.0,
        no_object=0.1,
        mask_loss="focal",
        points=None,
    ),
    prompts=dict(templates="vild_14", synonyms="verbatim"),
    inference=dict(mode="whole", size=512, keep_ratio=True, longest=2048, activation="none"),
)

train_dataloader = dict(
    batch_size=32,
    dataset=dict(
        pipeline=[
            dict(type="ShortestEdge", size=800, max_size=1333),
            dict(type="RandomCrop", crop_size=(512, 512)),
            dict(type="ColorAugSSD"),
            dict(type="RandomFlip", prob=0.5),
            dict(type="Pad", size=(512, 512), pad_val=dict(img=128, seg=-1)),
            dict(type="PackSample"),
        ]
    ),
)
optim_wrapper = dict(
    optimizer=dict(lr=2e-4, weight_decay=1e-4),
    paramwise_cfg=dict(
        custom_keys={
            "encoder.proposer.backbone": dict(lr_mult=0.1),
        }
    ),
    clip_grad=dict(max_norm=0.01, norm_type=2),
)
param_scheduler = [
    dict(type="LinearLR", by_epoch=False, begin=0, end=1500, start_factor=1e-6),
    dict(type="PolyLR", by_epoch=False, begin=0, end=120000, power=0.9, eta_min=0.0),
]
train_cfg = dict(max_iters=120000, val_interval=10000)
